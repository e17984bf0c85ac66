// SPDX-License-Identifier: Apache-2.0
// Lanes of running routers, given to workers and taken back.
#pragma once

#include <chrono>
#include <cstdint>

#include <warden/result.h>

#include "driver/fabric/control_plane.h"
#include "driver/fabric/worker.h"

namespace warden::fabric {

struct LanePlace {
  const Router* router = nullptr;
  std::uint32_t lane = 0;
  std::uint32_t count = 0;  // of its packets until now: it is empty
};
// On the shortest way to the destination; of equals the one with the fewest workers. kNotFound: no way there; kBusy: no
// lane is free.
[[nodiscard]] Result<LanePlace> choose_lane(const ControlPlane& fabric, const FabricNodeId& node,
                                            const GeneratorOptions& options);

// The router takes from it from now on, and tells the generator on this tile what is free again.
[[nodiscard]] Status give_lane(const ControlPlane& fabric, const LanePlace& place, Tile generator);

// Once it is empty. kTimeout: it is not, and stays the worker's.
[[nodiscard]] Status take_lane_back(const ControlPlane& fabric, const Router& router, std::uint32_t lane,
                                    std::chrono::milliseconds timeout);

}  // namespace warden::fabric
