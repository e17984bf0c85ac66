// SPDX-License-Identifier: Apache-2.0
// Transmit queues that need their time, as real ones do: a router that does not wait for them sends what it did not
// mean to, or says that something is done which is not.
#include <gtest/gtest.h>

#include <optional>
#include <random>
#include <vector>

#include "tests/unit/kernels_fabric.h"

namespace warden::kernels {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using testing::all_follow;
using testing::Generator;
using testing::kEastChannel;
using testing::kWestChannel;
using testing::Router;
using testing::Row;
using testing::Sink;

constexpr microseconds kLatching{300};  // many turns of a router

class SlowQueues : public ::testing::Test {
 protected:
  SlowQueues() {
    for (Router* router : {&east_, &west_}) router->start(1, RouterCommand::kRun);
    sink_.emplace(row_, 1, std::vector{west_});
  }
  bool busy(Router& router, unsigned queue) {
    return row_.word(router.chip(), router.tile(), 0xFFB90004 + 0x1000 * queue) != 0;
  }
  void begin_session(std::uint32_t session) {
    for (Router* router : {&east_, &west_}) {
      router->set_field(offsetof(RouterBlock, configuration.link_session), session);
      router->command(RouterCommand::kRetrain);
    }
  }
  // Packets that wait for the peer in lanes of the east, which is paused then, as the west is. In another session each
  // gets another place in the ring, where an older one lies.
  std::vector<Generator> fill(std::uint32_t packets) {
    Generator before(row_, east_, {.destination = 1, .packets = 5, .lane = 4}, {4, 3});
    EXPECT_TRUE(all_arrive(before, 5));
    EXPECT_TRUE(west_.follows(RouterCommand::kPause, RouterState::kPaused));
    std::vector<Generator> generators;
    for (unsigned lane = 1; lane <= 3; ++lane) {
      generators.emplace_back(row_, east_, testing::Flow{.destination = 1, .packets = packets, .lane = lane},
                              testing::Coordinate{static_cast<std::uint8_t>(lane), 3});
    }
    EXPECT_TRUE(row_.run_until([&] { return west_.block().counters.inbound == kInboundSlots; }));
    EXPECT_TRUE(east_.follows(RouterCommand::kPause, RouterState::kPaused));
    return generators;
  }
  bool all_arrive(Generator& generator, std::uint32_t packets) {
    return row_.run_until([&] { return sink_->has_all(generator, packets); });
  }

