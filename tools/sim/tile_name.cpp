// SPDX-License-Identifier: Apache-2.0
// Reading and writing names of tiles.
#include "tools/sim/tile_name.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdint>

namespace warden::sim {

namespace {

constexpr unsigned kEthernetTiles = 16;

std::optional<std::uint8_t> number_below(unsigned limit, std::string_view text) noexcept {
  std::uint8_t value = 0;
  const auto [end, error] = std::from_chars(text.begin(), text.end(), value);
  if (error != std::errc() || end != text.end() || value >= limit) return std::nullopt;
  return value;
}

}  // namespace

std::optional<Coordinate> tile_by_name(std::string_view name) noexcept {
  if (name.starts_with('e') || name.starts_with('E')) {
    const auto index = number_below(kEthernetTiles, name.substr(1));
    return index ? std::optional(ethernet_tile(*index)) : std::nullopt;
  }
  const std::size_t comma = name.find(',');
  if (comma == std::string_view::npos) return std::nullopt;
  const auto x = number_below(kGridWidth, name.substr(0, comma));
  const auto y = number_below(kGridHeight, name.substr(comma + 1));
  if (!x || !y) return std::nullopt;
  return Coordinate{*x, *y};
}

std::string name_of(Coordinate tile) {
  if (kind_of(tile) == TileKind::kEthernet) return fmt::format("e{}", ethernet_index_of(tile));
  return fmt::format("{},{}", tile.x, tile.y);
}

}  // namespace warden::sim
