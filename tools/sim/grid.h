// SPDX-License-Identifier: Apache-2.0
// Wormhole's 10 x 12 grid of tiles: what stands where, which rows are fused off, and what the coordinates of both
// NoCs and the translated ones mean. Source: tt-isa-documentation, tt-umd.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace warden::sim {

inline constexpr std::uint8_t kGridWidth = 10;
inline constexpr std::uint8_t kGridHeight = 12;
inline constexpr std::size_t kDramBanks = 6;

enum class TileKind : std::uint8_t { kTensix, kEthernet, kDram, kPcie, kArc, kRouterOnly };

// A tile by its NoC #0 coordinates, inside the grid.
struct Coordinate {
  std::uint8_t x = 0;
  std::uint8_t y = 0;
  auto operator<=>(const Coordinate&) const = default;
  [[nodiscard]] constexpr std::size_t index() const noexcept { return std::size_t{y} * kGridWidth + x; }
};

// The same tile as NoC #1 counts it; its own inverse.
[[nodiscard]] constexpr Coordinate mirrored(Coordinate tile) noexcept {
  return {static_cast<std::uint8_t>(kGridWidth - 1 - tile.x), static_cast<std::uint8_t>(kGridHeight - 1 - tile.y)};
}

[[nodiscard]] TileKind kind_of(Coordinate tile) noexcept;

struct DramPort {
  std::uint8_t bank = 0;
  std::uint8_t port = 0;
};
// For DRAM tiles only.
[[nodiscard]] DramPort dram_port_of(Coordinate tile) noexcept;

// 0..15 for E0..E15; for Ethernet tiles only.
[[nodiscard]] std::uint8_t ethernet_index_of(Coordinate tile) noexcept;
[[nodiscard]] Coordinate ethernet_tile(std::uint8_t index) noexcept;

[[nodiscard]] bool is_tensix_row(unsigned y) noexcept;

class Grid {
 public:
  // Tensix rows (NoC #0 y) that are fused off.
  explicit Grid(const std::vector<std::uint8_t>& harvested_rows);

  [[nodiscard]] bool fused_off(Coordinate tile) const noexcept;
  // As ARC message 0x57 and telemetry tag 4 tell it: bit i is row {11,1,10,2,9,3,8,4,7,5}[i], 1 is fused off.
  [[nodiscard]] std::uint32_t harvest_mask() const noexcept;

  // The tile that the fields of a window or NoC request mean: 0-15 are the numbers of that NoC, from 16 on they are
  // translated (the same on both).
  [[nodiscard]] std::optional<Coordinate> resolve(unsigned x, unsigned y, bool noc1) const noexcept;
  // Its translated number (NOC_ID_LOGICAL).
  [[nodiscard]] Coordinate translated(Coordinate tile) const noexcept;

 private:
  [[nodiscard]] bool row_fused_off(unsigned y) const noexcept { return fused_rows_[y]; }

  std::array<bool, kGridHeight> fused_rows_{};
  std::array<std::uint8_t, kGridHeight> row_of_translated_{};  // NoC #0 y of translated 16 + index
};

}  // namespace warden::sim
