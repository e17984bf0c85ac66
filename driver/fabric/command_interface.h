// SPDX-License-Identifier: Apache-2.0
// All routers paused, resumed and awaited, in the words of tt-metal's test utility.
#pragma once

#include <chrono>
#include <optional>

#include "driver/fabric/control_plane.h"
#include "driver/fabric/router_state_manager.h"

namespace warden::fabric {

// Borrows the control plane. Threads: one at a time. What goes wrong is told to the control plane's log.
class FabricCommandInterface {
 public:
  explicit FabricCommandInterface(ControlPlane& control_plane);

  // Commands to all routers; do not wait. Resuming also opens what was held.
  void pause_routers();
  void resume_routers();

  bool wait_for_pause(std::chrono::milliseconds timeout = DEFAULT_PAUSE_TIMEOUT);
  // `poll_interval` is the longest pause between two looks.
  bool wait_for_state(RouterStateCommon target_state, std::chrono::milliseconds timeout = DEFAULT_PAUSE_TIMEOUT,
                      std::chrono::milliseconds poll_interval = DEFAULT_POLL_INTERVAL);
  // As they are now.
  [[nodiscard]] bool all_routers_in_state(RouterStateCommon expected_state);
  // INITIALIZING for a router that can't be read or is not there.
  [[nodiscard]] RouterStateCommon get_router_state(const FabricNodeId& fabric_node_id, chan_id_t channel_id);

  // How the last wait ended: names those that did not follow.
  [[nodiscard]] const Transition& last_transition() const noexcept { return last_; }

 private:
  void command(RouterCommand command);

  ControlPlane* fabric_;
  FabricRouterStateManager manager_;
  Transition last_;
};

}  // namespace warden::fabric
