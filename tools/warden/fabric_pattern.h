// SPDX-License-Identifier: Apache-2.0
// Who sends to whom.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "driver/fabric/node.h"

namespace warden::cli {

enum class TrafficPattern : std::uint8_t {
  kPairs,  // the first and the second to each other, the third and the fourth, ...; the last of an odd number to none
  kRing,   // each to the next, the last to the first
  kAll,    // each to all others
};

using Route = std::pair<fabric::FabricNodeId, fabric::FabricNodeId>;  // source, destination
// Of the devices of one mesh, in this order.
[[nodiscard]] std::vector<Route> routes_of(TrafficPattern pattern, std::span<const fabric::FabricNodeId> devices);

}  // namespace warden::cli
