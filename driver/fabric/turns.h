// SPDX-License-Identifier: Apache-2.0
// Whether routers have seen what was written to them: they answer probes once a turn.
#pragma once

#include <chrono>
#include <vector>

#include "driver/fabric/control_plane.h"
#include "driver/fabric/router.h"

namespace warden::fabric {

// All of them have gone through a turn since everything written before: gives those that did not in time.
[[nodiscard]] std::vector<RouterId> await_turn(const ControlPlane& fabric, RouterSpan routers,
                                               std::chrono::milliseconds timeout);

}  // namespace warden::fabric
