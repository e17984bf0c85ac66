// SPDX-License-Identifier: Apache-2.0
// Windows, DMA memory and batches through the real wardend: what a session holds works, is its own, stays within
// limits, outlives a worker and a reset as far as promised, and is gone with the session.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>
#include <warden/batch.h>
#include <warden/device.h>
#include <warden/dma_buffer.h>
#include <warden/reset.h>
#include <warden/window.h>

#include <algorithm>
#include <csignal>
#include <nlohmann/json.hpp>

#include "tests/e2e/broker_host.h"

namespace warden::test {
namespace {

constexpr Tile kTensix{.x = 1, .y = 2};
constexpr Tile kOther{.x = 2, .y = 2};
constexpr std::size_t kMiB = std::size_t{1} << 20;

class BrokerTest : public testing::Test {
 protected:
  // Of the whole card: what the simulator has mapped.
  [[nodiscard]] std::size_t mapped_count() { return dma_descriptors(stack_.simulator_process().pid()); }
  void replace_worker(Session& session) { ASSERT_TRUE(test::replace_worker(session)); }

  Stack stack_{{.daemon_arguments = {"--max-windows", "3", "--max-dma", "1M"}}};
  std::shared_ptr<Session> session_ = stack_.attach();
  Device device_ = *Device::open(session_, "0");
};

// Proves that what the card writes over its NoC to host memory lands in the client's buffer, and that it reads there
// what the client wrote; also at the buffer's last byte.
TEST_F(BrokerTest, CardAndClientShareMemory) {
  auto buffer = DmaBuffer::map(device_, 10'000);
  ASSERT_TRUE(buffer) << buffer.error().message;
  ASSERT_EQ(buffer->bytes().size(), 12'288U);
  EXPECT_EQ(buffer->tile(), (Tile{0, 3}));
  EXPECT_EQ(buffer->address().value, 0x8'0000'0000 + buffer->iova());
  const auto data = pattern(5000);
  const auto written = device_.write(buffer->tile(), {buffer->address().value + 12'288 - 5000}, data);
  ASSERT_TRUE(written) << written.error().message;
  EXPECT_TRUE(std::ranges::equal(buffer->bytes().last(5000), data));
  std::ranges::copy(pattern(4096), buffer->bytes().begin());
  std::vector<std::byte> back(4096);
  ASSERT_TRUE(device_.read(buffer->tile(), buffer->address(), back));
  EXPECT_EQ(back, pattern(4096));
}

// Proves that host memory beyond a session's own buffers is out of its reach, byte by byte: another session's, what
// lies behind its end, and where nothing is mapped.
TEST_F(BrokerTest, NobodyReachesTheMemoryOfOthers) {
  auto mine = DmaBuffer::map(device_, 4096);
  const auto other_session = stack_.attach("other");
  auto other_device = Device::open(other_session, "0");
  auto theirs = DmaBuffer::map(*other_device, 4096);
  ASSERT_TRUE(mine && theirs);
  ASSERT_NE(mine->iova(), theirs->iova());
  const auto data = pattern(8);
  const auto refused = [&](Device& device, std::uint64_t address) {
    const auto written = device.write({0, 3}, {address}, data);
    return !written && written.error().code == Code::kPermission;
  };
  EXPECT_TRUE(refused(device_, theirs->address().value));
  EXPECT_TRUE(refused(*other_device, mine->address().value));
  EXPECT_TRUE(refused(device_, mine->address().value + 4096 - 4));
  EXPECT_TRUE(refused(device_, mine->address().value - 4));
  EXPECT_TRUE(refused(device_, 0x8'0000'0000));
  EXPECT_EQ(device_.read32({16, 3}, theirs->address()).error().code, Code::kPermission) << "its translated name";
  auto window = Window::reserve(device_, {0, 3}, {theirs->address().value & ~(kMiB - 1)});
  ASSERT_TRUE(window) << window.error().message;
  EXPECT_EQ(window->read32(theirs->address().value % kMiB).error().code, Code::kPermission);
  EXPECT_TRUE(std::ranges::all_of(theirs->bytes(), [](std::byte byte) { return byte == std::byte{0}; }));
}

// Proves that limits hold, by number and by size, and that what is given back may be had again.
TEST_F(BrokerTest, LimitsHold) {
  std::vector<Window> windows;
  for (std::uint64_t i = 0; i < 3; ++i) {
    auto window = Window::reserve(device_, kTensix, {i * kMiB});
    ASSERT_TRUE(window) << window.error().message;
    windows.push_back(std::move(*window));
  }
  EXPECT_EQ(Window::reserve(device_, kOther, {0}).error().code, Code::kBusy);
  windows.pop_back();
  EXPECT_TRUE(Window::reserve(device_, kOther, {0}));
  {
    auto half = DmaBuffer::map(device_, kMiB / 2 + 1);
    ASSERT_TRUE(half);
    EXPECT_EQ(DmaBuffer::map(device_, kMiB / 2).error().code, Code::kBusy);
  }
  EXPECT_TRUE(DmaBuffer::map(device_, kMiB));
  EXPECT_EQ(DmaBuffer::map(device_, ~std::size_t{0} - 8192).error().code, Code::kBusy);
  EXPECT_EQ(DmaBuffer::map(device_, 0).error().code, Code::kInvalidArgument);
}

// Proves that a window sees the tile it is aimed at from its base on, by either NoC, and a multicast all tiles of the
// rectangle; that wrong aims are refused.
TEST_F(BrokerTest, WindowsSeeWhatTheyAreAimedAt) {
  for (const std::uint8_t noc : {std::uint8_t{0}, std::uint8_t{1}}) {
    auto window = Window::reserve(device_, kTensix, {0}, {.noc = noc});
    ASSERT_TRUE(window) << window.error().message;
    const auto data = pattern(3001);
    ASSERT_TRUE(window->write(0x1003, data));
    std::vector<std::byte> back(data.size());
    ASSERT_TRUE(device_.read(kTensix, {0x1003}, back));
    EXPECT_EQ(back, data);
    ASSERT_TRUE(window->write32(0x40, 0xC0FFEE + noc));
    EXPECT_EQ(window->read32(0x40).value_or(0), 0xC0FFEEU + noc);
    EXPECT_EQ(window->read32(0x41).error().code, Code::kInvalidArgument);
    EXPECT_EQ(window->read32(window->size_bytes()).error().code, Code::kInvalidArgument);
    EXPECT_EQ(window->read32(~std::uint64_t{0} - 3).error().code, Code::kInvalidArgument);
  }
  auto all = Window::reserve_multicast(device_, {kTensix, {4, 5}}, {0}, {.size = WindowSize::k2M});
  ASSERT_TRUE(all) << all.error().message;
  ASSERT_TRUE(all->write(0x2000, pattern(64)));
  std::vector<std::byte> back(64);
  ASSERT_TRUE(device_.read({3, 4}, {0x2000}, back));
  EXPECT_EQ(back, pattern(64));
  EXPECT_EQ(all->read(0x2000, back).error().code, Code::kInvalidArgument);
  EXPECT_EQ(Window::reserve(device_, kTensix, {4096}).error().code, Code::kInvalidArgument);
  EXPECT_EQ(Window::reserve(device_, {0, 2}, {1ULL << 36}).error().code, Code::kInvalidArgument);
  EXPECT_EQ(Window::reserve(device_, {30, 30}, {0}).error().code, Code::kInvalidArgument);
}

// Proves that a batch does everything it is made of in order, however long, and that a failure in its midst leaves
// what came before done and what comes behind not, and says which it was.
TEST_F(BrokerTest, BatchesRunUntilTheFirstFailure) {
  auto window = Window::reserve(device_, kOther, {0});
  auto buffer = DmaBuffer::map(device_, 4096);
  ASSERT_TRUE(window && buffer);
  const auto large = pattern(150'001);
  std::vector<std::byte> back(large.size());
  std::vector<std::byte> from_host(16);
  std::uint32_t word = 0;
  std::uint32_t through_window = 0;
  Batch batch(device_);
  batch.write(kTensix, {0x1001}, large);
  batch.read(kTensix, {0x1001}, back);
  batch.write32(kOther, {0x80}, 77);
  batch.read32(*window, 0x80, through_window);
  batch.write32(*window, 0x84, 78);
  batch.read32(kOther, {0x84}, word);
  batch.write(buffer->tile(), buffer->address(), std::span(large).first(16));
  batch.read(buffer->tile(), buffer->address(), from_host);
  batch.broadcast({kTensix, {4, 5}}, {0x3000}, std::span(large).first(32));
  const auto done = batch.run();
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(batch.done_count(), 9U);
  EXPECT_EQ(batch.size(), 0U);
  EXPECT_EQ(back, large);
  EXPECT_EQ(through_window, 77U);
  EXPECT_EQ(word, 78U);
  EXPECT_TRUE(std::ranges::equal(from_host, std::span(large).first(16)));
  EXPECT_TRUE(std::ranges::equal(buffer->bytes().first(16), from_host));

  batch.write32(kTensix, {0}, 1);
  batch.read32(kTensix, {0}, word);
  batch.write32({30, 30}, {0}, 2);
  batch.write32(kTensix, {0}, 3);
  const auto failed = batch.run();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, Code::kInvalidArgument);
  EXPECT_NE(failed.error().message.find("operation 3 of 4"), std::string::npos) << failed.error().message;
  EXPECT_EQ(batch.done_count(), 2U);
  EXPECT_EQ(word, 1U);
  EXPECT_EQ(device_.read32(kTensix, {0}).value_or(0), 1U);
  EXPECT_TRUE(batch.run()) << "of nothing";
}

// Proves that one session's windows are none of another's, whatever number it says.
TEST_F(BrokerTest, WindowsAreTheirSessionsOwn) {
  auto window = Window::reserve(device_, kTensix, {0});
  ASSERT_TRUE(window);
  const auto other_session = stack_.attach("other");
  auto other_device = Device::open(other_session, "0");
  Batch batch(*other_device);
  batch.write32(*window, 0, 1);  // its number, sent by the other session
  const auto refused = batch.run();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kNotFound);
}

// Proves that windows and buffers go on working when the worker is killed, without their holder doing anything.
TEST_F(BrokerTest, HoldingsOutliveTheWorker) {
  auto buffer = DmaBuffer::map(device_, 8192);
  auto window = Window::reserve(device_, kTensix, {0}, {.noc = 1});
  ASSERT_TRUE(buffer && window);
  for (std::uint32_t round = 0; round < 3; ++round) {
    replace_worker(*session_);
    ASSERT_TRUE(buffer->check());
    const auto data = pattern(8192 - round);
    const auto written = device_.write(buffer->tile(), buffer->address(), data);
    ASSERT_TRUE(written) << written.error().message;
    EXPECT_TRUE(std::ranges::equal(buffer->bytes().first(data.size()), data));
    const auto wrote = window->write32(0x10, round);
    ASSERT_TRUE(wrote) << wrote.error().message;
    EXPECT_EQ(device_.read32(kTensix, {0x10}).value_or(~0U), round);
    EXPECT_EQ(mapped_count(), 1U);
  }
  EXPECT_EQ(DmaBuffer::map(device_, kMiB).error().code, Code::kBusy) << "limits count on";
  auto second = DmaBuffer::map(device_, 4096);
  ASSERT_TRUE(second);
  EXPECT_TRUE(second->iova() >= buffer->iova() + 8192 || second->iova() + 4096 <= buffer->iova());
}

// Proves that after a reset a window answers stale while the buffer is where it was, for the card too.
TEST_F(BrokerTest, AResetTakesWindowsAndLeavesBuffers) {
  auto buffer = DmaBuffer::map(device_, 4096);
  auto window = Window::reserve(device_, kTensix, {0});
  ASSERT_TRUE(buffer && window);
  std::ranges::copy(pattern(4096), buffer->bytes().begin());
  const auto report = warm_reset(*session_);
  ASSERT_TRUE(report && report->result == ResetResult::kOk) << report->reason;
  EXPECT_EQ(window->read32(0).error().code, Code::kStale);
  auto device = Device::open(session_, "0");
  ASSERT_TRUE(device);
  std::vector<std::byte> back(4096);
  const auto read = device->read(buffer->tile(), buffer->address(), back);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(back, pattern(4096));
  std::vector<Window> all;
  for (int i = 0; i < 3; ++i) {
    auto another = Window::reserve(*device, kTensix, {0});
    ASSERT_TRUE(another) << "the void one is counted: " << another.error().message;
    all.push_back(std::move(*another));
  }
}

// Proves that when a session ends by leaving, the card's way to its memory is closed.
TEST_F(BrokerTest, TheEndOfASessionUnmapsItsMemory) {
  {
    const auto session = stack_.attach("short");
    auto device = Device::open(session, "0");
    auto buffer = DmaBuffer::map(*device, 4096);
    ASSERT_TRUE(buffer);
    EXPECT_EQ(mapped_count(), 1U);
    // The buffer's owner, going afterwards, finds nobody to tell: as after a crash.
    ::shutdown(session->client().connection()->socket(), SHUT_RDWR);
  }
  EXPECT_TRUE(eventually([&] { return mapped_count() == 0; }));
  EXPECT_TRUE(eventually([&] { return dma_descriptors(stack_.daemon().pid()) == 0; })) << "the keeper";
}

// Proves that what is held is listed with its holder.
TEST_F(BrokerTest, HoldersAreListedWithWhatTheyHold) {
  auto buffer = DmaBuffer::map(device_, 8192);
  auto window = Window::reserve(device_, kTensix, {0});
  const auto other = stack_.attach("idle");
  ASSERT_TRUE(Device::open(other, "0"));
  const auto devices = nlohmann::json::parse(*session_->devices_json());
  const auto& holders = devices.at(0).at("holders");
  ASSERT_EQ(holders.size(), 2U);
  EXPECT_EQ(holders[0].at("pid"), ::getpid());
  EXPECT_EQ(holders[0].at("windows"), 1);
  EXPECT_EQ(holders[0].at("dma_buffers"), 1);
  EXPECT_EQ(holders[0].at("dma_bytes"), 8192);
  EXPECT_EQ(holders[1].at("windows"), 0);
  Process listing = stack_.run("warden", {"devices"});
  EXPECT_EQ(listing.wait(), 0);
  EXPECT_NE(listing.out().find("8.00 KB"), std::string::npos) << listing.output();
}

}  // namespace
}  // namespace warden::test
