// SPDX-License-Identifier: Apache-2.0
// The processors of a tile, as a set.
#pragma once

#include <compare>
#include <cstdint>

namespace warden {

// The bits are Warden's own; what a chip calls them in its registers is the driver's business.
struct Cores {
  std::uint32_t bits = 0;
  auto operator<=>(const Cores&) const = default;
  [[nodiscard]] friend constexpr Cores operator|(Cores one, Cores other) noexcept { return {one.bits | other.bits}; }
};

inline constexpr Cores kBrisc{1U << 0};
inline constexpr Cores kTrisc0{1U << 1};
inline constexpr Cores kTrisc1{1U << 2};
inline constexpr Cores kTrisc2{1U << 3};
inline constexpr Cores kNcrisc{1U << 4};
inline constexpr Cores kErisc{1U << 5};  // of an Ethernet tile, its only one
inline constexpr Cores kTensixCores = kBrisc | kTrisc0 | kTrisc1 | kTrisc2 | kNcrisc;

}  // namespace warden
