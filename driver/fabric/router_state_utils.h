// SPDX-License-Identifier: Apache-2.0
// States of all routers, for people and for tests.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "driver/fabric/control_plane.h"

namespace warden::fabric {

// To the control plane's log:
//   === Router State Summary ===
//   Mesh ID: 0
//     Device 0 Channel 0: RUNNING
// A device is its node's number. A router that can't be read is UNKNOWN.
void log_all_router_states(ControlPlane& control_plane, const std::vector<MeshId>& mesh_ids);

// RUNNING and PAUSED are always listed. Routers that can't be read count as INITIALIZING, and are told to the log.
[[nodiscard]] std::map<RouterStateCommon, std::uint32_t> count_routers_by_state(ControlPlane& control_plane,
                                                                                const std::vector<MeshId>& mesh_ids);

}  // namespace warden::fabric
