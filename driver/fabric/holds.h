// SPDX-License-Identifier: Apache-2.0
// Admission closed to destinations whose way leads through some routers, and opened when it is clear again. What is
// held waits in the lane of its worker, in front of everything behind it.
#pragma once

#include <chrono>
#include <set>
#include <utility>
#include <vector>

#include <warden/result.h>

#include "driver/fabric/control_plane.h"

namespace warden::fabric {

struct ClosedPairs {
  // Of which packets may be inside that come through these routers.
  std::set<std::pair<FabricNodeId, FabricNodeId>> pairs;
  std::set<RouterId> silent;  // did not answer: whether they still admit is not known
};

// Nothing more is admitted of what would come through any of these routers, nor by other ways of the same pairs, so
// that the pairs' accounts tell when all of it is out.
[[nodiscard]] ClosedPairs close_admission(const ControlPlane& fabric, const std::set<RouterId>& through,
                                          std::chrono::milliseconds timeout);

// Opens whatever is closed although all routers on its way have the command RUN; the others stay as they are.
[[nodiscard]] Status open_admission(const ControlPlane& fabric);

// Which routers hold packets for some destinations.
[[nodiscard]] std::vector<RouterId> holding_routers(const ControlPlane& fabric);

}  // namespace warden::fabric
