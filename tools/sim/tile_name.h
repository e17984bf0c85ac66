// SPDX-License-Identifier: Apache-2.0
// Tiles by the names people type: `1,1` in NoC #0 coordinates, or `e3` for Ethernet tile E3.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tools/sim/grid.h"

namespace warden::sim {

// Nothing: no tile of the grid is called so.
[[nodiscard]] std::optional<Coordinate> tile_by_name(std::string_view name) noexcept;
[[nodiscard]] std::string name_of(Coordinate tile);

}  // namespace warden::sim
