// SPDX-License-Identifier: Apache-2.0
// Windows and coordinates of the simulated Wormhole, against worked values of the public documentation.
#include <gtest/gtest.h>

#include "tools/sim/grid.h"
#include "tools/sim/windows.h"

namespace warden::sim {
namespace {

// Proves that the three window sizes lie where the documentation puts them, without gaps.
TEST(SimWindows, LieWhereTheMapSays) {
  EXPECT_EQ(window_of(0).begin, 0U);
  EXPECT_EQ(window_of(155).begin, 0x09B00000U);
  EXPECT_EQ(window_of(156).begin, 0x09C00000U);
  EXPECT_EQ(window_of(166).begin, 0x0B000000U);
  EXPECT_EQ(window_of(184).begin, 0x1D000000U);
  EXPECT_EQ(window_of(185).begin, 0x1E000000U);
  std::uint64_t next = 0;
  for (unsigned i = 0; i < kWindowCount; ++i) {
    const WindowPlace window = window_of(i);
    ASSERT_EQ(window.begin, next) << "window " << i;
    next += window.size_bytes();
    EXPECT_EQ(window_at(window.begin).index, i);
    EXPECT_EQ(window_at(next - 1).index, i);
    EXPECT_EQ(window_at(next - 1).begin, window.begin);
  }
  EXPECT_EQ(next, kWindowsEnd);
}

// Proves the decoding of the documentation's worked values: strict, to (1,1), address 0.
TEST(SimWindows, DecodeTheWorkedValues) {
  const WindowTarget expected{.x_end = 1, .y_end = 1, .ordering = 1};
  EXPECT_EQ(decode_window(20, 0x0000040000410000), expected);
  EXPECT_EQ(decode_window(21, 0x0000020000208000), expected);
  EXPECT_EQ(decode_window(24, 0x0000004000041000), expected);
}

// Proves that every field of every size is found at its own bits: all ones in one field change nothing else.
TEST(SimWindows, EveryFieldHasItsOwnBits) {
  for (const unsigned size_log2 : {20U, 21U, 24U}) {
    const unsigned base = 36 - size_log2;
    const auto only = [&](unsigned first, std::uint64_t value) { return decode_window(size_log2, value << first); };
    EXPECT_EQ(only(0, 3), (WindowTarget{.address = 3ULL << size_log2}));
    EXPECT_EQ(only(base - 1, 1), (WindowTarget{.address = 1ULL << 35}));
    EXPECT_EQ(only(base, 0x3F), (WindowTarget{.x_end = 0x3F}));
    EXPECT_EQ(only(base + 6, 0x3F), (WindowTarget{.y_end = 0x3F}));
    EXPECT_EQ(only(base + 12, 0x3F), (WindowTarget{.x_start = 0x3F}));
    EXPECT_EQ(only(base + 18, 0x3F), (WindowTarget{.y_start = 0x3F}));
    EXPECT_EQ(only(base + 24, 1), (WindowTarget{.noc1 = true}));
    EXPECT_EQ(only(base + 25, 1), (WindowTarget{.multicast = true}));
    EXPECT_EQ(only(base + 26, 2), (WindowTarget{.ordering = 2}));
    EXPECT_EQ(only(base + 28, 1), (WindowTarget{.linked = true}));
    EXPECT_EQ(only(base + 29, 1), (WindowTarget{.static_vc = true}));
    EXPECT_EQ(only(base + 30, 3), WindowTarget{});
  }
}

// Proves that registers read back, word by word and whole, ignored bits included.
TEST(SimWindows, RegistersReadBack) {
  WindowRegisters registers;
  registers.write_word(8 * 7, 0x89ABCDEF);
  registers.write_word(8 * 7 + 4, 0xFEDC0123);
  EXPECT_EQ(registers.value(7), 0xFEDC012389ABCDEF);
  EXPECT_EQ(registers.read_word(8 * 7 + 4), 0xFEDC0123U);
  EXPECT_EQ(registers.value(6), 0U);
  EXPECT_EQ(registers.value(8), 0U);
}

// Proves that the grid has the documented number of tiles of each kind, and the documented special ones.
TEST(SimGrid, KnowsItsTiles) {
  std::array<int, 6> count{};
  for (std::uint8_t y = 0; y < kGridHeight; ++y) {
    for (std::uint8_t x = 0; x < kGridWidth; ++x) ++count[static_cast<std::size_t>(kind_of({x, y}))];
  }
  EXPECT_EQ(count, (std::array<int, 6>{80, 16, 18, 1, 1, 4}));
  EXPECT_EQ(kind_of({0, 3}), TileKind::kPcie);
  EXPECT_EQ(kind_of({0, 10}), TileKind::kArc);
  EXPECT_EQ(ethernet_index_of({9, 0}), 0);
  EXPECT_EQ(ethernet_index_of({1, 0}), 1);
  EXPECT_EQ(ethernet_index_of({9, 6}), 8);
  EXPECT_EQ(ethernet_index_of({4, 6}), 15);
}

// Proves that NoC #1 counts from the opposite corner, and translated numbers are the same on both.
TEST(SimGrid, BothNocsFindATile) {
  const Grid grid({});
  EXPECT_EQ(grid.resolve(1, 1, false), (Coordinate{1, 1}));
  EXPECT_EQ(grid.resolve(8, 10, true), (Coordinate{1, 1}));
  EXPECT_EQ(grid.resolve(18, 18, false), (Coordinate{1, 1}));
  EXPECT_EQ(grid.resolve(18, 18, true), (Coordinate{1, 1}));
  EXPECT_EQ(grid.resolve(10, 0, false), std::nullopt);
  EXPECT_EQ(grid.resolve(0, 12, false), std::nullopt);
  EXPECT_EQ(grid.resolve(26, 18, false), std::nullopt);
  EXPECT_EQ(grid.resolve(18, 28, false), std::nullopt);
}

// Proves the documented translation: unharvested rows in order, harvested ones last, and the mask of message 0x57.
TEST(SimGrid, HarvestedRowsComeLast) {
  const Grid whole({});
  EXPECT_EQ(whole.resolve(22, 22, false), (Coordinate{6, 5}));
  EXPECT_EQ(whole.resolve(25, 27, false), (Coordinate{9, 11}));
  EXPECT_EQ(whole.harvest_mask(), 0U);

  const Grid two({11, 2});
  EXPECT_EQ(two.resolve(18, 18, false), (Coordinate{1, 1}));
  EXPECT_EQ(two.resolve(18, 19, false), (Coordinate{1, 3}));
  EXPECT_EQ(two.resolve(18, 25, false), (Coordinate{1, 10}));
  EXPECT_EQ(two.resolve(18, 26, false), (Coordinate{1, 2}));
  EXPECT_EQ(two.resolve(18, 27, false), (Coordinate{1, 11}));
  EXPECT_EQ(two.harvest_mask(), 0b1001U);  // bit 0 is row 11, bit 3 is row 2
  EXPECT_TRUE(two.fused_off({1, 2}));
  EXPECT_FALSE(two.fused_off({5, 2})) << "a DRAM tile of that row works";
}

}  // namespace
}  // namespace warden::sim
