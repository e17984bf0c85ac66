// SPDX-License-Identifier: Apache-2.0
// What a driver finds behind the windows of a simulated chip, and how wrong accesses end.
#include <gtest/gtest.h>

#include "tests/unit/sim_card.h"

namespace warden::sim::testing {
namespace {

constexpr std::uint64_t kNodeId = 0xFFB2002C;

std::uint64_t multicast_fields(unsigned x0, unsigned y0, unsigned x1, unsigned y1, bool noc1 = false) {
  return std::uint64_t{x1} << 12 | std::uint64_t{y1} << 18 | std::uint64_t{x0} << 24 | std::uint64_t{y0} << 30 |
         std::uint64_t{noc1} << 36 | std::uint64_t{1} << 37;
}

// Proves that windows of each size carry 64 bytes there and back, at the indices that the public simulator was
// tried with.
TEST(SimChip, WindowsOfEverySizeReachL1) {
  Card card;
  for (const unsigned index : {0U, 155U, 156U, 165U, 166U, 184U, 185U}) {
    const WindowPlace window = window_of(index);
    card.aim(index, std::uint64_t{1} << (36 - window.size_log2) | std::uint64_t{1} << (42 - window.size_log2));
    std::array<std::byte, 64> out;
    out.fill(static_cast<std::byte>(index));
    card.chip.write_bar(0, window.begin + 0x1000, out);
    std::array<std::byte, 64> in{};
    card.chip.read_bar(0, window.begin + 0x1000, in);
    EXPECT_EQ(in, out) << "window " << index;
    EXPECT_EQ(card.tile32(1, 1, 0x1000), 0x01010101U * index);
  }
}

// Proves that an access over a window's end is cut there, and counted.
TEST(SimChip, AccessOverTheEndOfAWindowIsCut) {
  Card card;
  card.aim(0, 0x0000040000410000);
  card.aim(1, 0x0000040000410000 | 2 << 16);  // the neighbour, onto another tile
  const std::uint64_t pair = 0x1122334455667788;
  card.bar_write(0xFFFFC, pair);
  EXPECT_EQ(card.tile32(1, 1, 0xFFFFC), 0x55667788U);
  EXPECT_EQ(card.tile32(1, 1, 0x100000), 0U) << "not beyond the window";
  EXPECT_EQ(card.bar32(0x100000), 0U) << "nor into the next one";
  std::uint64_t back = 0;
  card.chip.read_bar(0, 0xFFFFC, std::as_writable_bytes(std::span(&back, 1)));
  EXPECT_EQ(back, 0xFFFFFFFF55667788U);
  EXPECT_EQ(card.errors(Access::kCut), 2U);
}

// Proves the identity registers against published values: NODE_ID and NOC_ID_LOGICAL of (1,1) and E1, the PCIe
// tile's through BAR0, the ARC's through its peripherals.
TEST(SimChip, IdentityRegistersHoldPublishedValues) {
  Card card;
  EXPECT_EQ(card.tile32(1, 1, kNodeId), 0x1060A041U);
  EXPECT_EQ(card.tile32(1, 1, 0xFFB20138), 0x492U);
  EXPECT_EQ(card.tile32(1, 0, 0xFFB20138), 0x412U);
  EXPECT_EQ(card.tile32(1, 1, 0xFFB3002C) & 0xFFF, 8U | 10U << 6) << "NoC #1 counts from the other corner";
  EXPECT_EQ(card.bar32(0x1FD0202C) & 0xFFF, 3U << 6);
  EXPECT_EQ(card.bar32(0x1FF5002C) & 0xFFF, 10U << 6);
  EXPECT_EQ(card.bar32(0x1FF50100), 0x4000U) << "translation is on";
  EXPECT_EQ(card.tile32(8, 10, kNodeId, true), 0x1060A041U) << "(1,1) as NoC #1 has it";
  EXPECT_EQ(card.tile32(18, 18, kNodeId), 0x1060A041U) << "(1,1) translated";
  EXPECT_EQ(card.tile32(9, 0, 0xFFB20030) >> 16 & 0xFF, 2U) << "an Ethernet endpoint";
}

// Proves that soft reset registers start with all cores held and keep what is written, and that the wall clock
// counts nanoseconds with a latched high word.
TEST(SimChip, CoreRegisters) {
  Card card;
  EXPECT_EQ(card.tile32(1, 1, 0xFFB121B0), 0x47800U);
  EXPECT_EQ(card.tile32(1, 0, 0xFFB121B0), 0x800U);
  card.tile_write32(1, 1, 0xFFB121B0, 0x47000);
  EXPECT_EQ(card.tile32(1, 1, 0xFFB121B0), 0x47000U);
  const std::uint32_t before = card.tile32(1, 1, 0xFFB121F0);
  card.pass(std::chrono::microseconds(5));
  EXPECT_EQ(card.tile32(1, 1, 0xFFB121F0) - before, 5000U);
  card.pass(std::chrono::seconds(5));
  EXPECT_EQ(card.tile32(1, 1, 0xFFB121F8), 0U) << "latched by the last read of the low word";
  EXPECT_EQ(card.tile32(1, 1, 0xFFB121F4), 1U);
}

// Proves that the three ports of a DRAM bank share its memory and the six banks do not.
TEST(SimChip, DramPortsShareTheirBank) {
  Card card;
  card.tile_write32(5, 3, 0x7FFFFFFC, 0xD4D4D4D4);
  EXPECT_EQ(card.tile32(5, 4, 0x7FFFFFFC), 0xD4D4D4D4U);
  EXPECT_EQ(card.tile32(5, 8, 0x7FFFFFFC), 0xD4D4D4D4U);
  EXPECT_EQ(card.tile32(5, 5, 0x7FFFFFFC), 0U);
  EXPECT_EQ(card.tile32(0, 0, 0x7FFFFFFC), 0U);
  EXPECT_EQ(card.tile32(5, 3, 0x80000000), kOnes) << "the bank ends at 2 GiB";
  EXPECT_EQ(card.errors(Access::kUnmapped), 1U);
}

// Proves that L1 ends where it should on both kinds of core tile.
TEST(SimChip, L1HasItsSize) {
  Card card;
  card.tile_write32(1, 1, 0x16DFFC, 7);
  EXPECT_EQ(card.tile32(1, 1, 0x16DFFC), 7U);
  EXPECT_EQ(card.tile32(1, 1, 0x16E000), kOnes);
  card.tile_write32(9, 0, 0x3FFFC, 8);
  EXPECT_EQ(card.tile32(9, 0, 0x3FFFC), 8U);
  EXPECT_EQ(card.tile32(9, 0, 0x40000), kOnes);
}

// Proves that a multicast write reaches every working Tensix tile of its rectangle and no other tile.
TEST(SimChip, MulticastReachesTensixOnly) {
  Card card({11});
  card.aim(166, multicast_fields(1, 1, 9, 11));
  card.bar_write(0xB000000 + 0x40, 0xABCDEF01U);
  EXPECT_EQ(card.errors(Access::kFusedOff), 0U);
  for (unsigned y = 0; y < 11; ++y) {
    for (unsigned x = 0; x < 10; ++x) {
      const TileKind kind = kind_of({static_cast<std::uint8_t>(x), static_cast<std::uint8_t>(y)});
      const bool has_memory = kind == TileKind::kTensix || kind == TileKind::kEthernet || kind == TileKind::kDram;
      if (!has_memory) continue;
      EXPECT_EQ(card.tile32(x, y, 0x40), kind == TileKind::kTensix ? 0xABCDEF01U : 0U) << x << "," << y;
    }
  }
  card.aim(166, multicast_fields(2, 2, 3, 3));
  card.bar_write(0xB000000 + 0x44, 5U);
  EXPECT_EQ(card.tile32(2, 2, 0x44) + card.tile32(3, 2, 0x44) + card.tile32(2, 3, 0x44) + card.tile32(3, 3, 0x44), 20U);
  EXPECT_EQ(card.tile32(4, 3, 0x44) + card.tile32(1, 2, 0x44) + card.tile32(2, 4, 0x44), 0U);
  card.aim(166, multicast_fields(2, 2, 3, 3));
  EXPECT_EQ(card.bar32(0xB000000), kOnes) << "nothing can be read through it";
}

// Proves that NoC #1 wants start and end of a translated rectangle exchanged.
TEST(SimChip, MulticastOnTheOtherNocIsTurned) {
  Card card;
  card.aim(166, multicast_fields(21, 20, 18, 18, true));
  card.bar_write(0xB000000, 1U);
  EXPECT_EQ(card.tile32(1, 1, 0) + card.tile32(4, 3, 0), 2U);
  card.aim(166, multicast_fields(18, 18, 21, 20, true));
  card.bar_write(0xB000000, 2U);
  EXPECT_EQ(card.tile32(1, 1, 0), 1U) << "the wrong way round reaches nobody";
  EXPECT_EQ(card.errors(Access::kBadWindow), 1U);
}

// Proves that a fused-off tile reads all ones, takes no writes, and that touching it is counted.
TEST(SimChip, FusedOffTilesDoNotAnswer) {
  Card card({11, 1});
  EXPECT_EQ(card.tile32(1, 11, 0), kOnes);
  card.tile_write32(2, 1, 0, 1);
  EXPECT_EQ(card.errors(Access::kFusedOff), 2U);
  EXPECT_EQ(card.tile32(2, 2, 0), 0U);
  EXPECT_EQ(card.message(0x57), 0x57U);
  EXPECT_EQ(card.bar32(kArguments), 0b11U);
  EXPECT_EQ(card.telemetry(4), 0b11U);
}

// Proves that untouched memory costs nothing, even when all of it is read.
TEST(SimChip, ReadingAllocatesNothing) {
  Card card;
  const std::uint64_t before = card.chip.touched_bytes();
  std::vector<std::byte> megabyte(1 << 20);
  for (std::uint64_t at = 0; at < (1 << 24); at += megabyte.size()) {
    card.chip.read_bar(0, card.aim_at(0, 0, at), megabyte);
  }
  EXPECT_EQ(card.chip.touched_bytes(), before);
  card.tile_write32(0, 0, 0x1000, 1);
  EXPECT_EQ(card.chip.touched_bytes(), before + 4096);
}

// Proves the messages that drivers rely on, and that an unknown code is answered with all ones.
TEST(SimChip, ArcAnswersMessages) {
  Card card;
  EXPECT_EQ(card.message(0x11), 0x11U);
  EXPECT_EQ(card.bar32(kMiscControl) & kTrigger, 0U);
  EXPECT_EQ(card.bar32(kPostCode) & 0xFFFF0000, 0xC0DE0000U);
  EXPECT_EQ(card.message(0x90, 41), 0x90U);
  EXPECT_EQ(card.bar32(kArguments), 42U);
  EXPECT_EQ(card.message(0x52), 0x52U);
  EXPECT_EQ(card.message(0x34), 0x34U);
  EXPECT_EQ(card.bar32(kArguments), 1000U);
  EXPECT_EQ(card.telemetry(14), 1000U);
  EXPECT_EQ(card.message(0x99), kOnes);
}

// Proves that telemetry tells the board and moves: the heartbeat ten times a second.
TEST(SimChip, TelemetryLives) {
  Card card;
  EXPECT_EQ(card.telemetry(1), 0x180U);
  EXPECT_EQ(card.telemetry(2), 1U);
  const double degrees = card.telemetry(11) / 65536.0;
  EXPECT_GT(degrees, 20);
  EXPECT_LT(degrees, 90);
  const std::uint32_t beat = card.telemetry(32);
  EXPECT_GT(beat, 0U);
  card.pass(std::chrono::seconds(1));
  EXPECT_EQ(card.telemetry(32), beat + 10);
}

// Proves that the reference clock runs at 27 MHz and spans both words.
TEST(SimChip, ReferenceClockRunsAt27Mhz) {
  Card card;
  const auto clock = [&] { return std::uint64_t{card.bar32(kClockHigh)} << 32 | card.bar32(kClockLow); };
  const std::uint64_t before = clock();
  EXPECT_GT(before >> 32, 0U) << "a card that has been up for a while";
  card.pass(std::chrono::seconds(2));
  EXPECT_EQ(clock() - before, 54'000'000U);
}

// Proves that a piece of a register can be read but not written, and that the latter is counted.
TEST(SimChip, RegistersTakeWholeWordsOnly) {
  Card card;
  card.bar_write(kMessage, 0x11223344U);
  std::uint8_t byte = 0;
  card.chip.read_bar(0, kMessage + 1, std::as_writable_bytes(std::span(&byte, 1)));
  EXPECT_EQ(byte, 0x33);
  card.bar_write(kMessage, std::uint8_t{0xFF});
  EXPECT_EQ(card.bar32(kMessage), 0x11223344U);
  EXPECT_EQ(card.errors(Access::kMisaligned), 1U);
}

}  // namespace
}  // namespace warden::sim::testing
