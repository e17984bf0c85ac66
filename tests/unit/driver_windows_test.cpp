// SPDX-License-Identifier: Apache-2.0
// Window encoding against known values, and the pool's promises on a BAR of plain memory.
#include <gtest/gtest.h>
#include <linux/vfio.h>

#include <atomic>
#include <optional>
#include <thread>

#include "driver/chip/tile_memory.h"
#include "driver/chip/windows.h"
#include "driver/chip/wormhole_layout.h"
#include "tests/conformance/fake_device.h"

namespace warden::chip {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testing::FakeDevice;

class WindowPoolTest : public ::testing::Test {
 protected:
  static auto soon() { return steady_clock::now() + std::chrono::seconds(60); }
  std::uint64_t config_of(std::size_t index) {
    std::uint64_t value = 0;
    auto done = device_->read(VFIO_PCI_BAR0_REGION_INDEX, wormhole::kWindowConfig + 8 * index,
                              std::as_writable_bytes(std::span(&value, 1)));
    return done ? value : ~0ULL;
  }

  std::unique_ptr<FakeDevice> device_ = FakeDevice::create({.mappable = false});
  Bar bar0_{*device_, VFIO_PCI_BAR0_REGION_INDEX, wormhole::kBar0Bytes};
};

// Proves the register's layout against values known to work on another simulator of this card.
TEST(WindowEncoding, KnownValues) {
  const WindowAim tensix{.tile = {1, 1}, .first = {}};
  EXPECT_EQ(encode(WindowSize::k1M, tensix), 0x0000'0400'0041'0000U);
  EXPECT_EQ(encode(WindowSize::k2M, tensix), 0x0000'0200'0020'8000U);
  EXPECT_EQ(encode(WindowSize::k16M, tensix), 0x0000'0040'0004'1000U);
}

// Proves that address, multicast corners, NoC and ordering go to their fields.
TEST(WindowEncoding, EveryField) {
  const WindowAim aim{.tile = {9, 10},
                      .first = {2, 3},
                      .multicast = true,
                      .noc = 1,
                      .ordering = Ordering::kPosted,
                      .base = 0xF'FFF0'0000};
  EXPECT_EQ(encode(WindowSize::k1M, aim),
            0xFFFFULL | 9ULL << 16 | 10ULL << 22 | 2ULL << 28 | 3ULL << 34 | 1ULL << 40 | 1ULL << 41 | 2ULL << 42);
}

// Proves that an aim seen before costs no configuration, and that its window is the one that was configured.
TEST_F(WindowPoolTest, RemembersAims) {
  WindowPool pool(bar0_);
  const WindowAim aim{.tile = {3, 4}, .first = {}, .base = 1 << 20};
  const auto first = pool.acquire(WindowSize::k1M, aim, soon())->index();
  EXPECT_EQ(config_of(first), encode(WindowSize::k1M, aim));
  const std::uint64_t spoilt = 0;
  ASSERT_TRUE(device_->write(0, wormhole::kWindowConfig + 8 * first, std::as_bytes(std::span(&spoilt, 1))));
  EXPECT_EQ(pool.acquire(WindowSize::k1M, aim, soon())->index(), first);
  EXPECT_EQ(config_of(first), 0U);  // not configured again
  pool.forget_all();
  const auto again = pool.acquire(WindowSize::k1M, aim, soon());
  EXPECT_EQ(config_of(again->index()), encode(WindowSize::k1M, aim));
}

// Proves that the three sizes lie where the BAR0 map has them.
TEST_F(WindowPoolTest, WindowsLieWhereTheyShould) {
  WindowPool pool(bar0_);
  const WindowAim aim{.tile = {1, 1}, .first = {}};
  EXPECT_EQ(pool.acquire(WindowSize::k1M, aim, soon())->bar_offset(), 0U);
  const auto second_2m = [&] {
    auto first = pool.acquire(WindowSize::k2M, aim, soon());
    return pool.acquire(WindowSize::k2M, {.tile = {2, 1}, .first = {}}, soon())->bar_offset();
  };
  EXPECT_EQ(second_2m(), 0x09E0'0000U);
  const auto lease = pool.acquire(WindowSize::k16M, aim, soon());
  EXPECT_EQ(lease->index(), 166U);
  EXPECT_EQ(lease->bar_offset(), 0x0B00'0000U);
}

// Proves that the least recently used window goes first, and a leased one never.
TEST_F(WindowPoolTest, EvictsTheOldestButNeverALease) {
  WindowPool pool(bar0_, 2);
  const auto aim = [](std::uint8_t x) { return WindowAim{.tile = {x, 1}, .first = {}}; };
  const auto held = pool.acquire(WindowSize::k1M, aim(1), soon());
  (void)pool.acquire(WindowSize::k1M, aim(2), soon());
  (void)pool.acquire(WindowSize::k1M, aim(3), soon());  // in place of 2: 1 is older, but leased
  EXPECT_EQ(config_of(held->index()), encode(WindowSize::k1M, aim(1)));
  EXPECT_EQ(config_of(1 - held->index()), encode(WindowSize::k1M, aim(3)));
}

// Proves that waiting for a window has an end, which says what was awaited, and that a returned one ends it earlier.
TEST_F(WindowPoolTest, WaitsForALeaseToEnd) {
  WindowPool pool(bar0_, 1);
  std::optional<WindowLease> held(pool.acquire(WindowSize::k1M, {.tile = {1, 1}, .first = {}}, soon()).value());
  const WindowAim other{.tile = {2, 1}, .first = {}};
  auto refused = pool.acquire(WindowSize::k1M, other, steady_clock::now() + milliseconds(1));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kBusy);
  std::jthread giver([&] { held.reset(); });
  EXPECT_TRUE(pool.acquire(WindowSize::k1M, other, soon()));
}

// Proves that threads with many aims and two windows never see theirs turned while they hold it.
TEST_F(WindowPoolTest, ThreadsNeverSeeTheirWindowTurned) {
  WindowPool pool(bar0_, 2);
  std::atomic<int> wrong = 0;
  std::vector<std::jthread> threads;
  for (unsigned thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (unsigned round = 0; round < 500; ++round) {
        const WindowAim aim{.tile = {static_cast<std::uint8_t>(1 + (thread + round) % 4), 1}, .first = {}};
        auto lease = pool.acquire(WindowSize::k1M, aim, soon());
        if (!lease || config_of(lease->index()) != encode(WindowSize::k1M, aim)) ++wrong;
      }
    });
  }
  threads.clear();
  EXPECT_EQ(wrong, 0);
}

// Proves that some windows of a size can't be reserved, so that single accesses go on; that equal aims share one; and
// that what is given back may be reserved again.
TEST_F(WindowPoolTest, KeepsWindowsThatNobodyReserves) {
  constexpr std::size_t kWindows = 7;
  WindowPool pool(bar0_, kWindows);
  const auto aim = [](std::size_t x) { return WindowAim{.tile = {static_cast<std::uint8_t>(x), 1}, .first = {}}; };
  std::vector<WindowLease> reserved;
  for (std::size_t x = 0; x < kWindows - kUnreservedWindows; ++x) {
    auto lease = pool.reserve(WindowSize::k1M, aim(x));
    ASSERT_TRUE(lease) << lease.error().message;
    reserved.push_back(std::move(*lease));
  }
  EXPECT_EQ(pool.reserve(WindowSize::k1M, aim(20)).error().code, Code::kBusy);
  {
    auto same = pool.reserve(WindowSize::k1M, aim(0));
    ASSERT_TRUE(same) << "takes no window of its own";
    EXPECT_EQ(same->index(), reserved[0].index());
  }
  for (std::size_t x = 20; x < 40; ++x) {
    const auto lease = pool.acquire(WindowSize::k1M, aim(x), soon());
    ASSERT_TRUE(lease);
    for (const WindowLease& held : reserved) EXPECT_NE(lease->index(), held.index());
  }
  for (std::size_t x = 0; x < reserved.size(); ++x) {
    EXPECT_EQ(config_of(reserved[x].index()), encode(WindowSize::k1M, aim(x))) << "turned";
  }
  reserved.pop_back();
  EXPECT_TRUE(pool.reserve(WindowSize::k1M, aim(20)));
  EXPECT_TRUE(pool.reserve(WindowSize::k16M, aim(20))) << "sizes are counted apart";
}

// Proves that a window that does not take its configuration is an error, and one of all ones a card off the bus.
TEST(WindowPoolOnDeadCard, IsOffBus) {
  auto device = FakeDevice::create({.mappable = false, .dead = true});
  Bar bar0(*device, VFIO_PCI_BAR0_REGION_INDEX, wormhole::kBar0Bytes);
  WindowPool pool(bar0);
  auto lease = pool.acquire(WindowSize::k1M, {.tile = {1, 1}, .first = {}}, steady_clock::now());
  ASSERT_FALSE(lease);
  EXPECT_EQ(lease.error().code, Code::kOffBus);
}

// Proves that accesses through a mapping keep the neighbours of unaligned ranges. On plain memory every window has a
// memory of its own, so each tile and MiB must be read where it was written.
TEST(TileMemoryMapped, AnyLengthAndAlignment) {
  auto device = FakeDevice::create();
  Bar bar0(*device, VFIO_PCI_BAR0_REGION_INDEX, wormhole::kBar0Bytes);
  ASSERT_TRUE(bar0.map());
  ASSERT_TRUE(bar0.is_mapped());
  WindowPool pool(bar0);
  TileMemory memory(bar0, pool);
  const NocGrid grid({}, false);
  for (std::uint64_t address = 0xF'FFF8; address < 0x10'0008; ++address) {
    for (std::size_t size = 1; size < 20; ++size) {
      const std::vector<std::byte> blank(64, std::byte{0xEE});
      ASSERT_TRUE(memory.write(grid, {1, 1}, CardAddress{0xF'FFF0}, blank));
      const std::vector<std::byte> data(size, static_cast<std::byte>(size));
      ASSERT_TRUE(memory.write(grid, {1, 1}, CardAddress{address}, data));
      std::vector<std::byte> back(64);
      ASSERT_TRUE(memory.read(grid, {1, 1}, CardAddress{0xF'FFF0}, back));
      std::vector<std::byte> expected = blank;
      std::copy(data.begin(), data.end(), expected.begin() + static_cast<std::ptrdiff_t>(address - 0xF'FFF0));
      ASSERT_EQ(back, expected) << size << " at " << address;
    }
  }
}

}  // namespace
}  // namespace warden::chip
