// SPDX-License-Identifier: Apache-2.0
// DMA memory that wardend hands out, through the kernel's IOMMU: two cards reach theirs, over a worker's death and a
// reset. Runs in the guest.
#include <gtest/gtest.h>
#include <warden/dma_buffer.h>

#include <algorithm>
#include <cstdlib>

#include "tests/e2e/broker_host.h"
#include "tests/support/host.h"

namespace warden::test {
namespace {

constexpr std::size_t kBytes = 64 * 1024;

std::string from_environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

class VmBroker : public testing::Test {
 protected:
  void SetUp() override {
    const std::string card = from_environment("WARDEN_VM_CARD");
    const std::string spare = from_environment("WARDEN_VM_SPARE");
    ASSERT_NE(card, "") << "no $WARDEN_VM_CARD; run it in the guest";
    ASSERT_TRUE(host_.start_daemon({"--device", card, "--device", spare})) << host_.why();
    auto session = Session::attach({.socket_path = host_.socket_path(), .name = "user"});
    ASSERT_TRUE(session) << session.error().message;
    session_ = *session;
  }
  [[nodiscard]] Device open(const std::string& name) const {
    auto device = Device::open(session_, name);
    EXPECT_TRUE(device) << device.error().message;
    return std::move(*device);
  }
  // The card writes all of it and reads all of it back, other bytes each time.
  void expect_shared(Device& device, const DmaBuffer& buffer, std::size_t shift) {
    auto data = pattern(buffer.bytes().size());
    std::ranges::rotate(data, data.begin() + static_cast<std::ptrdiff_t>(shift));
    const Status written = device.write(buffer.tile(), buffer.address(), data);
    ASSERT_TRUE(written) << written.error().message << host_.daemon().output();
    ASSERT_TRUE(device.read32(buffer.tile(), buffer.address()));  // writes are posted: a read comes after them
    EXPECT_TRUE(std::ranges::equal(buffer.bytes(), data));
    std::ranges::reverse(buffer.bytes());
    std::ranges::reverse(data);
    std::vector<std::byte> back(data.size());
    const Status read = device.read(buffer.tile(), buffer.address(), back);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(back, data);
  }

  Host host_;
  std::shared_ptr<Session> session_;
};

// Proves that each card reaches its own buffer, also after wardend's worker was killed (the keeper holds what maps it)
// and after a reset of the card, and that what a successor maps is reached as well.
TEST_F(VmBroker, BuffersOutliveAWorkerAndAReset) {
  Device card = open("0");
  Device spare = open("1");
  auto one = DmaBuffer::map(card, kBytes);
  ASSERT_TRUE(one) << one.error().message;
  auto other = DmaBuffer::map(spare, kBytes);
  ASSERT_TRUE(other) << other.error().message;
  expect_shared(card, *one, 1);
  expect_shared(spare, *other, 2);
  ASSERT_TRUE(replace_worker(*session_)) << host_.daemon().output();
  expect_shared(card, *one, 3);
  expect_shared(spare, *other, 4);
  auto after = DmaBuffer::map(card, kBytes);
  ASSERT_TRUE(after) << after.error().message;
  EXPECT_NE(after->iova(), one->iova());
  expect_shared(card, *after, 5);
  Process reset = host_.run("warden", {"reset", "--device", "0"});
  ASSERT_EQ(reset.wait(), 0) << reset.output() << host_.daemon().output();
  Device again = open("0");
  expect_shared(again, *one, 6);
  expect_shared(again, *after, 7);
}

}  // namespace
}  // namespace warden::test
