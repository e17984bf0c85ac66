// SPDX-License-Identifier: Apache-2.0
// Boards by name. Board ids: tt-umd (bits 63:36 hold the type, 0x18 for n150 and 0x35 for a Galaxy's).
#include "tools/sim/board.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <ranges>
#include <string>

#include <fmt/format.h>

namespace warden::sim {

namespace {

constexpr unsigned kBoardTypeShift = 36;
constexpr std::uint16_t kN150 = 0x18;
constexpr std::uint16_t kGalaxy = 0x35;
constexpr std::uint64_t kBarSpaceBegin = 0x4000000000;
constexpr std::uint64_t kBarSpaceBytes = 2ULL << 30;

std::optional<unsigned> number(std::string_view text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.begin(), text.end(), value);
  if (error != std::errc() || end != text.end()) return std::nullopt;
  return value;
}

}  // namespace

Result<Board> parse_board(std::string_view text) {
  constexpr std::string_view kMesh = "mesh:";
  if (text == "n150") return Board{.kind = "n150"};
  if (text.starts_with(kMesh)) {
    const std::string_view size = text.substr(kMesh.size());
    const std::size_t cross = size.find('x');
    if (cross != std::string_view::npos) {
      const unsigned rows = number(size.substr(0, cross)).value_or(0);
      const unsigned columns = number(size.substr(cross + 1)).value_or(0);
      const auto fits = [](unsigned count) { return count >= 1 && count <= kChipsMax; };
      if (fits(rows) && fits(columns) && rows * columns <= kChipsMax) {
        return Board{.kind = "mesh", .rows = rows, .columns = columns};
      }
    }
  }
  return fail(Code::kInvalidArgument,
              fmt::format("no board '{}': use n150, or mesh:RxC with at most {} chips", text, kChipsMax));
}

Result<std::vector<std::uint8_t>> parse_rows(std::string_view text) {
  std::vector<std::uint8_t> rows;
  if (text == "none") return rows;
  for (const auto part : std::views::split(text, ',')) {
    const auto y = number(std::string_view(part.begin(), part.end()));
    if (!y || !is_tensix_row(*y)) {
      return fail(Code::kInvalidArgument,
                  fmt::format("no Tensix row in '{}': use rows 1-5 and 7-11, as in 11,1, or none", text));
    }
    if (std::ranges::find(rows, *y) == rows.end()) rows.push_back(static_cast<std::uint8_t>(*y));
  }
  return rows;
}

ChipOptions chip_options(const BoardOptions& options, unsigned chip) {
  const std::uint16_t type = options.board.kind == "n150" ? kN150 : kGalaxy;
  return {.harvested_rows = options.harvested_rows,
          .board_id = std::uint64_t{type} << kBoardTypeShift | (1U + chip),
          .asic_location = chip,
          .pci = {.subsystem_id = type,
                  .function_level_reset = options.function_level_reset,
                  .bar_space = kBarSpaceBegin + chip * kBarSpaceBytes},
          .reset_duration = options.reset_duration};
}

}  // namespace warden::sim
