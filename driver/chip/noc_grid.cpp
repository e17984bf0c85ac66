// SPDX-License-Identifier: Apache-2.0
// The Wormhole grid. Sources: tt-isa-documentation (NoC/Coordinates, TensixTile, EthernetTile, DRAMTile), tt-umd.
#include "driver/chip/noc_grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>

#include "driver/chip/wormhole_layout.h"

namespace warden::chip {
namespace {

constexpr std::uint8_t kFirstTranslated = 16;
constexpr std::uint8_t kFirstTranslatedTensixRow = 18;
// Translated x = 16 + i. (tt-umd: wormhole coordinate manager)
constexpr std::array<std::uint8_t, 10> kTranslatedColumns{0, 5, 1, 2, 3, 4, 6, 7, 8, 9};
// Bit i of the harvesting answer is this row. (tt-umd: HARVESTING_NOC_LOCATIONS)
constexpr std::array<std::uint8_t, 10> kHarvestingRows{11, 1, 10, 2, 9, 3, 8, 4, 7, 5};

constexpr bool is_tensix_column(std::uint8_t x) { return x != 0 && x != 5; }
constexpr bool is_tensix_row(std::uint8_t y) { return y != 0 && y != 6; }

struct Range {
  std::uint64_t first;
  std::uint64_t end;
  Access access;
};

// NoC overlay, NIUs, debug block; core-local RAM below is not on the NoC.
constexpr Range kCoreRegisters{0xFFB1'0000, 0xFFC0'0000, Access::kRegisters};
constexpr Range kInstructionRam{0xFFC0'0000, 0xFFC0'4000, Access::kRegisters};
constexpr std::array kTensixRanges{Range{0, 0x16'E000, Access::kMemory}, kCoreRegisters, kInstructionRam};
constexpr std::array kEthernetRanges{Range{0, 0x4'0000, Access::kMemory}, kCoreRegisters, kInstructionRam};
constexpr std::array kDramRanges{Range{0, 0x8000'0000, Access::kMemory},
                                 Range{0x1'0000'0000, 0x1'0010'0000, Access::kRegisters}};
// The ARC's own RAM, its reset unit up to the register that must not be touched (0x328), and its two NIUs. ROM, PLL,
// fuses, I2C and SPI are hazardous (tt-isa-documentation) and left out.
constexpr std::array kArcRanges{Range{0x8'1000'0000, 0x8'1008'0000, Access::kMemory},
                                Range{0x8'8003'0000, 0x8'8003'0328, Access::kRegisters},
                                Range{0x8'8005'0000, 0x8'8006'0000, Access::kRegisters}};

// Behind the PCIe tile is host memory, as far as it is mapped for DMA.
constexpr std::array kPcieRanges{
    Range{wormhole::kHostAddress, wormhole::kHostAddress + wormhole::kHostBytes, Access::kMemory}};

// A router-only tile has nothing.
std::span<const Range> ranges_of(TileKind kind) {
  switch (kind) {
    case TileKind::kTensix: return kTensixRanges;
    case TileKind::kEthernet: return kEthernetRanges;
    case TileKind::kDram: return kDramRanges;
    case TileKind::kArc: return kArcRanges;
    case TileKind::kPcie: return kPcieRanges;
    case TileKind::kRouterOnly: return {};
  }
  return {};
}

std::string ranges_in_words(TileKind kind) {
  std::string words;
  for (const Range& range : ranges_of(kind)) {
    words += fmt::format("{}{:#x}-{:#x}", words.empty() ? "" : ", ", range.first, range.end - 1);
  }
  return words.empty() ? "nothing that can be accessed" : words;
}

}  // namespace

std::string_view to_string(TileKind kind) noexcept {
  switch (kind) {
    case TileKind::kTensix: return "Tensix";
    case TileKind::kEthernet: return "Ethernet";
    case TileKind::kDram: return "DRAM";
    case TileKind::kPcie: return "PCIe";
    case TileKind::kArc: return "ARC";
    case TileKind::kRouterOnly: return "router-only";
  }
  return "unknown";
}

std::optional<TileKind> kind_of(Tile noc0) noexcept {
  const auto [x, y] = noc0;
  if (x >= wormhole::kGridWidth || y >= wormhole::kGridHeight) return std::nullopt;
  if (x == 5) return TileKind::kDram;
  if (x == 0) {
    if (y == 3) return TileKind::kPcie;
    if (y == 10) return TileKind::kArc;
    return y == 2 || y == 4 || y == 8 || y == 9 ? TileKind::kRouterOnly : TileKind::kDram;
  }
  return is_tensix_row(y) ? TileKind::kTensix : TileKind::kEthernet;
}

Result<Access> check_range(TileKind kind, CardAddress address, std::uint64_t size_bytes) {
  for (const Range& range : ranges_of(kind)) {
    if (address.value < range.first || address.value >= range.end || size_bytes > range.end - address.value) continue;
    if (range.access == Access::kMemory || (address.value % 4 == 0 && size_bytes % 4 == 0)) return range.access;
    return fail(Code::kInvalidArgument,
                fmt::format("{:#x}+{:#x} is register space of a {} tile: only aligned 32-bit accesses reach it",
                            address.value, size_bytes, to_string(kind)));
  }
  return fail(Code::kInvalidArgument, fmt::format("{:#x}+{:#x} is outside of a {} tile, which has {}", address.value,
                                                  size_bytes, to_string(kind), ranges_in_words(kind)));
}

NocGrid::NocGrid(std::vector<std::uint8_t> harvested_rows, bool translates)
    : harvested_rows_(std::move(harvested_rows)), translates_(translates) {
  for (const bool harvested : {false, true}) {  // working rows in order, fused-off ones behind them
    for (std::uint8_t y = 0; y < wormhole::kGridHeight; ++y) {
      if (is_tensix_row(y) && row_is_harvested(y) == harvested) translated_rows_.push_back(y);
    }
  }
}

bool NocGrid::row_is_harvested(std::uint8_t y) const noexcept {
  return std::find(harvested_rows_.begin(), harvested_rows_.end(), y) != harvested_rows_.end();
}

Tile NocGrid::first_tensix() const noexcept { return {1, translated_rows_.front()}; }

std::optional<std::uint8_t> NocGrid::untranslate_x(std::uint8_t x) const noexcept {
  if (x < kFirstTranslated) return x;
  const std::size_t index = x - kFirstTranslated;
  if (!translates_ || index >= kTranslatedColumns.size()) return std::nullopt;
  return kTranslatedColumns[index];
}

std::optional<std::uint8_t> NocGrid::untranslate_y(std::uint8_t y) const noexcept {
  if (y < kFirstTranslated) return y;
  if (!translates_) return std::nullopt;
  if (y == kFirstTranslated) return std::uint8_t{0};
  if (y == kFirstTranslated + 1) return std::uint8_t{6};
  const std::size_t index = y - kFirstTranslatedTensixRow;
  if (index >= translated_rows_.size()) return std::nullopt;
  return translated_rows_[index];
}

Result<NocGrid::Place> NocGrid::resolve(Tile tile) const {
  const auto x = untranslate_x(tile.x);
  const auto y = untranslate_y(tile.y);
  const auto kind = x && y ? kind_of({*x, *y}) : std::nullopt;
  if (!kind) {
    return fail(Code::kInvalidArgument, fmt::format("there is no tile ({},{})", tile.x, tile.y));
  }
  if (*kind == TileKind::kTensix && row_is_harvested(*y)) {
    return fail(Code::kInvalidArgument, fmt::format("tile ({},{}) is fused off (row {})", tile.x, tile.y, *y));
  }
  return Place{{*x, *y}, *kind};
}

Result<TileRectangle> NocGrid::resolve(TileRectangle tiles) const {
  const auto tensix = [this](Tile tile) -> std::optional<Tile> {
    const auto x = untranslate_x(tile.x);
    const auto y = untranslate_y(tile.y);
    if (!x || !y || kind_of({*x, *y}) != TileKind::kTensix) return std::nullopt;
    return Tile{*x, *y};
  };
  const auto one = tensix(tiles.first);
  const auto other = tensix(tiles.last);
  if (!one || !other) {
    return fail(Code::kInvalidArgument, fmt::format("a broadcast begins and ends on a Tensix tile: ({},{}) to ({},{})",
                                                    tiles.first.x, tiles.first.y, tiles.last.x, tiles.last.y));
  }
  const auto [left, right] = std::minmax(one->x, other->x);
  auto [top, bottom] = std::minmax(one->y, other->y);
  // An edge on a fused-off row (or, after that, an Ethernet row) moves inwards: a multicast must start and end on
  // tiles that take part.
  const auto takes_part = [this](std::uint8_t y) { return is_tensix_row(y) && !row_is_harvested(y); };
  std::uint8_t first = top;
  std::uint8_t last = bottom;
  while (first < last && !takes_part(first)) ++first;
  while (last > first && !takes_part(last)) --last;
  if (!takes_part(first)) return fail(Code::kInvalidArgument, "every row of the broadcast is fused off");
  return TileRectangle{{left, first}, {right, last}};
}

std::vector<std::uint8_t> rows_of_harvesting_mask(std::uint32_t mask) {
  std::vector<std::uint8_t> rows;
  for (std::size_t bit = 0; bit < kHarvestingRows.size(); ++bit) {
    if ((mask >> bit & 1) != 0) rows.push_back(kHarvestingRows[bit]);
  }
  std::sort(rows.begin(), rows.end());
  return rows;
}

}  // namespace warden::chip
