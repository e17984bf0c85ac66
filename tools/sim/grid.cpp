// SPDX-License-Identifier: Apache-2.0
// Wormhole's grid as tables. Source: tt-isa-documentation, tt-umd.
#include "tools/sim/grid.h"

#include <algorithm>
#include <cassert>
#include <iterator>

namespace warden::sim {

namespace {

constexpr Coordinate kArcTile{0, 10};
constexpr Coordinate kPcieTile{0, 3};
constexpr unsigned kTranslatedBase = 16;

// E0..E7 stand on row 0 and E8..E15 on row 6, both in this order of x.
constexpr std::array<std::uint8_t, 8> kEthernetColumns = {9, 1, 8, 2, 7, 3, 6, 4};
constexpr std::array<std::uint8_t, 2> kEthernetRows = {0, 6};

constexpr std::size_t kPortsPerBank = 3;
constexpr std::array<std::array<Coordinate, kPortsPerBank>, kDramBanks> kDramTiles = {{
    {{{0, 0}, {0, 1}, {0, 11}}},
    {{{0, 5}, {0, 6}, {0, 7}}},
    {{{5, 0}, {5, 1}, {5, 11}}},
    {{{5, 2}, {5, 9}, {5, 10}}},
    {{{5, 3}, {5, 4}, {5, 8}}},
    {{{5, 5}, {5, 6}, {5, 7}}},
}};

// Rows in the order of the harvesting bits.
constexpr std::array<std::uint8_t, 10> kHarvestRows = {11, 1, 10, 2, 9, 3, 8, 4, 7, 5};

// NoC #0 x of translated 16 + index.
constexpr std::array<std::uint8_t, kGridWidth> kColumnOfTranslated = {0, 5, 1, 2, 3, 4, 6, 7, 8, 9};

std::optional<DramPort> find_dram(Coordinate tile) noexcept {
  for (std::uint8_t bank = 0; bank < kDramBanks; ++bank) {
    for (std::uint8_t port = 0; port < kPortsPerBank; ++port) {
      if (kDramTiles[bank][port] == tile) return DramPort{bank, port};
    }
  }
  return std::nullopt;
}

}  // namespace

bool is_tensix_row(unsigned y) noexcept { return std::ranges::find(kHarvestRows, y) != kHarvestRows.end(); }

TileKind kind_of(Coordinate tile) noexcept {
  if (tile == kArcTile) return TileKind::kArc;
  if (tile == kPcieTile) return TileKind::kPcie;
  if (find_dram(tile)) return TileKind::kDram;
  const bool worker_column = std::ranges::find(kEthernetColumns, tile.x) != kEthernetColumns.end();
  if (!worker_column) return TileKind::kRouterOnly;
  return is_tensix_row(tile.y) ? TileKind::kTensix : TileKind::kEthernet;
}

DramPort dram_port_of(Coordinate tile) noexcept {
  const auto port = find_dram(tile);
  assert(port);
  return *port;
}

std::uint8_t ethernet_index_of(Coordinate tile) noexcept {
  const auto column = std::ranges::find(kEthernetColumns, tile.x);
  assert(column != kEthernetColumns.end());
  const auto index = static_cast<std::uint8_t>(std::distance(kEthernetColumns.begin(), column));
  return tile.y == kEthernetRows[0] ? index : static_cast<std::uint8_t>(index + kEthernetColumns.size());
}

Coordinate ethernet_tile(std::uint8_t index) noexcept {
  return {kEthernetColumns[index % kEthernetColumns.size()], kEthernetRows[index / kEthernetColumns.size()]};
}

Grid::Grid(const std::vector<std::uint8_t>& harvested_rows) {
  for (const std::uint8_t y : harvested_rows) {
    assert(is_tensix_row(y));
    fused_rows_[y] = true;
  }
  // The Ethernet rows, then the working Tensix rows in order, then the others.
  std::size_t next = 0;
  for (const std::uint8_t y : kEthernetRows) row_of_translated_[next++] = y;
  for (const bool fused : {false, true}) {
    for (std::uint8_t y = 0; y < kGridHeight; ++y) {
      if (is_tensix_row(y) && fused_rows_[y] == fused) row_of_translated_[next++] = y;
    }
  }
}

bool Grid::fused_off(Coordinate tile) const noexcept {
  return row_fused_off(tile.y) && kind_of(tile) == TileKind::kTensix;
}

std::uint32_t Grid::harvest_mask() const noexcept {
  std::uint32_t mask = 0;
  for (std::size_t bit = 0; bit < kHarvestRows.size(); ++bit) {
    if (row_fused_off(kHarvestRows[bit])) mask |= 1U << bit;
  }
  return mask;
}

std::optional<Coordinate> Grid::resolve(unsigned x, unsigned y, bool noc1) const noexcept {
  const auto axis = [noc1](unsigned value, const auto& of_translated) -> std::optional<std::uint8_t> {
    const auto size = static_cast<unsigned>(of_translated.size());
    if (value >= kTranslatedBase) {
      if (value - kTranslatedBase >= size) return std::nullopt;
      return of_translated[value - kTranslatedBase];
    }
    if (value >= size) return std::nullopt;
    return static_cast<std::uint8_t>(noc1 ? size - 1 - value : value);
  };
  const auto column = axis(x, kColumnOfTranslated);
  const auto row = axis(y, row_of_translated_);
  if (!column || !row) return std::nullopt;
  return Coordinate{*column, *row};
}

Coordinate Grid::translated(Coordinate tile) const noexcept {
  const auto place = [](const auto& of_translated, std::uint8_t value) {
    const auto found = std::ranges::find(of_translated, value);
    return static_cast<std::uint8_t>(kTranslatedBase + std::distance(of_translated.begin(), found));
  };
  return {place(kColumnOfTranslated, tile.x), place(row_of_translated_, tile.y)};
}

}  // namespace warden::sim
