// SPDX-License-Identifier: Apache-2.0
// What somebody wants to see through a window of the card.
#pragma once

#include <compare>
#include <cstdint>

#include "driver/chip/tile.h"

namespace warden::chip {

enum class WindowSize : std::uint8_t { k1M, k2M, k16M };
[[nodiscard]] std::uint64_t bytes_of(WindowSize size) noexcept;

enum class Ordering : std::uint8_t {
  kDefault = 0,  // a read sees writes before it; two writes may pass each other
  kStrict = 1,   // as issued, through all strict windows; tt-umd's choice for everything it does by default
  kPosted = 2,   // fire and forget
};

struct WindowRequest {
  WindowSize size = WindowSize::k1M;
  TileRectangle tiles;     // of a unicast, both corners are the tile
  bool multicast = false;  // to every working Tensix tile of the rectangle, over NoC 0; write only
  std::uint8_t noc = 0;    // 0 or 1: which way accesses take. Tiles are named by their NoC 0 coordinates all the same
  Ordering ordering = Ordering::kStrict;
  std::uint64_t base = 0;  // address in the tile, a multiple of the window's size
  auto operator<=>(const WindowRequest&) const = default;
};

}  // namespace warden::chip
