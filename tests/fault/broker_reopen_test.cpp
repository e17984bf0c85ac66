// SPDX-License-Identifier: Apache-2.0
// DMA memory and windows when the card is lost and found again: a new connection, which knows of neither.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <warden/dma_buffer.h>
#include <warden/window.h>

#include <algorithm>
#include <csignal>
#include <nlohmann/json.hpp>

#include "tests/e2e/broker_host.h"

namespace warden::test {
namespace {

constexpr Tile kTensix{.x = 1, .y = 2};

class BrokerReopen : public testing::Test {
 protected:
  void lose_card() {
    stack_.simulator_process().signal(SIGKILL);
    ASSERT_EQ(stack_.simulator_process().wait(), 128 + SIGKILL);
    ASSERT_TRUE(eventually([&] {
      return nlohmann::json::parse(*session_->devices_json()).at(0).at("state") == "lost";
    })) << stack_.daemon_log();
  }
  // Used the moment it can be.
  void find_card() {
    ASSERT_TRUE(stack_.start_simulator()) << stack_.why();
    ASSERT_TRUE(eventually([&] {
      auto device = Device::open(session_, "0");
      if (device) device_ = std::move(*device);
      return device.has_value();
    })) << stack_.daemon_log();
  }
  // The card writes to it and reads from it, from its first byte to its last.
  void expect_shared(const DmaBuffer& buffer, std::size_t shift) {
    auto data = pattern(buffer.bytes().size() + shift);
    data.erase(data.begin(), data.begin() + static_cast<std::ptrdiff_t>(shift));
    const auto written = device_.write(buffer.tile(), buffer.address(), data);
    ASSERT_TRUE(written) << written.error().message << stack_.daemon_log();
    EXPECT_TRUE(std::ranges::equal(buffer.bytes(), data));
    std::ranges::reverse(buffer.bytes());
    std::ranges::reverse(data);
    std::vector<std::byte> back(data.size());
    ASSERT_TRUE(device_.read(buffer.tile(), buffer.address(), back));
    EXPECT_EQ(back, data);
  }
  [[nodiscard]] std::size_t mapped_count() { return dma_descriptors(stack_.simulator_process().pid()); }

  Stack stack_{{.daemon_arguments = {"--max-windows", "1"}}};
  std::shared_ptr<Session> session_ = stack_.attach();
  Device device_ = *Device::open(session_, "0");
};

// Proves that the card reaches a buffer at the address it always had as soon as it can be opened again, also when
// wardend's worker was killed meanwhile; and that windows from before are void and count no more.
TEST_F(BrokerReopen, BuffersAreWhereTheyWere) {
  auto buffer = DmaBuffer::map(device_, 8192);
  ASSERT_TRUE(buffer) << buffer.error().message;
  expect_shared(*buffer, 0);
  const std::uint64_t iova = buffer->iova();
  std::size_t shift = 0;
  for (const bool worker_dies : {false, true, false}) {
    auto window = Window::reserve(device_, kTensix, {0});
    ASSERT_TRUE(window) << window.error().message;
    lose_card();
    ASSERT_TRUE(!worker_dies || replace_worker(*session_));
    find_card();
    EXPECT_TRUE(buffer->check());
    EXPECT_EQ(buffer->iova(), iova);
    expect_shared(*buffer, ++shift);
    EXPECT_EQ(window->read32(0).error().code, Code::kStale);
    EXPECT_TRUE(Window::reserve(device_, kTensix, {0})) << "the void one is counted";
    EXPECT_EQ(mapped_count(), 1U);
  }
}

// Proves that whose session ends while the card is away has nothing mapped when it is back.
TEST_F(BrokerReopen, WhatEndedMeanwhileIsNotMapped) {
  auto kept = DmaBuffer::map(device_, 4096);
  auto leaver = stack_.attach("leaver");
  auto their_device = Device::open(leaver, "0");
  ASSERT_TRUE(kept && their_device);
  auto theirs = DmaBuffer::map(*their_device, 8192);
  ASSERT_TRUE(theirs) << theirs.error().message;
  EXPECT_EQ(mapped_count(), 2U);
  lose_card();
  // The buffer's owner, going afterwards, finds nobody to tell: as after a crash.
  ::shutdown(leaver->client().connection()->socket(), SHUT_RDWR);
  ASSERT_TRUE(eventually([&] { return nlohmann::json::parse(*session_->sessions_json()).size() == 1; }));
  find_card();
  expect_shared(*kept, 3);
  EXPECT_TRUE(eventually([&] { return mapped_count() == 1; })) << stack_.daemon_log();
}

}  // namespace
}  // namespace warden::test
