// SPDX-License-Identifier: Apache-2.0
// Which lane of a router is whose: one for each router of the chip that passes packets on to it, from the first on; the
// rest is for workers, from the last on.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include <warden/result.h>

#include "driver/fabric/plan.h"
#include "kernels/router_layout.h"

namespace warden::fabric {

// Fills in lanes and ports for the pairs that the forwarding tables of one chip's routers use.
[[nodiscard]] Status assign_lanes(std::span<RouterPlan> chip);

// The last lane that nobody has and that is empty.
[[nodiscard]] std::optional<std::uint32_t> free_lane(const kernels::RouterBlock& router) noexcept;
[[nodiscard]] std::uint32_t worker_lanes(const kernels::RouterBlock& router) noexcept;

}  // namespace warden::fabric
