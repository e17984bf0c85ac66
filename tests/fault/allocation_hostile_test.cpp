// SPDX-License-Identifier: Apache-2.0
// Peers of the allocation server that lie, flood or fall silent: each is dropped or borne, and nobody else notices.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/allocation_peer.h"

namespace warden::test {
namespace {

class AllocationHostile : public testing::Test {
 protected:
  AllocationHostile() : honest_(host_.path(), 144) { honest_.send({.type = kAlloc, .size = 1000, .buffer_id = 1}); }
  // The honest one has what it had, and is answered.
  void expect_unharmed() {
    const auto reply = honest_.ask({.type = kQuery});
    ASSERT_TRUE(reply) << host_.daemon().output();
    EXPECT_EQ(reply->u64(40), 1000U);
  }
  AllocationHost host_;
  AllocationPeer honest_;
};

// Garbage of every kind drops its sender, with one line that says why.
TEST_F(AllocationHostile, GarbageDropsItsSender) {
  const AllocationFields good{.type = kAlloc, .size = 8, .buffer_id = 5};
  const auto with = [&](auto change) {
    AllocationFields fields = good;
    change(fields);
    return allocation_message(fields, 144);
  };
  const std::vector<std::pair<std::string, std::string>> cases = {
      {std::string(300, '\xFF'), "message type is 255"},
      {std::string(300, '\0'), "message type is 0"},
      {"GET / HTTP/1.1\r\n" + std::string(200, 'x'), "message type is 71"},
      {with([](auto& f) { f.type = kResponse; }), "message type is 4"},
      {with([](auto& f) { f.device = -1; }), "device_id is -1"},
      {with([](auto& f) { f.device = 256; }), "device_id is 256"},
      {with([](auto& f) { f.size = ~0ULL; }), "size is 18446744073709551615"},
      {with([](auto& f) { f.buffer_type = 7; }), "buffer_type is 7"},
      {with([](auto& f) { f.process_id = -2; }), "process_id is -2"},
      {with([](auto& f) { f.type = kKernelLoad, f.buffer_type = 3; }), "kernel type is 3"},
      {allocation_message(good, 144) + std::string(144, '\x7E'), "message type is 126"},
  };
  for (const auto& [bytes, reason] : cases) {
    ClientProcess sender([&, text = bytes] {
      AllocationPeer peer(host_.path(), 144);
      peer.send_bytes(text);
      if (!peer.is_dropped()) ::_exit(1);
    });
    EXPECT_TRUE(sender.wait_until_done()) << reason;
    EXPECT_TRUE(host_.daemon().wait_for_line("is dropped: " + reason)) << host_.daemon().output();
    sender.kill();
    expect_unharmed();
  }
}

// A client as it was: it asks for a dump, reads nothing, goes on with its work, many times over.
TEST_F(AllocationHostile, DumpsThatNobodyReads) {
  AllocationPeer silent(host_.path(), 144);
  for (std::uint64_t id = 0; id < 5000; ++id) silent.send({.type = kAlloc, .size = 1, .buffer_id = 100 + id});
  for (std::uint64_t i = 0; i < 20; ++i) {
    ASSERT_TRUE(silent.send({.type = kDumpRemaining}));
    ASSERT_TRUE(silent.send({.type = kFree, .buffer_id = 100 + i}));
  }
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  for (;;) {
    const AllocationDump dump = honest_.dump();
    ASSERT_TRUE(dump.end);
    if (dump.end->size() == 1U + 5000 - 20) break;
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << dump.end->size();
  }
  // Without bound it does not get: at some number of unread answers it is dropped.
  bool lives = true;
  for (int i = 0; i < 2000 && lives; ++i) {
    lives = silent.send({.type = kDumpRemaining});
    ASSERT_TRUE(honest_.ask({.type = kQuery})) << i;
  }
  EXPECT_FALSE(lives);
  EXPECT_TRUE(host_.daemon().wait_for_line("asks and does not read")) << host_.daemon().output();
}

// A peer that sends as fast as it can starves nobody.
TEST_F(AllocationHostile, Flood) {
  ClientProcess flood([&] {
    AllocationPeer peer(host_.path(), 112);
    std::string bytes;
    for (std::uint64_t id = 0; id < 500; ++id) {
      bytes += allocation_message({.type = kCbAlloc, .device = 1, .size = 0, .buffer_id = id}, 112);
    }
    while (peer.send_bytes(bytes)) continue;
    ::_exit(1);
  });
  for (int i = 0; i < 50; ++i) expect_unharmed();
}

// Too many connections of one user are refused, those that were there go on.
TEST_F(AllocationHostile, TooManyConnections) {
  std::vector<AllocationPeer> peers;
  for (int i = 0; i < 600; ++i) peers.emplace_back(host_.path(), 144);
  EXPECT_TRUE(peers.back().is_dropped());
  EXPECT_TRUE(host_.daemon().wait_for_line("too many connections"));
  expect_unharmed();
  EXPECT_TRUE(peers.front().ask({.type = kQuery}));
  peers.clear();
  EXPECT_TRUE(AllocationPeer(host_.path(), 144).ask({.type = kQuery}));
}

}  // namespace
}  // namespace warden::test
