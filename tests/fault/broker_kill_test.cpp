// SPDX-License-Identifier: Apache-2.0
// Holders of windows and DMA memory killed at any moment, the worker too: everything comes back, nothing is lost.
#include <gtest/gtest.h>
#include <unistd.h>
#include <warden/batch.h>
#include <warden/device.h>
#include <warden/dma_buffer.h>
#include <warden/reset.h>
#include <warden/window.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <random>
#include <thread>

#include "tests/e2e/broker_host.h"
#include "tests/fault/death_victim.h"

namespace warden::test {
namespace {

constexpr Tile kTensix{.x = 1, .y = 2};
constexpr std::uint64_t k16M = std::uint64_t{16} << 20;
constexpr int kRounds = 40;

// Takes and gives back, for ever.
void churn(const Device& device) {
  std::vector<DmaBuffer> buffers;
  std::vector<Window> windows;
  for (std::uint64_t i = 0;; ++i) {
    if (auto buffer = DmaBuffer::map(device, 4096 * (1 + i % 7))) buffers.push_back(std::move(*buffer));
    if (auto window = Window::reserve(device, {0, 0}, {i % 12 * k16M}, {.size = WindowSize::k16M})) {
      windows.push_back(std::move(*window));
    }
    if (i % 5 == 4) {
      buffers.clear();
      windows.clear();
    }
  }
}

// A process that does so from when it has begun: killed at a random point, it holds anything from nothing to
// everything.
class Churner {
 public:
  explicit Churner(const std::string& socket)
      : victim_([&] {
          static auto session = Session::attach({.socket_path = socket, .name = "victim"});
          if (!session) return false;
          static auto device = Device::open(*session, "0");
          if (!device) return false;
          std::thread([] { churn(*device); }).detach();
          return true;
        }) {}
  [[nodiscard]] pid_t pid() const { return victim_.pid(); }
  [[nodiscard]] bool has_begun() const { return victim_.is_ready(); }
  void signal(int number) const { victim_.signal(number); }
  void kill() { victim_.kill(); }

 private:
  Victim victim_;
};

class BrokerKill : public testing::Test {
 protected:
  // How many large windows can be had at once.
  [[nodiscard]] std::size_t free_windows() {
    std::vector<Window> windows;
    for (std::uint64_t i = 0; i < 32; ++i) {
      auto window = Window::reserve(device_, {0, 0}, {i * k16M}, {.size = WindowSize::k16M});
      if (!window) break;
      windows.push_back(std::move(*window));
    }
    return windows.size();
  }
  [[nodiscard]] bool nothing_is_mapped() {
    return dma_descriptors(stack_.simulator_process().pid()) == 0 && dma_descriptors(stack_.daemon().pid()) == 0;
  }

