// SPDX-License-Identifier: Apache-2.0
// What each kind of reset takes and leaves on a simulated card, and how faults change that.
#include <gtest/gtest.h>

#include "tests/unit/sim_card.h"

namespace warden::sim::testing {
namespace {

using std::chrono::milliseconds;

constexpr std::uint32_t kReset = 0x56;
constexpr std::uint64_t kAim = 0x0000040000410000;  // window 0, strict, to L1 of (1,1)

std::uint32_t command(Card& card) { return card.config32(kCommand) & 0xFFFF; }

// A card in use: marker set, BAR4 translated, a window aimed, L1, DRAM and soft reset written.
void put_to_use(Card& card) {
  EXPECT_FALSE(card.config_write(kCommand, card.config32(kCommand) | kMarker));
  card.aim(0, kAim);
  card.bar_write(0x1514, 0x1E000000U, 1);
  card.bar_write(0x1504, 0xC8000400U, 1);
  card.tile_write32(1, 1, 0x100, 0xCAFE);
  card.tile_write32(0, 0, 0x100, 0xBEEF);
  card.tile_write32(1, 1, 0xFFB121B0, 0x47000);
  ASSERT_TRUE(card.chip.state() == "running");
}

// Proves that nothing answers while a reset by message runs, that such accesses are counted, and that it ends with
// its time.
TEST(SimReset, GivesAllOnesWhileItLasts) {
  Card card;
  put_to_use(card);
  EXPECT_EQ(card.message(kReset, 0), kOnes) << "never answered";
  card.pass(milliseconds(199));
  EXPECT_EQ(card.config32(0), kOnes);
  EXPECT_EQ(card.bar32(kPostCode), kOnes);
  EXPECT_FALSE(card.config_write(kCommand, 6));
  EXPECT_EQ(card.chip.stats().bar_accesses_during_reset, 2U) << "the poll for the answer, and the post code";
  EXPECT_EQ(card.chip.stats().config_accesses_during_reset, 2U);
  card.pass(milliseconds(1));
  EXPECT_EQ(card.config32(0), 0x401E1E52U);
  EXPECT_EQ(card.chip.stats().config_accesses_during_reset, 2U);
  EXPECT_EQ(card.resets(ResetKind::kAsic), 1U);
}

// Proves what a reset by message takes: BARs, command register with the marker, windows, translation, memories,
// core registers, clock and heartbeat. And that a write of the command register brings the BARs back, as the
// kernel's VFIO does it.
TEST(SimReset, ByMessageLosesEverything) {
  Card card;
  put_to_use(card);
  const std::uint32_t bar0_high = card.config32(0x14);
  ASSERT_NE(bar0_high, 0U);
  card.message(kReset, 3);
  EXPECT_EQ(card.resets(ResetKind::kBoard), 1U);
  card.pass(milliseconds(300));
  EXPECT_EQ(command(card), 0U);
  for (std::uint32_t bar = 0x10; bar < 0x28; bar += 4) EXPECT_EQ(card.config32(bar), 0U);
  EXPECT_EQ(card.bar32(kPostCode), kOnes) << "no BAR answers yet";

  EXPECT_FALSE(card.config_write(kCommand, 6));
  EXPECT_EQ(card.config32(0x14), bar0_high);
  EXPECT_EQ(command(card), 6U);
  EXPECT_EQ(card.bar32(kPostCode), 0xC0DE0001U);
  EXPECT_EQ(card.bar32(kWindowRegister0), 0U);
  EXPECT_EQ(card.bar32(kWindowRegister0 + 4), 0U);
  EXPECT_EQ(card.bar32(0x1504, 1), 0U);
  EXPECT_EQ(card.tile32(1, 1, 0x100), 0U);
  EXPECT_EQ(card.tile32(0, 0, 0x100), 0U);
  EXPECT_EQ(card.tile32(1, 1, 0xFFB121B0), 0x47800U);
  EXPECT_EQ(card.bar32(kClockHigh), 0U);
  EXPECT_EQ(card.bar32(kClockLow), 2'700'000U) << "100 ms after the end of the reset";
  EXPECT_EQ(card.telemetry(32), 1U);
  card.pass(milliseconds(500));
  EXPECT_EQ(card.telemetry(32), 6U) << "and moves";
}

// Proves that both kernel resets lose the PCIe side, keep the chip behind it, and restore configuration space.
TEST(SimReset, ByTheKernelKeepsTheChip) {
  for (const ResetKind kind : {ResetKind::kFunction, ResetKind::kLink}) {
    Card card;
    put_to_use(card);
    const std::uint32_t bar0_high = card.config32(0x14);
    const std::uint32_t beat = card.telemetry(32);
    ASSERT_TRUE(card.chip.begin_reset(kind));
    EXPECT_FALSE(card.chip.begin_reset(kind)) << "one at a time";
    EXPECT_EQ(card.config32(0), kOnes);
    card.pass(milliseconds(200));
    EXPECT_EQ(command(card), 6U | kMarker) << "the marker proves nothing here";
    EXPECT_EQ(card.config32(0x14), bar0_high);
    EXPECT_EQ(card.bar32(kWindowRegister0), 0U);
    EXPECT_EQ(card.bar32(0x1504, 1), 0U);
    EXPECT_EQ(card.tile32(1, 1, 0x100), 0xCAFEU);
    EXPECT_EQ(card.tile32(0, 0, 0x100), 0xBEEFU);
    EXPECT_EQ(card.telemetry(32), beat + 2);
    EXPECT_EQ(card.resets(kind), 1U);
  }
}

// Proves that the reset bit of Device Control resets a card that has the capability, and does nothing on another.
TEST(SimReset, FunctionLevelResetByConfigurationWrite) {
  Card card;
  EXPECT_TRUE(card.config_write(0x78, card.config32(0x78) | 0x8000));
  EXPECT_EQ(card.config32(0), kOnes);
  card.pass(milliseconds(200));
  EXPECT_EQ(card.config32(0x78) & 0x8000, 0U) << "the bit always reads zero";
  Card without({}, false);
  EXPECT_FALSE(without.config_write(0x78, without.config32(0x78) | 0x8000));
  EXPECT_EQ(without.resets(ResetKind::kFunction), 0U);
}

// Proves that the last close resets the PCIe side at once, and the next client finds the function enabled.
TEST(SimReset, CloseLeavesACleanFunction) {
  Card card;
  put_to_use(card);
  card.chip.client_closed();
  EXPECT_EQ(command(card) & 4, 0U) << "no bus master any more";
  card.chip.client_opened();
  EXPECT_EQ(command(card) & 6, 6U);
  EXPECT_EQ(card.bar32(kWindowRegister0), 0U);
  EXPECT_EQ(card.tile32(1, 1, 0x100), 0xCAFEU);
  EXPECT_EQ(card.resets(ResetKind::kClose), 1U);
}

// Proves that hung firmware takes no message and has no heartbeat, and that it goes on when healed.
TEST(SimFaults, ArcHung) {
  Card card;
  const std::uint32_t beat = card.telemetry(32);
  card.chip.set_fault(Fault::kArcHung);
  EXPECT_EQ(card.message(kReset, 0), 0xAA00U | kReset);
  EXPECT_NE(card.bar32(kMiscControl) & kTrigger, 0U);
  EXPECT_EQ(card.resets(ResetKind::kAsic), 0U);
  card.pass(milliseconds(1000));
  EXPECT_EQ(card.telemetry(32), beat);
  EXPECT_EQ(card.bar32(kPostCode), 0xC0DE0001U);
  card.chip.set_fault(Fault::kNone);
  EXPECT_EQ(card.bar32(kMiscControl) & kTrigger, 0U);
  EXPECT_EQ(card.resets(ResetKind::kAsic), 0U) << "what waited is dropped";
  card.pass(milliseconds(100));
  EXPECT_EQ(card.telemetry(32), beat + 1);
  EXPECT_EQ(card.message(0x11), 0x11U);
}

// Proves that a card off the bus answers nothing, cannot be reset, and is as before when it is back.
TEST(SimFaults, OffBus) {
  Card card;
  put_to_use(card);
  card.chip.set_fault(Fault::kOffBus);
  EXPECT_EQ(card.config32(0), kOnes);
  EXPECT_EQ(card.bar32(kPostCode), kOnes);
  card.bar_write(kWindowRegister0, 0U);
  EXPECT_FALSE(card.chip.begin_reset(ResetKind::kFunction));
  EXPECT_EQ(card.chip.stats().bar_accesses_during_reset, 0U);
  card.chip.set_fault(Fault::kNone);
  EXPECT_EQ(card.bar32(kWindowRegister0), static_cast<std::uint32_t>(kAim));
}

// Proves that a hanging reset lasts until it is healed, and then is a complete one.
TEST(SimFaults, ResetHangs) {
  Card card;
  put_to_use(card);
  card.chip.set_fault(Fault::kResetHangs);
  card.message(kReset, 0);
  card.pass(std::chrono::hours(1));
  EXPECT_EQ(card.config32(0), kOnes);
  EXPECT_FALSE(card.chip.begin_reset(ResetKind::kFunction));
  card.chip.set_fault(Fault::kNone);
  EXPECT_EQ(card.config32(0), 0x401E1E52U);
  EXPECT_EQ(command(card), 0U);
}

// Proves that an ignored reset is answered and changes nothing: the marker stays, L1 too.
TEST(SimFaults, ResetIgnored) {
  Card card;
  put_to_use(card);
  card.chip.set_fault(Fault::kResetIgnored);
  EXPECT_EQ(card.message(kReset, 0), kReset) << "status 0";
  EXPECT_EQ(command(card), 6U | kMarker);
  EXPECT_EQ(card.tile32(1, 1, 0x100), 0xCAFEU);
  EXPECT_EQ(card.resets(ResetKind::kAsic), 0U);
}

// Proves that only a tile whose cores have run has a request that is never answered, until the chip's reset.
TEST(SimFaults, NocStuck) {
  constexpr std::uint64_t kSoftReset = 0xFFB121B0;
  constexpr std::uint64_t kOutstanding0 = 0xFFB20240;
  Card card;
  put_to_use(card);
  card.tile_write32(1, 1, kSoftReset, 0x46800);  // TRISC0 runs
  EXPECT_EQ(card.tile32(1, 1, kOutstanding0), 0U);
  card.chip.set_fault(Fault::kNocStuck);
  EXPECT_EQ(card.tile32(1, 1, kOutstanding0), 1U);
  EXPECT_EQ(card.tile32(2, 1, kOutstanding0), 0U);
  card.tile_write32(1, 1, kSoftReset, 0x47800);
  EXPECT_EQ(card.tile32(1, 1, kOutstanding0), 1U) << "a core in reset does not take its request back";
  card.chip.set_fault(Fault::kNone);
  EXPECT_EQ(card.tile32(1, 1, kOutstanding0), 0U);
  card.chip.set_fault(Fault::kNocStuck);
  card.message(kReset, 0);
  card.pass(milliseconds(200));
  EXPECT_FALSE(card.config_write(kCommand, 6));
  EXPECT_EQ(card.tile32(1, 1, kOutstanding0), 0U);
}

// Proves that a reset by message takes the interrupt away and one by the kernel does not.
TEST(SimReset, InterruptsAreLostWithTheChipOnly) {
  Card card;
  EXPECT_FALSE(card.chip.raise_interrupt());
  card.chip.set_interrupts_enabled(true);
  EXPECT_TRUE(card.chip.raise_interrupt());
  ASSERT_TRUE(card.chip.begin_reset(ResetKind::kLink));
  EXPECT_FALSE(card.chip.raise_interrupt());
  card.pass(milliseconds(200));
  EXPECT_TRUE(card.chip.raise_interrupt());
  card.message(kReset, 0);
  card.pass(milliseconds(200));
  EXPECT_FALSE(card.config_write(kCommand, 6));
  EXPECT_FALSE(card.chip.raise_interrupt());
}

}  // namespace
}  // namespace warden::sim::testing