  Row row_{2, kLatching};
  Router east_{row_, 0, kEastChannel};
  Router west_{row_, 1, kWestChannel};
  std::optional<Sink> sink_;
};

// Packets, the lines that tell of them, and those that tell what was consumed: none is given to a busy queue.
TEST_F(SlowQueues, EverythingIsSentOnce) {
  Sink back(row_, 0, {east_});
  Generator there(row_, east_, {.destination = 1, .packets = 200});
  Generator here(row_, west_, {.destination = 0, .packets = 200, .payload_bytes = 512});
  EXPECT_TRUE(all_arrive(there, 200));
  EXPECT_TRUE(row_.run_until([&] { return back.has_all(here, 200); }));
  EXPECT_EQ(east_.block().counters.malformed + west_.block().counters.malformed, 0U);
  EXPECT_TRUE(row_.run_until([&] { return there.status() == WorkerStatus::kComplete; }));
}

// The hardware may still have to read the line that tells of one packet when that of the next is written.
TEST_F(SlowQueues, ALineIsNotWrittenOver) {
  constexpr std::uint32_t kInterval = 700'000;  // longer than a packet and its line are latched, shorter than they take
  Generator generator(row_, east_, {.destination = 1, .packets = 60, .interval_cycles = kInterval});
  EXPECT_TRUE(all_arrive(generator, 60));
  EXPECT_EQ(west_.block().counters.malformed, 0U);
}

// A link that begins anew says that it has only when all that is sent again is with the hardware.
TEST_F(SlowQueues, PausedAfterAllIsSentAgain) {
  std::vector<Generator> generators = fill(100);
  begin_session(2);
  ASSERT_TRUE(row_.run_until([&] { return east_.state() == RouterState::kRetraining; }));
  ASSERT_TRUE(row_.run_until([&] { return east_.state() == RouterState::kPaused; }));
  EXPECT_EQ(east_.block().counters.resent, kInboundSlots);
  EXPECT_FALSE(busy(east_, 0));
  EXPECT_FALSE(busy(east_, 1));
  row_.run(milliseconds(5));
  EXPECT_EQ(west_.block().counters.inbound, kInboundSlots) << "the line that tells of the last one is with it";
  ASSERT_TRUE(row_.run_until([&] { return west_.state() == RouterState::kPaused; }));
  ASSERT_TRUE(all_follow(row_, {east_, west_}, RouterCommand::kRun, RouterState::kRunning));
  for (Generator& generator : generators) EXPECT_TRUE(all_arrive(generator, 100));
}

// And the receiving half only when the peer will hear of it.
TEST_F(SlowQueues, PausedAfterThePeerIsTold) {
  begin_session(2);
  ASSERT_TRUE(row_.run_until([&] { return west_.state() == RouterState::kRetraining; }));
  ASSERT_TRUE(row_.run_until([&] { return west_.state() == RouterState::kPaused; }));
  EXPECT_FALSE(busy(west_, 1));
  row_.run(milliseconds(5));
  EXPECT_EQ(east_.block().peer_consumed.session, 2U);
}

// Called back to run in the middle: what is sent again goes before what is new, at any point of it.
TEST_F(SlowQueues, WhatIsSentAgainGoesFirst) {
  std::mt19937 random(3);
  std::vector<Generator> generators = fill(2000);
  std::uint32_t called_back = 0;
  for (std::uint32_t session = 2; session < 30; ++session) {
    begin_session(session);
    const std::uint32_t resent = east_.block().counters.resent;
    ASSERT_TRUE(row_.run_until([&] { return east_.block().counters.resent != resent; }));
    row_.run(microseconds(random() % 4000));
    if (east_.state() == RouterState::kRetraining) ++called_back;
    ASSERT_TRUE(all_follow(row_, {east_, west_}, RouterCommand::kRun, RouterState::kRunning));
    row_.run(microseconds(random() % 12000));
    ASSERT_TRUE(west_.follows(RouterCommand::kPause, RouterState::kPaused));
    row_.run(milliseconds(10));
  }
  EXPECT_GT(called_back, 3U) << "nothing was left to be sent again";
  ASSERT_TRUE(west_.follows(RouterCommand::kRun, RouterState::kRunning));
  for (Generator& generator : generators) EXPECT_TRUE(all_arrive(generator, 2000));
}

// One that has nothing else to do sleeps, and wakes when its queue is ready for what it still has: it need not wait for
// its heartbeat.
TEST_F(SlowQueues, ARouterWakesForItsQueues) {
  Generator first(row_, east_, {.destination = 1, .packets = kLaneSlots});
  row_.run(milliseconds(20));
  EXPECT_EQ(sink_->flow(first.flow()).received, kLaneSlots);
  EXPECT_EQ(first.status(), WorkerStatus::kComplete);
  // Several consumed at once, and so one line after the other for the peer.
  ASSERT_TRUE(west_.follows(RouterCommand::kPause, RouterState::kPaused));
  Generator second(row_, east_, {.destination = 1, .packets = kLaneSlots, .lane = 2}, {3, 3});
  ASSERT_TRUE(row_.run_until([&] { return west_.block().counters.inbound == kLaneSlots; }));
  west_.command(RouterCommand::kRun);
  row_.run(milliseconds(10));
  EXPECT_EQ(second.status(), WorkerStatus::kComplete);
}

}  // namespace
}  // namespace warden::kernels
