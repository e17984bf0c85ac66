// SPDX-License-Identifier: Apache-2.0
// 64-bit values that the card shows as two 32-bit registers.
#pragma once

#include <cstdint>

#include <warden/result.h>

#include "driver/chip/bar.h"
#include "driver/chip/wormhole_layout.h"

namespace warden::chip {

// For registers that stand still.
[[nodiscard]] inline Result<std::uint64_t> read64(Bar& bar0, std::uint64_t offset) {
  auto low = bar0.read32(offset);
  if (!low) return std::unexpected(std::move(low).error());
  auto high = bar0.read32(offset + 4);
  if (!high) return std::unexpected(std::move(high).error());
  return std::uint64_t{*high} << 32 | *low;
}

// The 27 MHz reference clock's ticks since the chip's reset. High, low, high: the low word alone wraps every 159 s.
[[nodiscard]] inline Result<std::uint64_t> read_refclk(Bar& bar0) {
  for (auto high = bar0.read32(wormhole::kRefclkHigh);;) {
    if (!high) return std::unexpected(std::move(high).error());
    auto low = bar0.read32(wormhole::kRefclkLow);
    if (!low) return std::unexpected(std::move(low).error());
    auto high_again = bar0.read32(wormhole::kRefclkHigh);
    if (!high_again) return std::unexpected(std::move(high_again).error());
    if (*high == *high_again) return std::uint64_t{*high} << 32 | *low;
    high = high_again;
  }
}

}  // namespace warden::chip
