// SPDX-License-Identifier: Apache-2.0
// The simulated card's configuration space: identity, BAR sizing, capabilities, gates.
#include <gtest/gtest.h>

#include <map>

#include "tests/unit/sim_card.h"

namespace warden::sim::testing {
namespace {

constexpr std::uint32_t kMemory = 2;
constexpr std::uint32_t kMaster = 4;

std::map<std::uint32_t, std::uint32_t> capabilities(Card& card) {
  std::map<std::uint32_t, std::uint32_t> found;
  for (std::uint32_t at = card.config32(0x34) & 0xFF; at != 0; at = card.config32(at) >> 8 & 0xFF) {
    found[card.config32(at) & 0xFF] = at;
    if (found.size() > 16) break;
  }
  return found;
}

// Proves the identity that drivers match: vendor, device, class, revision, a type 0 header.
TEST(SimConfig, IsAWormhole) {
  Card card;
  EXPECT_EQ(card.config32(0x00), 0x401E1E52U);
  EXPECT_EQ(card.config32(0x08), 0x12000001U);
  EXPECT_EQ(card.config32(0x0C) >> 16 & 0xFF, 0U);
  EXPECT_EQ(card.config32(kCommand) & 0xFFFF, kMemory | kMaster);
}

// Proves that sizing by writing all ones works on all three BARs, and that none of the others exists.
TEST(SimConfig, BarsCanBeSized) {
  Card card;
  const std::array<std::uint32_t, 3> sizes = {0x20000000, 0x100000, 0x2000000};
  for (std::uint32_t bar = 0; bar < 3; ++bar) {
    const std::uint32_t at = 0x10 + 8 * bar;
    EXPECT_FALSE(card.config_write(at, kOnes));
    EXPECT_FALSE(card.config_write(at + 4, kOnes));
    EXPECT_EQ(card.config32(at), (~(sizes[bar] - 1)) | 0x4) << "64 bits, not prefetchable";
    EXPECT_EQ(card.config32(at + 4), kOnes);
  }
  EXPECT_FALSE(card.config_write(0x30, kOnes));
  EXPECT_EQ(card.config32(0x30), 0U) << "no expansion ROM";
}

// Proves that the capability list holds power management, MSI and PCI Express, the last at 0x70.
TEST(SimConfig, HasItsCapabilities) {
  Card card;
  const auto found = capabilities(card);
  ASSERT_EQ(found.size(), 3U);
  EXPECT_TRUE(found.contains(0x01));
  ASSERT_TRUE(found.contains(0x05));
  ASSERT_TRUE(found.contains(0x10));
  EXPECT_EQ(found.at(0x10), 0x70U);
  EXPECT_EQ(card.config32(found.at(0x05)) >> 16 & 0x8E, 0x80U) << "64-bit addresses, one vector";
  EXPECT_NE(card.config32(0x74) & 1U << 28, 0U) << "function-level reset";
  Card without({}, false);
  EXPECT_EQ(without.config32(0x74) & 1U << 28, 0U);
}

// Proves that what no capability covers is storage for the user, up to the end of the space.
TEST(SimConfig, RawSpaceKeepsWhatIsWritten) {
  Card card;
  EXPECT_FALSE(card.config_write(0xFFC, 0x12345678));
  EXPECT_EQ(card.config32(0xFFC), 0x12345678U);
  EXPECT_FALSE(card.config_write(0x00, 0));
  EXPECT_EQ(card.config32(0x00), 0x401E1E52U) << "the identity can't be written";
}

// Proves that BARs answer only with memory enabled and an address programmed.
TEST(SimConfig, BarsNeedMemoryEnable) {
  Card card;
  ASSERT_EQ(card.bar32(kPostCode), 0xC0DE0001U);
  EXPECT_FALSE(card.config_write(kCommand, kMaster));
  EXPECT_EQ(card.bar32(kPostCode), kOnes);
  card.bar_write(kPostCode, 0x12345678U);
  EXPECT_FALSE(card.config_write(kCommand, kMaster | kMemory));
  EXPECT_EQ(card.bar32(kPostCode), 0xC0DE0001U) << "the write was dropped";
  EXPECT_FALSE(card.config_write(0x10, 0));
  EXPECT_FALSE(card.config_write(0x14, 0));
  EXPECT_EQ(card.bar32(kPostCode), kOnes) << "BAR0 has no address";
}

// Proves that the kernel's view of the payload size stays, and the card's own back door reaches it (the DBI).
TEST(SimConfig, PayloadSizeGoesThroughTheBackDoor) {
  Card card;
  constexpr std::uint32_t kPayload = 7 << 5;
  const std::uint32_t before = card.config32(0x78);
  EXPECT_FALSE(card.config_write(0x78, before ^ kPayload));
  EXPECT_EQ(card.config32(0x78) & kPayload, before & kPayload);
  card.bar_write(0x1FF30078, 0x200000U);
  card.bar_write(0x1FF3007C, 0x200000U);
  EXPECT_EQ(card.tile32(0, 3, 0x800000078), card.config32(0x78));
  card.tile_write32(0, 3, 0x800000078, before ^ kPayload);
  EXPECT_EQ(card.config32(0x78) & kPayload, (before ^ kPayload) & kPayload);
}

// Proves that BAR4 leads nowhere before inbound region 1 is set up as tt-kmd does it, and to the top of BAR0 then.
TEST(SimConfig, Bar4IsAnAliasOnceTranslated) {
  Card card;
  EXPECT_EQ(card.bar32(0x1F30060, 2), kOnes);
  card.bar_write(0x1514, 0x1E000000U, 1);
  card.bar_write(0x1518, 0U, 1);
  card.bar_write(0x1500, 0U, 1);
  card.bar_write(0x1504, 0xC8000400U, 1);
  EXPECT_EQ(card.bar32(0x1504, 1), 0xC8000400U) << "the registers read back";
  EXPECT_EQ(card.bar32(0x1F30060, 2), 0xC0DE0001U);
}

constexpr bool kInSlot = true;

// Puts BAR0 where a kernel would, and enables memory and bus master.
void set_up(Card& card) {
  EXPECT_FALSE(card.config_write(0x10, 0));
  EXPECT_FALSE(card.config_write(0x14, 0x40));
  EXPECT_FALSE(card.config_write(kCommand, kMemory | kMaster));
}

// Proves what a kernel finds in a slot: nothing set up, large BARs prefetchable so that they fit behind a bridge, no
// storage where there is no capability, and a payload size that it may set.
TEST(SimConfig, InASlotNothingIsSetUp) {
  Card card({}, true, kInSlot);
  EXPECT_EQ(card.config32(kCommand) & 0xFFFF, 0U);
  EXPECT_EQ(card.bar32(kPostCode), kOnes);
  const std::array<std::uint32_t, 3> flags = {0xC, 0x4, 0xC};
  for (std::uint32_t bar = 0; bar < 3; ++bar) EXPECT_EQ(card.config32(0x10 + 8 * bar), flags[bar]) << bar;
  EXPECT_EQ(card.config32(0x14), 0U);
  EXPECT_FALSE(card.config_write(0xFFC, 0x12345678));
  EXPECT_EQ(card.config32(0xFFC), 0U);
  const std::uint32_t before = card.config32(0x78);
  EXPECT_FALSE(card.config_write(0x78, before ^ (7 << 5)));
  EXPECT_EQ(card.config32(0x78), before ^ (7 << 5));
  set_up(card);
  EXPECT_EQ(card.bar32(kPostCode), 0xC0DE0001U);
}

// Proves that in a slot a function reset, and one by the ARC, lose BARs, command register and MSI, and that the card
// puts nothing back by itself: a kernel restores only what it finds changed, so what stayed would stay broken.
TEST(SimConfig, InASlotAResetLosesWhatTheKernelSetUp) {
  for (const bool by_function : {true, false}) {
    Card card({}, true, kInSlot);
    set_up(card);
    EXPECT_FALSE(card.config_write(0x50, 1U << 16));
    card.chip.set_interrupts_enabled(true);
    EXPECT_TRUE(card.chip.raise_interrupt());
    ASSERT_TRUE(card.chip.begin_reset(by_function ? ResetKind::kFunction : ResetKind::kBoard));
    card.pass(std::chrono::seconds(1));
    EXPECT_EQ(card.config32(kCommand) & 0xFFFF, 0U);
    EXPECT_EQ(card.config32(0x14), 0U);
    EXPECT_EQ(card.config32(0x50) & 1U << 16, 0U);
    EXPECT_EQ(card.bar32(kPostCode), kOnes);
    EXPECT_FALSE(card.config_write(kCommand, kMemory | kMaster));
    EXPECT_EQ(card.bar32(kPostCode), 0xC0DE0001U) << "virtual machines do not write the BARs again";
    EXPECT_EQ(card.config32(0x14), 0U) << "the card put them back";
    card.chip.set_interrupts_enabled(true);
    EXPECT_FALSE(card.chip.raise_interrupt()) << "MSI is off";
    EXPECT_FALSE(card.config_write(0x50, 1U << 16));
    EXPECT_TRUE(card.chip.raise_interrupt());
  }
}

// Proves that whoever comes and goes in a slot changes nothing of it: enabling is the kernel's.
TEST(SimConfig, InASlotNobodyEnablesTheCardForItsClient) {
  Card card({}, true, kInSlot);
  card.chip.client_opened();
  EXPECT_EQ(card.config32(kCommand) & 0xFFFF, 0U);
}

}  // namespace
}  // namespace warden::sim::testing
