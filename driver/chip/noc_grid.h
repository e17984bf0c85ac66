// SPDX-License-Identifier: Apache-2.0
// Which tile of a Wormhole is what: kinds, rows that are fused off, and the translated coordinates that firmware offers
// so that working rows look contiguous. Also which addresses a tile has.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <warden/result.h>

#include "driver/chip/tile.h"

namespace warden::chip {

enum class TileKind : std::uint8_t { kTensix, kEthernet, kDram, kPcie, kArc, kRouterOnly };
[[nodiscard]] std::string_view to_string(TileKind kind) noexcept;

// What stands at a NoC #0 coordinate of the 10 x 12 grid.
[[nodiscard]] std::optional<TileKind> kind_of(Tile noc0) noexcept;

// How a range of a tile's addresses may be touched.
enum class Access : std::uint8_t {
  kMemory,     // any length and alignment
  kRegisters,  // aligned 32-bit accesses only
};

// The kind of access for [address, address + size_bytes), which must lie in one range of the tile.
// kInvalidArgument else; the error names the ranges there are.
[[nodiscard]] Result<Access> check_range(TileKind kind, CardAddress address, std::uint64_t size_bytes);

// One chip's grid. Immutable; any thread.
class NocGrid {
 public:
  // `harvested_rows`: NoC #0 rows y of fused-off Tensix. `translates`: whether coordinates of 16 and up mean anything.
  NocGrid(std::vector<std::uint8_t> harvested_rows, bool translates);

  struct Place {
    Tile noc0;
    TileKind kind;
  };
  // kInvalidArgument for a coordinate that is nothing, or a tile that is fused off: touching one hangs the NoC.
  [[nodiscard]] Result<Place> resolve(Tile tile) const;

  // Corners in NoC #0 coordinates, first <= last, both working Tensix tiles; rows fused off at the edge are left out.
  // kInvalidArgument when a corner is no Tensix tile.
  [[nodiscard]] Result<TileRectangle> resolve(TileRectangle tiles) const;

  [[nodiscard]] bool row_is_harvested(std::uint8_t y) const noexcept;
  [[nodiscard]] const std::vector<std::uint8_t>& harvested_rows() const noexcept { return harvested_rows_; }
  // A Tensix tile that works, for probes.
  [[nodiscard]] Tile first_tensix() const noexcept;

 private:
  std::optional<std::uint8_t> untranslate_x(std::uint8_t x) const noexcept;
  std::optional<std::uint8_t> untranslate_y(std::uint8_t y) const noexcept;

  std::vector<std::uint8_t> harvested_rows_;
  std::vector<std::uint8_t> translated_rows_;  // NoC #0 row of translated y = 18 + i
  bool translates_;
};

// The rows that the answer to ARC message 0x57 says are fused off, in ascending order.
[[nodiscard]] std::vector<std::uint8_t> rows_of_harvesting_mask(std::uint32_t mask);

}  // namespace warden::chip
