// SPDX-License-Identifier: Apache-2.0
// The Wormhole driver on a simulated card: tiles, messages and telemetry, with values known from other simulators.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/vfio.h>

#include <atomic>
#include <thread>
#include <vector>

#include "driver/chip/chip.h"
#include "tests/conformance/simulator.h"

namespace warden {
namespace {

using chip::CardAddress;
using chip::Handle;
using chip::Tile;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Simulator;

constexpr vfio::OpenOptions kPatient{.request_timeout_ms = 60'000};
constexpr CardAddress kNodeId{0xFFB2'002C};

std::vector<std::byte> pattern(std::size_t size, unsigned seed) {
  std::vector<std::byte> data(size);
  for (std::size_t i = 0; i < size; ++i) data[i] = static_cast<std::byte>((i * 131 + seed * 17 + (i >> 8)) & 0xFF);
  return data;
}

class WormholeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto device = vfio::open(simulator_.device_name(), kPatient);
    ASSERT_TRUE(device) << device.error().message;
    auto chip = chip::open(std::move(*device));
    ASSERT_TRUE(chip) << chip.error().message;
    chip_ = std::move(*chip);
  }
  Handle card() { return chip_->handle(); }

  Simulator simulator_;
  std::unique_ptr<chip::Chip> chip_;
};

// Proves that the card is recognised by what it says of itself.
TEST_F(WormholeTest, KnowsWhatItIs) {
  const auto identity = chip_->identity();
  EXPECT_EQ(identity.chip, "wormhole");
  if (Simulator::attached_device().empty()) {
    EXPECT_EQ(identity.board, "n150");
  }
  EXPECT_EQ(identity.pci_device, 0x401E);
  EXPECT_THAT(identity.harvested_rows, ElementsAre(11));
}

// Proves that coordinates mean the tile they name: each tile's identity register tells its place.
TEST_F(WormholeTest, EveryTileTellsItsPlace) {
  EXPECT_EQ(card().read32({1, 1}, kNodeId).value(), 0x1060'A041U);
  for (const Tile tile : {Tile{9, 10}, Tile{4, 5}, Tile{9, 0}, Tile{4, 6}}) {
    auto node = card().read32(tile, kNodeId);
    ASSERT_TRUE(node) << node.error().message;
    EXPECT_EQ(*node & 0xFFF, static_cast<unsigned>(tile.x | tile.y << 6));
  }
  // Translated: (18,18) is the first working Tensix, (17,18) its DRAM column.
  EXPECT_EQ(card().read32({18, 18}, kNodeId).value() & 0xFFF, 0x041U);
}

// Proves that what is not there is refused before the card is touched: a read of a fused-off tile hangs the NoC.
TEST_F(WormholeTest, RefusesWhatIsNotThere) {
  const auto before = simulator_.stats()["bar_accesses"];
  std::array<std::byte, 4> data{};
  for (const Tile tile :
       {Tile{1, 11}, Tile{10, 1}, Tile{1, 12}, Tile{0, 2}, Tile{0, 3}, Tile{30, 30}, Tile{255, 255}}) {
    EXPECT_EQ(card().read(tile, CardAddress{0}, data).error().code, Code::kInvalidArgument);
  }
  EXPECT_EQ(card().read({1, 1}, CardAddress{0x16'DFFE}, data).error().code, Code::kInvalidArgument);
  EXPECT_EQ(card().read({9, 0}, CardAddress{0x4'0000}, data).error().code, Code::kInvalidArgument);
  EXPECT_EQ(card().read({1, 1}, CardAddress{~0ULL - 1}, data).error().code, Code::kInvalidArgument);
  EXPECT_EQ(card().read32({1, 1}, CardAddress{2}).error().code, Code::kInvalidArgument);
  EXPECT_EQ(card().read({1, 1}, CardAddress{0xFFB2'002E}, data).error().code, Code::kInvalidArgument);
  EXPECT_EQ(simulator_.stats()["bar_accesses"], before);
}

// Proves that any range of L1 reads back as written with its neighbours untouched, window borders (1 MiB) included.
TEST_F(WormholeTest, L1OfAnyLengthAndAlignment) {
  const std::vector<std::byte> blank(3000, std::byte{0xEE});
  for (const std::size_t size : {1U, 3U, 4U, 6U, 255U, 2000U}) {
    for (const std::uint64_t address : {0x101ULL, 0x102ULL, 0x104ULL, 0xF'FFFFULL, 0xF'FFFDULL, 0xF'FC00ULL}) {
      ASSERT_TRUE(card().write({3, 4}, CardAddress{address - 1}, blank));
      const auto data = pattern(size, static_cast<unsigned>(address));
      ASSERT_TRUE(card().write({3, 4}, CardAddress{address}, data));
      std::vector<std::byte> back(size + 2);
      ASSERT_TRUE(card().read({3, 4}, CardAddress{address - 1}, back));
      EXPECT_EQ(back.front(), std::byte{0xEE});
      EXPECT_EQ(back.back(), std::byte{0xEE});
      EXPECT_TRUE(std::equal(data.begin(), data.end(), back.begin() + 1)) << size << " at " << address;
    }
  }
}

// Proves that the whole of L1 and of an Ethernet tile is reached, to the last byte.
TEST_F(WormholeTest, WholeL1) {
  for (const auto& [tile, size] : {std::pair{Tile{1, 1}, 1499136UL}, std::pair{Tile{9, 0}, 262144UL}}) {
    const auto data = pattern(size, tile.y);
    ASSERT_TRUE(card().write(tile, CardAddress{0}, data));
    std::vector<std::byte> back(size);
    ASSERT_TRUE(card().read(tile, CardAddress{0}, back));
    EXPECT_EQ(data, back);
  }
}

// Proves that the three ports of a DRAM show the same memory, and other DRAMs other memory, up to 2 GiB.
TEST_F(WormholeTest, DramPortsShareMemory) {
  const auto data = pattern(70'000, 4);
  const CardAddress across{(16U << 20) - 35'000};  // over the end of a window
  ASSERT_TRUE(card().write({5, 3}, across, data));
  for (const Tile port : {Tile{5, 4}, Tile{5, 8}}) {
    std::vector<std::byte> back(data.size());
    ASSERT_TRUE(card().read(port, across, back));
    EXPECT_EQ(data, back);
  }
  std::vector<std::byte> other(data.size());
  ASSERT_TRUE(card().read({5, 5}, across, other));
  EXPECT_NE(data, other);
  ASSERT_TRUE(card().write32({0, 0}, CardAddress{0x7FFF'FFFC}, 0xFEED'F00D));
  EXPECT_EQ(card().read32({0, 11}, CardAddress{0x7FFF'FFFC}).value(), 0xFEED'F00DU);
}

// Proves that data of all ones is data: only a card that answers nothing at all is off the bus.
TEST_F(WormholeTest, AllOnesMayBeData) {
  ASSERT_TRUE(card().write32({1, 1}, CardAddress{0x100}, 0xFFFF'FFFF));
  EXPECT_EQ(card().read32({1, 1}, CardAddress{0x100}).value(), 0xFFFF'FFFFU);
  simulator_.set_fault("off-bus");
  EXPECT_EQ(card().read32({1, 1}, CardAddress{0x100}).error().code, Code::kOffBus);
  std::array<std::byte, 64> data{};
  EXPECT_EQ(card().read({1, 1}, CardAddress{0x100}, data).error().code, Code::kOffBus);
  EXPECT_EQ(chip_->telemetry().error().code, Code::kOffBus);
  simulator_.set_fault("none");
}

// Proves that a broadcast reaches every working Tensix of its rectangle, and nobody else.
TEST_F(WormholeTest, BroadcastReachesItsRectangle) {
  const auto data = pattern(4096, 1);
  const CardAddress address{0xF'F800};                              // over the end of a small window
  ASSERT_TRUE(card().broadcast({{2, 2}, {7, 11}}, address, data));  // row 11 is fused off
  std::vector<std::byte> back(data.size());
  for (std::uint8_t x = 1; x < 10; ++x) {
    for (std::uint8_t y = 1; y < 11; ++y) {
      if (x == 5 || y == 6) continue;
      ASSERT_TRUE(card().read({x, y}, address, back));
      EXPECT_EQ(back == data, x >= 2 && x <= 7 && y >= 2) << int{x} << "," << int{y};
    }
  }
  EXPECT_EQ(card().broadcast({{0, 0}, {9, 11}}, address, data).error().code, Code::kInvalidArgument);
}

// Proves that messages are answered, that unknown ones are told from failures, and that a hung ARC is a timeout that
// says what was awaited.
TEST_F(WormholeTest, ArcMessages) {
  auto nop = chip_->arc_message(0x11, 0, 0, std::chrono::seconds(60));
  ASSERT_TRUE(nop) << nop.error().message;
  EXPECT_EQ(nop->status, 0);
  EXPECT_EQ(chip_->arc_message(0x03, 0, 0, std::chrono::seconds(60)).error().code, Code::kUnsupported);
  simulator_.set_fault("arc-hung");
  auto hung = chip_->arc_message(0x11, 0, 0, std::chrono::milliseconds(50));
  ASSERT_FALSE(hung);
  EXPECT_EQ(hung.error().code, Code::kTimeout);
  EXPECT_THAT(hung.error().message, HasSubstr("0x11"));
}

// Proves that telemetry decodes to what the card's tags hold, and that its heartbeat moves.
TEST_F(WormholeTest, Telemetry) {
  auto telemetry = chip_->telemetry();
  ASSERT_TRUE(telemetry) << telemetry.error().message;
  EXPECT_GT(telemetry->asic_temperature_celsius, 0);
  EXPECT_LT(telemetry->asic_temperature_celsius, 120);
  EXPECT_GT(telemetry->aiclk_mhz, 0U);
  const auto first = telemetry->heartbeat;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (telemetry->heartbeat == first && std::chrono::steady_clock::now() < deadline) {
    telemetry = chip_->telemetry();
    ASSERT_TRUE(telemetry);
  }
  EXPECT_NE(telemetry->heartbeat, first);
}

// Proves that windows are never turned under somebody's access: threads with more tiles than there are windows of 16
// MiB each find only their own data.
TEST_F(WormholeTest, ThreadsShareWindows) {
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  const std::array<Tile, 6> drams{Tile{0, 0}, Tile{0, 5}, Tile{5, 0}, Tile{5, 2}, Tile{5, 3}, Tile{5, 5}};
  for (unsigned thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      const Handle mine = card();
      for (unsigned round = 0; round < 100; ++round) {
        const Tile tile = drams[(thread + round) % drams.size()];
        const CardAddress address{(std::uint64_t{round % 50} << 24) + thread * 4096};
        const auto data = pattern(100 + round, thread * 1000 + round);
        std::vector<std::byte> back(data.size());
        if (!mine.write(tile, address, data) || !mine.read(tile, address, back) || data != back) ++wrong;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

// Proves that exactly the named cores are held, and that a tile without them, or without any, is refused.
TEST_F(WormholeTest, HoldsTheNamedCores) {
  constexpr CardAddress kSoftReset{0xFFB1'21B0};
  ASSERT_TRUE(card().write32({1, 1}, kSoftReset, 0));
  ASSERT_TRUE(card().hold_in_reset({1, 1}, kTrisc1 | kNcrisc));
  EXPECT_EQ(card().read32({1, 1}, kSoftReset).value(), 0x42000U);
  ASSERT_TRUE(card().hold_in_reset({1, 1}, kTensixCores));
  EXPECT_EQ(card().read32({1, 1}, kSoftReset).value(), 0x47800U);
  ASSERT_TRUE(card().write32({9, 0}, kSoftReset, 0));
  ASSERT_TRUE(card().hold_in_reset({9, 0}, kErisc));
  EXPECT_EQ(card().read32({9, 0}, kSoftReset).value(), 0x800U);
  for (const auto& [tile, cores] : {std::pair{Tile{9, 0}, kBrisc},
                                    {Tile{1, 1}, kErisc},
                                    {Tile{1, 1}, chip::Cores{}},
                                    {Tile{0, 0}, kBrisc},
                                    {Tile{0, 10}, kBrisc},
                                    {Tile{1, 11}, kBrisc}}) {
    EXPECT_EQ(card().hold_in_reset(tile, cores).error().code, Code::kInvalidArgument);
  }
}

// Proves that what a tile has asked for and not been answered is seen, on the interface where it is; and when it ends.
TEST_F(WormholeTest, SeesWhatIsOutstanding) {
  EXPECT_TRUE(card().outstanding({1, 1}).value().is_quiet());
  EXPECT_EQ(card().outstanding({0, 0}).error().code, Code::kInvalidArgument);
  ASSERT_TRUE(card().write32({1, 1}, {0xFFB1'21B0}, 0x47000));
  simulator_.set_fault("noc-stuck");
  const auto stuck = card().outstanding({1, 1}).value();
  EXPECT_FALSE(stuck.is_quiet());
  EXPECT_EQ(stuck.nocs[0].requests, 1U);
  EXPECT_EQ(stuck.nocs[1].requests, 0U);
  EXPECT_THAT(to_string(stuck), HasSubstr("NoC #0: 1 requests unanswered"));
  simulator_.set_fault("none");
  EXPECT_TRUE(card().outstanding({1, 1}).value().is_quiet());
}

}  // namespace
}  // namespace warden
