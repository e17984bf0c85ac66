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

std::vector<Cable> cables_of(const BoardOptions& options) {
  constexpr std::uint8_t kEast = 0;
  constexpr std::uint8_t kWest = 4;
  constexpr std::uint8_t kSouth = 8;
  constexpr std::uint8_t kNorth = 12;
  std::vector<Cable> cables;
  const Board& board = options.board;
  for (unsigned chip = 0; chip < board.chips(); ++chip) {
    for (std::uint8_t i = 0; i < options.links_per_edge; ++i) {
      const auto channel = [i](std::uint8_t first) { return static_cast<std::uint8_t>(first + i); };
      if (chip % board.columns + 1 < board.columns)
        cables.push_back({{{chip, channel(kEast)}, {chip + 1, channel(kWest)}}});
      if (chip + board.columns < board.chips()) {
        cables.push_back({{{chip, channel(kSouth)}, {chip + board.columns, channel(kNorth)}}});
      }
    }
  }
  return cables;
}

LinkIdentity link_identity(const BoardOptions& options, const Cable& cable, unsigned end) {
  const Cable::End& here = cable.ends[end];
  const Cable::End& there = cable.ends[1 - end];
  const unsigned columns = options.board.columns;
  return {.board = static_cast<std::uint32_t>(chip_options(options, here.chip).board_id),
          .remote_board = static_cast<std::uint32_t>(chip_options(options, there.chip).board_id),
          .remote_channel = there.channel,
          .x = static_cast<std::uint8_t>(here.chip % columns),
          .y = static_cast<std::uint8_t>(here.chip / columns),
          .remote_x = static_cast<std::uint8_t>(there.chip % columns),
          .remote_y = static_cast<std::uint8_t>(there.chip / columns)};
}

ChipOptions chip_options(const BoardOptions& options, unsigned chip) {
  const std::uint16_t type = options.board.kind == "n150" ? kN150 : kGalaxy;
  return {.harvested_rows = options.harvested_rows,
          .board_id = std::uint64_t{type} << kBoardTypeShift | (1U + chip),
          .asic_location = chip,
          .pci = {.subsystem_id = type,
                  .function_level_reset = options.function_level_reset,
                  .in_slot = options.in_slot,
                  .bar_space = kBarSpaceBegin + chip * kBarSpaceBytes},
          .reset_duration = options.reset_duration};
}

}  // namespace warden::sim
