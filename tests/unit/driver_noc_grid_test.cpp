// SPDX-License-Identifier: Apache-2.0
// The Wormhole grid: kinds, harvesting, translated coordinates, address ranges.
#include <gtest/gtest.h>

#include <map>

#include "driver/chip/noc_grid.h"

namespace warden::chip {
namespace {

// Proves that the grid holds as many tiles of each kind as the chip does.
TEST(NocGrid, HasTheChipsTiles) {
  std::map<TileKind, int> count;
  for (std::uint8_t x = 0; x < 10; ++x) {
    for (std::uint8_t y = 0; y < 12; ++y) ++count[*kind_of({x, y})];
  }
  EXPECT_EQ(count[TileKind::kTensix], 80);
  EXPECT_EQ(count[TileKind::kEthernet], 16);
  EXPECT_EQ(count[TileKind::kDram], 18);
  EXPECT_EQ(count[TileKind::kPcie], 1);
  EXPECT_EQ(count[TileKind::kArc], 1);
  EXPECT_EQ(count[TileKind::kRouterOnly], 4);
  EXPECT_FALSE(kind_of({10, 0}));
  EXPECT_FALSE(kind_of({0, 12}));
}

// Proves that the harvesting answer's bits mean the rows that tt-umd lists.
TEST(NocGrid, HarvestingMaskNamesRows) {
  EXPECT_EQ(rows_of_harvesting_mask(0), std::vector<std::uint8_t>{});
  EXPECT_EQ(rows_of_harvesting_mask(1), std::vector<std::uint8_t>{11});
  EXPECT_EQ(rows_of_harvesting_mask(1 << 1 | 1 << 9), (std::vector<std::uint8_t>{1, 5}));
}

// Proves that without harvesting translated rows are the rows in order, around the Ethernet rows.
TEST(NocGrid, TranslatesWithoutHarvesting) {
  const NocGrid grid({}, true);
  EXPECT_EQ(grid.resolve(Tile{18, 18})->noc0, (Tile{1, 1}));
  EXPECT_EQ(grid.resolve(Tile{25, 27})->noc0, (Tile{9, 11}));
  EXPECT_EQ(grid.resolve(Tile{22, 23})->noc0, (Tile{6, 7}));
  EXPECT_EQ(grid.resolve(Tile{18, 16})->noc0, (Tile{1, 0}));
  EXPECT_EQ(grid.resolve(Tile{18, 17})->noc0, (Tile{1, 6}));
  EXPECT_EQ(grid.resolve(Tile{16, 16})->kind, TileKind::kDram);
  EXPECT_FALSE(grid.resolve(Tile{18, 28}));
  EXPECT_FALSE(grid.resolve(Tile{26, 18}));
}

// Proves that working rows close ranks before the fused-off ones, which are refused under every name.
TEST(NocGrid, HarvestedRowsMoveBehind) {
  const NocGrid grid({2, 5}, true);
  EXPECT_EQ(grid.resolve(Tile{18, 19})->noc0, (Tile{1, 3}));
  EXPECT_EQ(grid.resolve(Tile{18, 25})->noc0, (Tile{1, 11}));
  EXPECT_FALSE(grid.resolve(Tile{18, 26}));
  EXPECT_FALSE(grid.resolve(Tile{1, 2}));
  EXPECT_TRUE(grid.resolve(Tile{5, 2}));  // DRAM is not harvested with its row
  EXPECT_EQ(NocGrid({1}, true).first_tensix(), (Tile{1, 2}));
}

// Proves that translated names mean nothing where the firmware does not translate.
TEST(NocGrid, NoTranslationNoNames) { EXPECT_FALSE(NocGrid({}, false).resolve(Tile{18, 18})); }

// Proves that a broadcast's corners may be given in any order and move inwards from fused-off rows.
TEST(NocGrid, BroadcastRectangle) {
  const NocGrid grid({1, 11}, true);
  const auto corners = grid.resolve(TileRectangle{{9, 11}, {1, 1}});
  ASSERT_TRUE(corners);
  EXPECT_EQ(corners->first, (Tile{1, 2}));
  EXPECT_EQ(corners->last, (Tile{9, 10}));
  EXPECT_FALSE(grid.resolve(TileRectangle{{1, 11}, {9, 11}}));
  EXPECT_FALSE(grid.resolve(TileRectangle{{0, 1}, {9, 10}}));
}

// Proves that each range ends where the memory ends, and that registers take whole words only.
TEST(NocGrid, RangesEnd) {
  EXPECT_EQ(check_range(TileKind::kTensix, {0x16'DFFF}, 1).value(), Access::kMemory);
  EXPECT_FALSE(check_range(TileKind::kTensix, {0x16'DFFF}, 2));
  EXPECT_FALSE(check_range(TileKind::kTensix, {0}, ~0ULL));
  EXPECT_EQ(check_range(TileKind::kTensix, {0xFFB1'21B0}, 4).value(), Access::kRegisters);
  EXPECT_FALSE(check_range(TileKind::kTensix, {0xFFB1'21B0}, 2));
  EXPECT_FALSE(check_range(TileKind::kTensix, {0xFFB0'0000}, 4));  // core-local
  EXPECT_EQ(check_range(TileKind::kDram, {0x7FFF'FFF0}, 16).value(), Access::kMemory);
  EXPECT_FALSE(check_range(TileKind::kDram, {0x8000'0000}, 4));
  EXPECT_FALSE(check_range(TileKind::kArc, {0x8'8003'0328}, 4));  // must never be touched
  EXPECT_FALSE(check_range(TileKind::kPcie, {0}, 4));
}

}  // namespace
}  // namespace warden::chip
