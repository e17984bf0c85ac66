// SPDX-License-Identifier: Apache-2.0
// Memory of the dead to which something on the card may still write.
#include <gtest/gtest.h>
#include <warden/dma_buffer.h>
#include <warden/reset.h>
#include <warden/window.h>

#include "tests/e2e/broker_host.h"
#include "tests/fault/death_victim.h"

namespace warden::test {
namespace {

// Proves that what a dead session had mapped stays mapped, and is given to nobody else, while a tile of its can't be
// seen to be quiet; that a worker's death does not change that; and that the next reset ends it.
TEST(BrokerQuarantine, KeepsMemoryUntilTheReset) {
  Stack stack({.daemon_arguments = {"--max-dma", "4G"}});
  const auto onlooker = stack.attach("onlooker");
  auto device = Device::open(onlooker, "0");
  ASSERT_TRUE(device);
  const auto mapped = [&] { return dma_descriptors(stack.simulator_process().pid()); };
  stack.set_fault("noc-stuck");
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  Victim victim([&] {
    Registrar& mine = registrar_of_process();
    if (!mine.open(stack.socket_path())) return false;
    static auto buffer = DmaBuffer::map(*mine.device, 8192);
    static auto window = Window::reserve(*mine.device, kWorkTile, {0});
    if (!buffer || !window) return false;
    const std::uint64_t address = buffer->address().value;
    return mine.device->write32(kWorkTile, kSoftResetRegister, kBriscRuns) &&
           mine.actions->reset_cores(*mine.device, kWorkTile, kTensixCores) &&
           ::write(ends[1], &address, sizeof(address)) == sizeof(address);
  });
  ASSERT_TRUE(victim.is_ready());
  std::uint64_t address = 0;
  ASSERT_EQ(::read(ends[0], &address, sizeof(address)), static_cast<ssize_t>(sizeof(address)));
  ::close(ends[0]);
  ::close(ends[1]);
  const pid_t pid = victim.pid();
  victim.kill();
  ASSERT_TRUE(is_freed(*onlooker, pid));
  EXPECT_EQ(status_of(*onlooker)["quarantine"].size(), 1U);
  EXPECT_EQ(mapped(), 1U);
  EXPECT_EQ(device->read32({0, 3}, {address}).error().code, Code::kPermission);

  ASSERT_TRUE(replace_worker(*onlooker));
  {
    // All there is to be had, in large pieces: the dead one's is not among them.
    std::vector<DmaBuffer> all;
    while (true) {
      auto more = DmaBuffer::map(*device, std::size_t{256} << 20);
      if (!more) break;
      EXPECT_TRUE(address + 8192 <= more->address().value || address >= more->address().value + more->bytes().size());
      all.push_back(std::move(*more));
    }
    EXPECT_GT(all.size(), 10U);
    EXPECT_EQ(mapped(), 1 + all.size());
  }
  EXPECT_EQ(mapped(), 1U);

  const auto report = warm_reset(*onlooker);
  ASSERT_TRUE(report && report->result == ResetResult::kOk) << report->reason;
  EXPECT_TRUE(eventually([&] { return mapped() == 0; }));
  EXPECT_TRUE(eventually([&] { return dma_descriptors(stack.daemon().pid()) == 0; })) << "the keeper";
}

// Proves the same of a session that dies without anything left to run: nothing stays.
TEST(BrokerQuarantine, NotOfQuietCards) {
  Stack stack;
  const auto onlooker = stack.attach("onlooker");
  Victim victim([&] {
    Registrar& mine = registrar_of_process();
    if (!mine.open(stack.socket_path())) return false;
    static auto buffer = DmaBuffer::map(*mine.device, 8192);
    return buffer && mine.actions->reset_cores(*mine.device, kWorkTile, kTensixCores);
  });
  ASSERT_TRUE(victim.is_ready());
  const pid_t pid = victim.pid();
  victim.kill();
  ASSERT_TRUE(is_freed(*onlooker, pid));
  EXPECT_TRUE(eventually([&] { return dma_descriptors(stack.simulator_process().pid()) == 0; }));
  EXPECT_TRUE(eventually([&] { return dma_descriptors(stack.daemon().pid()) == 0; })) << "the keeper";
}

}  // namespace
}  // namespace warden::test
