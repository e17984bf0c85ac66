// SPDX-License-Identifier: Apache-2.0
// Packets that went in, did not come out, and are nowhere: seen in the accounts and the lanes of those that are left.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <utility>

#include "driver/fabric/accounts.h"
#include "driver/fabric/control_plane.h"

namespace warden::fabric {

// By source and destination, above zero.
using Losses = std::map<std::pair<FabricNodeId, FabricNodeId>, std::uint32_t>;

// Of the wanted pairs, those that stand still: of a pair that moves nothing can be said. `routers`: of whose lanes
// packets can still come.
[[nodiscard]] Losses find_losses(const ControlPlane& fabric, RouterSpan routers,
                                 const std::function<bool(const PairAccount&)>& wanted);

// Notes them on the cards, at the destinations, so that no account waits for these packets and nobody finds them again.
[[nodiscard]] Status write_off(const ControlPlane& fabric, const Losses& losses);

}  // namespace warden::fabric
