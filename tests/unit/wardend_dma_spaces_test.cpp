// SPDX-License-Identifier: Apache-2.0
// Which addresses a card's DMA must not use, from the ranges that the kernel says it may.
#include <gtest/gtest.h>

#include "tools/wardend/dma_spaces.h"

namespace warden::daemon {
namespace {

using Holes = std::vector<std::pair<vfio::Iova, std::uint64_t>>;
using Ranges = std::vector<vfio::IovaRange>;

constexpr std::uint64_t kLast = ~std::uint64_t{0};

vfio::IovaRange range(std::uint64_t first, std::uint64_t last) { return {{first}, {last}}; }

// Proves that the whole of a card's reach is free where the host keeps nothing for itself.
TEST(DmaSpaces, NoHolesInWhatIsWhole) {
  EXPECT_EQ(holes({range(0, kLast)}, {0x1000}, 0xF000), Holes{});
  EXPECT_EQ(holes({range(0x1000, 0xFFFF)}, {0x1000}, 0xF000), Holes{});
  EXPECT_EQ(holes({range(0, 0x7FFF), range(0x8000, kLast)}, {0x1000}, 0xF000), Holes{});
}

// Proves that the interrupt window of an x86 host is a hole, and so is what lies before the first range and behind the
// last.
TEST(DmaSpaces, HolesBetweenAndAround) {
  const Ranges x86{range(0, 0xFEDF'FFFF), range(0xFEF0'0000, 0x7F'FFFF'FFFF)};
  EXPECT_EQ(holes(x86, {0x1000}, 0xFFFF'0000), (Holes{{{0xFEE0'0000}, 0x10'0000}}));
  EXPECT_EQ(holes({range(0x2000, 0x2FFF)}, {0x1000}, 0x4000), (Holes{{{0x1000}, 0x1000}, {{0x3000}, 0x2000}}));
}

// Proves that ranges outside of the card's reach cut nothing, and that without any range nothing is usable.
TEST(DmaSpaces, OnlyTheReachCounts) {
  EXPECT_EQ(holes({range(0, 0x0FFF), range(0x1000, 0x5FFF), range(0x9000, kLast)}, {0x2000}, 0x2000), Holes{});
  EXPECT_EQ(holes({range(0x9000, kLast)}, {0x2000}, 0x2000), (Holes{{{0x2000}, 0x2000}}));
  EXPECT_EQ(holes({range(0, 0x0FFF)}, {0x2000}, 0x2000), (Holes{{{0x2000}, 0x2000}}));
  EXPECT_EQ(holes({}, {0x2000}, 0x2000), (Holes{{{0x2000}, 0x2000}}));
}

}  // namespace
}  // namespace warden::daemon
