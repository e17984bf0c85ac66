// SPDX-License-Identifier: Apache-2.0
// Where something is on a card: a tile of the NoC and an address inside it.
#pragma once

#include <compare>
#include <cstdint>

namespace warden {

// NoC #0 coordinates, x to the right, y down; translated coordinates (16 and up) where the chip has them.
struct Tile {
  std::uint8_t x = 0;
  std::uint8_t y = 0;
  auto operator<=>(const Tile&) const = default;
};

// An address inside one tile (36 bits on Wormhole). Neither a host address nor an IOVA.
struct CardAddress {
  std::uint64_t value = 0;
  auto operator<=>(const CardAddress&) const = default;
};

// A rectangle of tiles, both corners included.
struct TileRectangle {
  Tile first;
  Tile last;
  auto operator<=>(const TileRectangle&) const = default;
};

}  // namespace warden
