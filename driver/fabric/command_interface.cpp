// SPDX-License-Identifier: Apache-2.0
// The state manager for all routers, with answers of yes and no.
#include "driver/fabric/command_interface.h"

#include <fmt/format.h>

#include <algorithm>

#include "driver/fabric/holds.h"

namespace warden::fabric {

FabricCommandInterface::FabricCommandInterface(ControlPlane& control_plane)
    : fabric_(&control_plane), manager_(control_plane) {}

void FabricCommandInterface::command(RouterCommand command) {
  if (auto written = manager_.command(fabric_->all(), command); !written) fabric_->log(written.error().message);
}

void FabricCommandInterface::pause_routers() { command(RouterCommand::kPause); }

void FabricCommandInterface::resume_routers() {
  command(RouterCommand::kRun);
  if (auto opened = open_admission(*fabric_); !opened) fabric_->log(opened.error().message);
}

bool FabricCommandInterface::wait_for_pause(std::chrono::milliseconds timeout) {
  return wait_for_state(RouterStateCommon::PAUSED, timeout);
}

bool FabricCommandInterface::wait_for_state(RouterStateCommon target_state, std::chrono::milliseconds timeout,
                                            std::chrono::milliseconds poll_interval) {
  last_ = manager_.wait(fabric_->all(), target_state, timeout, poll_interval);
  if (!last_.complete()) {
    fabric_->log(
        fmt::format("not {} within {} ms: {}", router_state_name(target_state), timeout.count(), to_string(last_)));
  }
  return last_.complete();
}

bool FabricCommandInterface::all_routers_in_state(RouterStateCommon expected_state) {
  return std::ranges::all_of(fabric_->routers(), [&](const Router& router) {
    const auto state = fabric_->state(router);
    return state && *state == expected_state;
  });
}

RouterStateCommon FabricCommandInterface::get_router_state(const FabricNodeId& fabric_node_id, chan_id_t channel_id) {
  const Router* router = fabric_->find(fabric_node_id, channel_id);
  if (router == nullptr) {
    fabric_->log(fmt::format("there is no router {}", to_string(RouterId{fabric_node_id, channel_id})));
    return RouterStateCommon::INITIALIZING;
  }
  const auto state = fabric_->state(*router);
  if (!state) fabric_->log(state.error().message);
  return state.value_or(RouterStateCommon::INITIALIZING);
}

}  // namespace warden::fabric
