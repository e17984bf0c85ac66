// SPDX-License-Identifier: Apache-2.0
// What lies in the lanes of running routers: packets that are held, and packets that a link still owes its peer.
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "driver/fabric/control_plane.h"

namespace warden::fabric {

// How many packets had to wait because their destination was held, by router and lane.
using HeldCounts = std::map<std::pair<RouterId, std::uint32_t>, std::uint32_t>;
// Routers that can't be read are left out.
[[nodiscard]] HeldCounts read_held_counts(const ControlPlane& fabric);
// Those of `now` that are not in `before`. A lane that was given to another worker meanwhile counts from 0.
[[nodiscard]] std::uint64_t held_since(const HeldCounts& before, const HeldCounts& now);

// Admitted packets in the lanes of these routers, by source and destination: those that a link will send, or send
// again.
using PairCounts = std::map<std::pair<FabricNodeId, FabricNodeId>, std::uint32_t>;
[[nodiscard]] PairCounts packets_in_lanes(const ControlPlane& fabric, RouterSpan routers);

}  // namespace warden::fabric
