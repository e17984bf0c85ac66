// SPDX-License-Identifier: Apache-2.0
// wardend as the allocation server of unmodified clients: what they say is counted, asked for and answered.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/allocation_peer.h"
#include "tests/support/host.h"

namespace warden::test {
namespace {

using testing::HasSubstr;

class AllocationForms : public testing::TestWithParam<std::size_t> {
 protected:
  [[nodiscard]] AllocationPeer connect() const { return {host_.path(), GetParam()}; }
  AllocationHost host_;
};
INSTANTIATE_TEST_SUITE_P(BothSizes, AllocationForms, testing::Values(112, 144));

// A client killed in the middle of its work leaves nothing in the very next answer, and the log says what went.
TEST_P(AllocationForms, KilledClientLeavesNothing) {
  ClientProcess client([this] {
    AllocationPeer peer = connect();
    for (std::uint64_t i = 0; i < 380; ++i) {
      peer.send({.type = kAlloc,
                 .device = 0,
                 .size = 1 << 20,
                 .buffer_type = 0,
                 .process_id = ::getpid(),
                 .buffer_id = i * 64});
    }
    peer.send(
        {.type = kAlloc, .device = 0, .size = 25'000'003, .buffer_type = 1, .process_id = ::getpid(), .buffer_id = 1});
    // Half a message: it was killed while it wrote.
    peer.send_bytes(allocation_message({.type = kAlloc, .size = 1, .buffer_id = 7}, GetParam()).substr(0, 50));
  });
  ASSERT_TRUE(client.wait_until_done());
  const AllocationDump before = connect().dump();
  ASSERT_TRUE(before.end);
  EXPECT_EQ(before.records.size(), 381U);
  const int pid = client.pid();
  client.kill();
  const AllocationDump after = connect().dump();
  ASSERT_TRUE(after.end);
  EXPECT_EQ(after.records.size(), 0U);
  EXPECT_EQ(after.end->size(), 0U);
  Process& daemon = host_.daemon();
  EXPECT_TRUE(daemon.wait_for_line("⚠️  Detected dead processes, cleaning up orphaned buffers...")) << daemon.output();
  const std::string number = std::to_string(pid);
  EXPECT_TRUE(daemon.wait_for_line("   PID " + number + " is dead, removing its buffers... (test_e2e"));
  EXPECT_TRUE(daemon.wait_for_line("   ✓ Removed 381 buffers (403.84 MB) from PID " + number)) << daemon.output();
}

// Nobody asks, and yet the records go: death itself is the news.
TEST_P(AllocationForms, DeathNeedsNoQuestion) {
  ClientProcess client([this] {
    AllocationPeer peer = connect();
    peer.send({.type = kAlloc, .size = 1 << 20, .buffer_id = 1});
    (void)peer.ask({.type = kQuery});
  });
  ASSERT_TRUE(client.wait_until_done());
  client.kill();
  EXPECT_TRUE(host_.daemon().wait_for_line("✓ Removed 1 buffers (1.00 MB)")) << host_.daemon().output();
}

// Each message changes the totals of its device and of no other.
TEST_P(AllocationForms, EveryKindIsCounted) {
  AllocationPeer peer = connect();
  const auto totals = [&](std::int32_t device) {
    const auto reply = peer.ask({.type = kQuery, .device = device});
    EXPECT_TRUE(reply && reply->type() == kResponse && reply->device() == device);
    std::vector<std::uint64_t> words;
    const std::size_t count = GetParam() == 144 ? 6 : 4;
    for (std::size_t i = 0; reply && i < count; ++i) words.push_back(reply->u64(40 + 8 * i));
    words.resize(6);
    return words;
  };
  const auto expected = [](std::vector<std::uint64_t> words) {
    if (GetParam() == 112) words[4] = words[5] = 0;
    return words;
  };
  for (std::uint8_t kind = 0; kind < 5; ++kind) {
    peer.send({.type = kAlloc, .device = 2, .size = 100ULL << kind, .buffer_type = kind, .buffer_id = kind});
  }
  peer.send({.type = kCbAlloc, .device = 2, .size = 7, .buffer_id = 1});
  peer.send({.type = kKernelLoad, .device = 2, .size = 9, .buffer_type = 2, .buffer_id = 1});
  // DRAM, L1, L1_SMALL, TRACE, circular buffers, kernels; system memory is no memory of the card.
  EXPECT_EQ(totals(2), expected({100, 200, 800, 1600, 7, 9}));
  EXPECT_EQ(totals(1), expected({0, 0, 0, 0, 0, 0}));
  peer.send({.type = kFree, .device = 2, .buffer_id = 4});
  peer.send({.type = kFree, .device = 1, .buffer_id = 3});  // another device's: unknown
  peer.send({.type = kCbFree, .device = 2, .size = 7, .buffer_id = 1});
  peer.send({.type = kKernelUnload, .device = 2, .size = 9, .buffer_id = 1});
  EXPECT_EQ(totals(2), expected({100, 200, 800, 0, 0, 0}));
  EXPECT_EQ(totals(-1), expected({0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(totals(100000), expected({0, 0, 0, 0, 0, 0}));
}

// Bytes one by one are the same messages, while others talk.
TEST_P(AllocationForms, ByteByByte) {
  AllocationPeer slow = connect();
  AllocationPeer other = connect();
  std::string bytes;
  for (std::uint64_t id = 0; id < 5; ++id) {
    bytes += allocation_message({.type = kAlloc, .size = 10, .buffer_id = id}, GetParam());
  }
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    ASSERT_TRUE(slow.send_bytes(bytes.substr(i, 1)));
    if (i % 16 != 0) continue;
    ASSERT_TRUE(other.ask({.type = kQuery}));
  }
  const AllocationDump dump = other.dump();
  ASSERT_TRUE(dump.end);
  EXPECT_EQ(dump.end->size(), 5U);
  EXPECT_EQ(dump.end->u64(40), 50U);
}

// A dump of more than a socket holds arrives whole, as the client reads it.
TEST_P(AllocationForms, LargeDump) {
  constexpr std::uint64_t kBuffers = 20'000;
  AllocationPeer peer = connect();
  for (std::uint64_t id = 0; id < kBuffers; ++id) {
    ASSERT_TRUE(peer.send({.type = kAlloc, .size = 3, .process_id = ::getpid(), .buffer_id = id, .timestamp = id + 5}));
  }
  const AllocationDump dump = connect().dump();
  ASSERT_TRUE(dump.end);
  ASSERT_EQ(dump.records.size(), kBuffers);
  EXPECT_EQ(dump.end->size(), kBuffers);
  EXPECT_EQ(dump.end->u64(40), 3 * kBuffers);
  for (std::uint64_t id = 0; id < kBuffers; ++id) {
    const AllocationReply& record = dump.records[id];
    ASSERT_EQ(record.buffer_id(), id);
    ASSERT_EQ(record.u64(32), id + 5);
    ASSERT_EQ(record.process_id(), ::getpid());
  }
}

// Without cards the count is 0 and no device is available.
TEST_P(AllocationForms, NoCards) {
  AllocationPeer peer = connect();
  const std::size_t at = GetParam() - (GetParam() == 144 ? 40 : 24);  // where the six 32-bit fields begin
  const auto count = peer.ask({.type = kDeviceInfoQuery, .device = -1});
  ASSERT_TRUE(count);
  EXPECT_EQ(count->type(), kDeviceInfoResponse);
  EXPECT_EQ(count->u32(at + 20), 0U);
  const auto info = peer.ask({.type = kDeviceInfoQuery, .device = 0});
  ASSERT_TRUE(info);
  EXPECT_EQ(info->u32(at + 16), 0U);
}

// What wardend knows of its cards is what tools read of them.
TEST(AllocationDevices, AreWardendsCards) {
  Host host;
  const std::string path = host.directory() + "/allocations.sock";
  ASSERT_TRUE(host.start_simulator()) << host.why();
  ASSERT_TRUE(host.start_daemon({"--allocation-server", path})) << host.why();
  AllocationPeer peer(path, 144);
  const auto count = peer.ask({.type = kDeviceInfoQuery, .device = -1});
  ASSERT_TRUE(count);
  EXPECT_EQ(count->u32(120), 1U);
  EXPECT_EQ(count->u32(124), 1U);
  const auto info = peer.ask({.type = kDeviceInfoQuery, .device = 0});
  ASSERT_TRUE(info);
  EXPECT_EQ(info->u32(104), 2U) << "Wormhole B0";
  EXPECT_EQ(info->u64(88), 12ULL << 30);
  EXPECT_EQ(info->u64(88), std::uint64_t{info->u32(108)} * info->u32(112));
  EXPECT_EQ(info->u32(116), 1464U * 1024);
  EXPECT_EQ(info->u64(96) % info->u32(116), 0U);
  EXPECT_GT(info->u64(96), 50ULL << 20);
  EXPECT_EQ(info->u32(120), 1U);
  EXPECT_EQ(peer.ask({.type = kDeviceInfoQuery, .device = 1})->u32(120), 0U);
}

// Another server at the path is left alone; a file is not deleted.
TEST(AllocationSocket, IsNotTakenFromOthers) {
  const AllocationHost host;
  Process second({std::string(WARDEN_BIN_DIR) + "/wardend", "--socket", host.directory() + "/second.sock", "--state",
                  host.directory() + "/second", "--allocation-server", host.path()});
  EXPECT_EQ(second.wait(), 1);
  EXPECT_THAT(second.err(), HasSubstr("in use by a running process"));
  EXPECT_TRUE(host.dump().end);
}

}  // namespace
}  // namespace warden::test
