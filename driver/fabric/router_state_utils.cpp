// SPDX-License-Identifier: Apache-2.0
// States of all routers listed and counted.
#include "driver/fabric/router_state_utils.h"

#include <fmt/format.h>

namespace warden::fabric {

void log_all_router_states(ControlPlane& control_plane, const std::vector<MeshId>& mesh_ids) {
  control_plane.log("=== Router State Summary ===");
  for (const MeshId mesh : mesh_ids) {
    control_plane.log(fmt::format("Mesh ID: {}", mesh));
    for (const Router& router : control_plane.routers()) {
      if (router.id.node.mesh_id != mesh) continue;
      const auto state = control_plane.state(router);
      control_plane.log(fmt::format("  Device {} Channel {}: {}", router.number, router.id.channel,
                                    state ? router_state_to_string(*state) : "UNKNOWN"));
    }
  }
}

std::map<RouterStateCommon, std::uint32_t> count_routers_by_state(ControlPlane& control_plane,
                                                                  const std::vector<MeshId>& mesh_ids) {
  std::map<RouterStateCommon, std::uint32_t> counts{{RouterStateCommon::RUNNING, 0}, {RouterStateCommon::PAUSED, 0}};
  for (const MeshId mesh : mesh_ids) {
    for (const Router& router : control_plane.routers()) {
      if (router.id.node.mesh_id != mesh) continue;
      const auto state = control_plane.state(router);
      if (!state) control_plane.log(state.error().message);
      ++counts[state.value_or(RouterStateCommon::INITIALIZING)];
    }
  }
  return counts;
}

}  // namespace warden::fabric
