// SPDX-License-Identifier: Apache-2.0
// The boards that can be simulated: how many chips, and what tells them apart.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>
#include <vector>

#include <warden/result.h>

#include "tools/sim/chip.h"

namespace warden::sim {

inline constexpr unsigned kChipsMax = 32;

struct Board {
  std::string_view kind;  // "n150" or "mesh"
  unsigned rows = 1;
  unsigned columns = 1;
  [[nodiscard]] unsigned chips() const noexcept { return rows * columns; }
};

// `n150`, or `mesh:RxC` with at most kChipsMax chips.
[[nodiscard]] Result<Board> parse_board(std::string_view text);
// `11,1`, or `none`: Tensix rows by their NoC #0 y.
[[nodiscard]] Result<std::vector<std::uint8_t>> parse_rows(std::string_view text);

struct BoardOptions {
  Board board;
  std::vector<std::uint8_t> harvested_rows = {11};
  bool function_level_reset = true;
  bool in_slot = false;
  std::chrono::milliseconds reset_duration{200};
  std::uint8_t links_per_edge = 1;
  std::chrono::milliseconds link_training{50};
  std::chrono::microseconds queue_latching{0};
  bool deterministic = false;
};

inline constexpr std::uint8_t kLinksPerEdgeMax = 4;

// A cable between two chips of a mesh, which are neighbours in a row or a column.
struct Cable {
  struct End {
    unsigned chip = 0;
    std::uint8_t channel = 0;  // of E0 to E15: 0-3 lead east, 4-7 west, 8-11 south, 12-15 north
  };
  End ends[2];
};
[[nodiscard]] std::vector<Cable> cables_of(const BoardOptions& options);
// What the firmware at one end of it learns.
[[nodiscard]] LinkIdentity link_identity(const BoardOptions& options, const Cable& cable, unsigned end);

[[nodiscard]] ChipOptions chip_options(const BoardOptions& options, unsigned chip);

}  // namespace warden::sim
