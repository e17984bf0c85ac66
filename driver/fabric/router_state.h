// SPDX-License-Identifier: Apache-2.0
// States of a router by tt-metal's names and values.
#pragma once

#include <cstdint>

#include "kernels/router_layout.h"

namespace warden::fabric {

using kernels::Direction;
using kernels::RouterCommand;

// NOLINTBEGIN(readability-identifier-naming): tt-metal's names
enum class RouterStateCommon : std::uint32_t {
  INITIALIZING = 0,
  RUNNING = 1,
  PAUSED = 2,
  DRAINING = 3,
  RETRAINING = 4
};
// NOLINTEND(readability-identifier-naming)
static_assert(static_cast<std::uint32_t>(kernels::RouterState::kRetraining) ==
              static_cast<std::uint32_t>(RouterStateCommon::RETRAINING));

// "RUNNING" and "PAUSED"; "UNKNOWN" for all else.
[[nodiscard]] const char* router_state_to_string(RouterStateCommon state) noexcept;
// Every state by its name; "UNKNOWN" for a value that is none.
[[nodiscard]] const char* router_state_name(RouterStateCommon state) noexcept;
[[nodiscard]] const char* router_command_name(RouterCommand command) noexcept;  // "RUN", "PAUSE", "DRAIN", "RETRAIN"
[[nodiscard]] const char* direction_name(Direction direction) noexcept;         // "east"

// The state that a router comes to by a command.
[[nodiscard]] RouterStateCommon state_after(RouterCommand command) noexcept;

}  // namespace warden::fabric
