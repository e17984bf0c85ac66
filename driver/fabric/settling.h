// SPDX-License-Identifier: Apache-2.0
// Waiting until packets have come out of the fabric, by the accounts of what went in.
#pragma once

#include <set>
#include <utility>
#include <vector>

#include "driver/fabric/accounts.h"
#include "driver/fabric/control_plane.h"
#include "driver/fabric/patience.h"

namespace warden::fabric {

// Of these pairs, which nothing more is admitted of. Gives those of which packets may be inside when patience ends.
// Pairs that once lost packets are no obstacle.
[[nodiscard]] std::vector<PairAccount> await_balance(const ControlPlane& fabric,
                                                     const std::set<std::pair<FabricNodeId, FabricNodeId>>& pairs,
                                                     Patience& patience);

// Of all, while nothing is admitted.
[[nodiscard]] std::vector<PairAccount> await_empty(const ControlPlane& fabric, Patience& patience);

}  // namespace warden::fabric