  std::uint64_t seed_ = std::random_device{}();
  std::mt19937_64 random_{seed_};
  Stack stack_{{.daemon_arguments = {"--max-windows", "64"}}};
  std::shared_ptr<Session> session_ = stack_.attach();
  Device device_ = *Device::open(session_, "0");
};

// Proves that whatever a client holds when it is killed, at any point of taking or giving back, comes back: the card's
// mappings, the keeper's descriptors, and the windows.
TEST_F(BrokerKill, AKilledHolderLosesEverything) {
  SCOPED_TRACE("seed " + std::to_string(seed_));
  const std::size_t windows_before = free_windows();
  ASSERT_GT(windows_before, 10U);
  for (int round = 0; round < kRounds; ++round) {
    Churner churner(stack_.socket_path());
    ASSERT_TRUE(churner.has_begun()) << stack_.daemon_log();
    ::usleep(static_cast<useconds_t>(random_() % 6000));
    const pid_t pid = churner.pid();
    churner.kill();
    ASSERT_TRUE(is_freed(*session_, pid));
    ASSERT_TRUE(eventually([&] { return nothing_is_mapped(); })) << stack_.daemon_log();
  }
  EXPECT_TRUE(eventually([&] { return free_windows() == windows_before; }));
}

// Proves that a worker killed at any moment of a client's taking, using and giving back loses and leaks nothing: every
// call of the client's succeeds, its data arrive, and in the end nothing is left.
TEST_F(BrokerKill, AKilledWorkerLosesNothing) {
  SCOPED_TRACE("seed " + std::to_string(seed_));
  const std::size_t windows_before = free_windows();
  std::atomic<bool> done{false};
  std::atomic<int> failures{0};
  std::thread user([&] {
    auto kept = DmaBuffer::map(device_, 8192);
    auto window = Window::reserve(device_, kTensix, {0});
    std::uint32_t count = 0;
    while (!done && kept && window) {
      auto passing = DmaBuffer::map(device_, 4096);
      const auto data = pattern(100 + count % 4000);
      Batch batch(device_);
      batch.write(kept->tile(), kept->address(), data);
      batch.write32(*window, 0x20, ++count);
      if (passing) batch.write(passing->tile(), passing->address(), data);
      if (auto ran = batch.run(); !ran || !passing) {
        ADD_FAILURE() << (passing ? ran.error().message : passing.error().message);
        ++failures;
        break;
      }
      if (!std::ranges::equal(kept->bytes().first(data.size()), data)) ++failures;
      if (!std::ranges::equal(passing->bytes().first(data.size()), data)) ++failures;
      if (device_.read32(kTensix, {0x20}).value_or(0) != count) ++failures;
    }
    if (!kept || !window) ++failures;
  });
  // wardend gives up at the eleventh death within ten seconds.
  for (int round = 0; round < 8; ++round) {
    ::usleep(static_cast<useconds_t>(random_() % 30'000));
    EXPECT_TRUE(replace_worker(*session_));
  }
  done = true;
  user.join();
  EXPECT_EQ(failures.load(), 0) << stack_.daemon_log();
  EXPECT_TRUE(eventually([&] { return nothing_is_mapped(); })) << stack_.daemon_log();
  EXPECT_EQ(free_windows(), windows_before);
}

// Proves that what a dead client held is also taken back when the worker dies with it.
TEST_F(BrokerKill, WorkerAndHolderDieTogether) {
  const std::size_t windows_before = free_windows();
  for (int round = 0; round < 5; ++round) {
    Churner churner(stack_.socket_path());
    ASSERT_TRUE(churner.has_begun()) << stack_.daemon_log();
    ::usleep(static_cast<useconds_t>(random_() % 6000));
    churner.signal(SIGKILL);
    EXPECT_TRUE(replace_worker(*session_));
    const pid_t pid = churner.pid();
    churner.kill();
    ASSERT_TRUE(is_freed(*session_, pid));
    ASSERT_TRUE(eventually([&] { return nothing_is_mapped(); })) << stack_.daemon_log();
  }
  EXPECT_TRUE(eventually([&] { return free_windows() == windows_before; }));
}

// A peer that says what no library would: each such message costs it its session, and nobody else anything.
TEST_F(BrokerKill, HostileMessagesAreThePeersEnd) {
  const auto send = [&](shm::MessageKind kind, std::span<const std::byte> body, std::span<const std::byte> tail = {}) {
    RawClient client(stack_.socket_path());
    EXPECT_TRUE(client.greet());
    EXPECT_TRUE(shm::send_packet(client.socket(), shm::request_header(kind, 1), body, tail));
    return eventually([&] { return client.is_dropped(); });
  };
  const auto bytes = [](const auto& body) { return std::as_bytes(std::span(&body, 1)); };
  const auto aimed = [](std::uint8_t size, std::uint8_t noc, std::uint8_t ordering) {
    shm::ReserveWindow wanted{};
    wanted.number = 1;
    wanted.size = size;
    wanted.noc = noc;
    wanted.ordering = ordering;
    return wanted;
  };
  const std::byte one[1]{};
  for (const auto kind : {shm::MessageKind::kReserveWindow, shm::MessageKind::kReleaseWindow, shm::MessageKind::kMapDma,
                          shm::MessageKind::kUnmapDma, shm::MessageKind::kBatch}) {
    EXPECT_TRUE(send(kind, one)) << "too short, kind " << static_cast<int>(kind);
  }
  EXPECT_TRUE(send(shm::MessageKind::kMapDma, bytes(shm::MapDma{}))) << "number 0";
  EXPECT_TRUE(send(shm::MessageKind::kReserveWindow, bytes(aimed(3, 0, 0))));
  EXPECT_TRUE(send(shm::MessageKind::kReserveWindow, bytes(aimed(0, 2, 0))));
  EXPECT_TRUE(send(shm::MessageKind::kReserveWindow, bytes(aimed(0, 0, 9))));
  EXPECT_TRUE(send(shm::MessageKind::kBatch, bytes(shm::Batch{0, 1, 1}))) << "an operation that is not there";
  EXPECT_TRUE(send(shm::MessageKind::kBatch, bytes(shm::Batch{0, ~0U, 1})));
  shm::BatchOperation unknown{};
  unknown.kind = 99;
  EXPECT_TRUE(send(shm::MessageKind::kBatch, bytes(shm::Batch{0, 1, 1}), bytes(unknown)));
  shm::BatchOperation large{};
  large.kind = static_cast<std::uint32_t>(shm::BatchKind::kRead);
  large.length_bytes = ~0U;
  EXPECT_TRUE(send(shm::MessageKind::kBatch, bytes(shm::Batch{0, 1, 1}), bytes(large)));
  EXPECT_TRUE(device_.read32(kTensix, {0})) << "others work on";
}

}  // namespace
}  // namespace warden::test
