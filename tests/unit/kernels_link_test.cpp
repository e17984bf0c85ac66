// SPDX-License-Identifier: Apache-2.0
// Links that go down and chips that are reset: routers go on answering, and when the link begins anew nothing that was
// taken from a lane is lost or comes twice.
#include <gtest/gtest.h>

#include <optional>
#include <random>
#include <vector>

#include "tests/unit/kernels_fabric.h"

namespace warden::kernels {
namespace {

using std::chrono::milliseconds;
using testing::all_follow;
using testing::Generator;
using testing::kEastChannel;
using testing::kWestChannel;
using testing::Router;
using testing::Row;
using testing::Sink;

class Links : public ::testing::Test {
 protected:
  Links() {
    for (Router* router : {&east_, &west_}) router->start(1, RouterCommand::kRun);
    sink_.emplace(row_, 1, std::vector{west_});
  }
  static void set_session(Router& router, std::uint32_t session, std::uint32_t flags = 0) {
    router.set_field(offsetof(RouterBlock, configuration.link_session), session);
    router.set_field(offsetof(RouterBlock, configuration.retrain_flags), flags);
  }
  std::uint32_t received(const Generator& generator) { return sink_->flow(generator.flow()).received; }
  bool all_arrive(const Generator& generator, std::uint32_t packets) {
    return row_.run_until([&] { return sink_->has_all(generator, packets); });
  }
  // Both ends, at rest, begin their link anew.
  bool retrain(std::uint32_t session, std::uint32_t flags = 0) {
    if (!all_follow(row_, {east_, west_}, RouterCommand::kPause, RouterState::kPaused)) return false;
    for (Router* router : {&east_, &west_}) {
      set_session(*router, session, flags);
      router->command(RouterCommand::kRetrain);
    }
    row_.run(milliseconds(1));
    return row_.run_until(
        [&] { return east_.state() == RouterState::kPaused && west_.state() == RouterState::kPaused; });
  }

  // Its core has no turns, as if it were slow.
  void freeze(Router& router) { EXPECT_TRUE(row_.freeze(router.chip(), router.tile())); }
  void thaw(Router& router) { EXPECT_TRUE(row_.thaw(router.chip(), router.tile())); }
  static constexpr std::size_t kHisSession = offsetof(RouterBlock, peer_consumed.session);

  Row row_{2};
  Router east_{row_, 0, kEastChannel};
  Router west_{row_, 1, kWestChannel};
  std::optional<Sink> sink_;
};

// The peer's chip is reset with packets in its inbound ring: they come again.
TEST_F(Links, WhatAResetPeerDidNotConsumeIsSentAgain) {
  ASSERT_TRUE(west_.follows(RouterCommand::kPause, RouterState::kPaused));
  std::vector<Generator> generators;
  for (unsigned lane = 1; lane <= 3; ++lane) {
    generators.emplace_back(row_, east_, testing::Flow{.destination = 1, .packets = 100, .lane = lane},
                            testing::Coordinate{static_cast<std::uint8_t>(lane), 3});
  }
  ASSERT_TRUE(row_.run_until([&] { return west_.block().counters.inbound == kInboundSlots; }));
  ASSERT_TRUE(east_.follows(RouterCommand::kPause, RouterState::kPaused));
  row_.reset(1);
  west_.start(2, RouterCommand::kPause);
  sink_.emplace(row_, 1, std::vector{west_});
  set_session(east_, 2);
  east_.command(RouterCommand::kRetrain);
  ASSERT_TRUE(row_.run_until(
      [&] { return east_.state() == RouterState::kPaused && east_.block().counters.resent == kInboundSlots; }));
  row_.run(milliseconds(1));
  EXPECT_EQ(west_.block().counters.inbound, kInboundSlots) << "they wait, as the host has it pause";
  ASSERT_TRUE(all_follow(row_, {east_, west_}, RouterCommand::kRun, RouterState::kRunning));
  for (Generator& generator : generators) EXPECT_TRUE(all_arrive(generator, 100));
}

// Both live, and the link is trained anew under traffic, again and again: at each end different things are known.
TEST_F(Links, TrainingAnewLosesAndDoublesNothing) {
  Sink back(row_, 0, {east_});
  Generator there(row_, east_, {.destination = 1, .packets = 3000});
  Generator here(row_, west_, {.destination = 0, .packets = 3000, .payload_bytes = 512});
  std::mt19937 random(7);
  for (std::uint32_t session = 2; session < 42; ++session) {
    row_.run(std::chrono::microseconds(20 * (random() % 50)));
    ASSERT_TRUE(retrain(session, session % 2 == 0 ? kRetrainPhysical : 0)) << session;
    ASSERT_TRUE(all_follow(row_, {east_, west_}, RouterCommand::kRun, RouterState::kRunning));
  }
  EXPECT_TRUE(all_arrive(there, 3000));
  EXPECT_TRUE(row_.run_until([&] { return back.has_all(here, 3000); }));
}

// What one end consumed just before, and could not tell of any more, must not come again: the cable is out, and both
// are told to begin anew meanwhile.
TEST_F(Links, WhatWasConsumedDoesNotComeAgain) {
  Generator generator(row_, east_, {.destination = 1, .packets = 200});
  for (std::uint32_t session = 2; session < 8; ++session) {
    ASSERT_TRUE(west_.follows(RouterCommand::kPause, RouterState::kPaused));
    ASSERT_TRUE(row_.run_until([&] { return west_.block().counters.inbound == kLaneSlots; }));
    row_.set_plugged(0, false);
    ASSERT_TRUE(all_follow(row_, {east_, west_}, RouterCommand::kRun, RouterState::kRunning));
    ASSERT_TRUE(row_.run_until([&] { return west_.block().counters.inbound == 0; }));
    EXPECT_EQ(east_.block().counters.inside, kLaneSlots) << "it has not heard of it";
    for (Router* router : {&east_, &west_}) {
      set_session(*router, session);
      ASSERT_TRUE(router->follows(RouterCommand::kRetrain, RouterState::kRetraining));
    }
    row_.set_plugged(0, true);
    ASSERT_TRUE(
        row_.run_until([&] { return east_.state() == RouterState::kPaused && west_.state() == RouterState::kPaused; }));
    ASSERT_TRUE(all_follow(row_, {east_, west_}, RouterCommand::kRun, RouterState::kRunning));
  }
  EXPECT_TRUE(all_arrive(generator, 200));
  EXPECT_EQ(east_.block().counters.resent, 0U);
}

TEST_F(Links, ARetrainLeftHalfWayIsTakenUp) {
  Generator generator(row_, east_, {.destination = 1, .packets = 1000});
  ASSERT_TRUE(row_.run_until([&] { return received(generator) >= 50; }));
  row_.set_plugged(0, false);
  row_.run(milliseconds(5));
  for (Router* router : {&east_, &west_}) {
    set_session(*router, 2);
    ASSERT_TRUE(router->follows(RouterCommand::kRetrain, RouterState::kRetraining));
    row_.run(milliseconds(5));
    EXPECT_EQ(router->state(), RouterState::kRetraining) << "waits for the link";
    ASSERT_TRUE(router->follows(RouterCommand::kRun, RouterState::kRunning)) << "and can be called back";
  }
  row_.set_plugged(0, true);
  EXPECT_TRUE(row_.run_until([&] { return received(generator) >= 200; })) << "the old session is still good";
  // One end begins, and is called back before the other does.
  set_session(west_, 3);
  ASSERT_TRUE(west_.follows(RouterCommand::kRetrain, RouterState::kRetraining));
  row_.run(milliseconds(1));
  ASSERT_TRUE(west_.follows(RouterCommand::kPause, RouterState::kPaused));
  ASSERT_TRUE(retrain(4));
  ASSERT_TRUE(all_follow(row_, {east_, west_}, RouterCommand::kRun, RouterState::kRunning));
  EXPECT_TRUE(all_arrive(generator, 1000));
}

TEST_F(Links, ADownLinkKeepsNobodyFromAnswering) {
  Generator generator(row_, east_, {.destination = 1, .packets = 2000, .payload_bytes = 1024});
  const std::vector<std::pair<RouterCommand, RouterState>> all = {
      {RouterCommand::kRun, RouterState::kRunning},
      {RouterCommand::kPause, RouterState::kPaused},
      {RouterCommand::kDrain, RouterState::kDraining},
      {RouterCommand::kRetrain, RouterState::kRetraining},
  };
  std::uint32_t session = 2;
  for (const auto& [before, state_before] : all) {
    for (Router* router : {&east_, &west_}) set_session(*router, session);
    ++session;
    row_.run(std::chrono::microseconds(500));
    if (before != RouterCommand::kRetrain) {
      ASSERT_TRUE(all_follow(row_, {east_, west_}, before, state_before));
    }
    row_.set_plugged(0, false);
    row_.run(milliseconds(2));
    if (before == RouterCommand::kRetrain) {
      ASSERT_TRUE(all_follow(row_, {east_, west_}, before, state_before));
    }
    for (Router* router : {&east_, &west_}) {
      EXPECT_TRUE(router->answers_probe());
      EXPECT_TRUE(row_.all_sleep());
      const std::uint64_t beat = router->block().telemetry.cores[0].transmit_heartbeat;
      row_.run(milliseconds(300));
      EXPECT_GT(router->block().telemetry.cores[0].transmit_heartbeat, beat);
      for (const auto& [command, state] : all) {
        EXPECT_TRUE(router->follows(command, state));
        EXPECT_TRUE(router->answers_probe());
      }
    }
    row_.set_plugged(0, true);
    ASSERT_TRUE(retrain(session++));
    ASSERT_TRUE(all_follow(row_, {east_, west_}, RouterCommand::kRun, RouterState::kRunning));
  }
  EXPECT_TRUE(all_arrive(generator, 2000));
}

// A pulled cable loses nothing: the hardware holds back what it was given, and routers what they have.
TEST_F(Links, APulledCableOnlyDelays) {
  Generator generator(row_, east_, {.destination = 1, .packets = 1000, .payload_bytes = 1024});
  for (int round = 0; round < 10; ++round) {
    row_.run(std::chrono::microseconds(300));
    row_.set_plugged(0, false);
    row_.run(milliseconds(3));
    row_.set_plugged(0, true);
    row_.run(milliseconds(51));
  }
  EXPECT_TRUE(all_arrive(generator, 1000));
}

// The last packet, and the last word that it was consumed, given to a link that is down.
TEST_F(Links, TheLastOnesComeThroughToo) {
  row_.set_plugged(0, false);
  row_.run(milliseconds(1));
  Generator generator(row_, east_, {.destination = 1, .packets = 1});
  ASSERT_TRUE(row_.run_until([&] { return east_.block().lanes[1].taken == 1; }));
  row_.run(milliseconds(1));
  row_.set_plugged(0, true);
  EXPECT_TRUE(all_arrive(generator, 1));

  ASSERT_TRUE(west_.follows(RouterCommand::kPause, RouterState::kPaused));
  Generator next(row_, east_, {.destination = 1, .packets = kLaneSlots, .lane = 2}, {3, 3});
  ASSERT_TRUE(row_.run_until([&] { return west_.block().counters.inbound == kLaneSlots; }));
  row_.set_plugged(0, false);
  ASSERT_TRUE(west_.follows(RouterCommand::kRun, RouterState::kRunning));
  ASSERT_TRUE(all_arrive(next, kLaneSlots));
  row_.run(milliseconds(1));
  row_.set_plugged(0, true);
  EXPECT_TRUE(row_.run_until([&] { return next.status() == WorkerStatus::kComplete; }));
}

// In the first session three were consumed, in the second none: the third begins with all of the second.
TEST_F(Links, OnlyTheSessionBeforeCounts) {
  Generator first(row_, east_, {.destination = 1, .packets = 3});
  ASSERT_TRUE(all_arrive(first, 3));
  ASSERT_TRUE(retrain(2));
  ASSERT_TRUE(east_.follows(RouterCommand::kRun, RouterState::kRunning));
  Generator second(row_, east_, {.destination = 1, .packets = 5, .lane = 2}, {3, 3});
  ASSERT_TRUE(row_.run_until([&] { return west_.block().counters.inbound == 5; }));
  ASSERT_TRUE(retrain(3));
  EXPECT_EQ(east_.block().counters.resent, 5U);
  ASSERT_TRUE(all_follow(row_, {east_, west_}, RouterCommand::kRun, RouterState::kRunning));
  EXPECT_TRUE(all_arrive(second, 5));
}

// What was consumed while the cable was out is known also when a session was begun in vain in between.
TEST_F(Links, ASessionInVainForgetsNothing) {
  ASSERT_TRUE(west_.follows(RouterCommand::kPause, RouterState::kPaused));
  Generator generator(row_, east_, {.destination = 1, .packets = kLaneSlots});
  ASSERT_TRUE(row_.run_until([&] { return west_.block().counters.inbound == kLaneSlots; }));
  ASSERT_TRUE(east_.follows(RouterCommand::kPause, RouterState::kPaused));
  freeze(east_);
  ASSERT_TRUE(west_.follows(RouterCommand::kRun, RouterState::kRunning));
  ASSERT_TRUE(row_.run_until([&] { return received(generator) == kLaneSlots; }));
  for (const std::uint32_t session : {2U, 3U}) {
    set_session(west_, session);
    west_.command(RouterCommand::kRetrain);
    ASSERT_TRUE(row_.run_until([&] { return east_.field(kHisSession) == session; }));
    ASSERT_TRUE(west_.follows(RouterCommand::kPause, RouterState::kPaused));
  }
  thaw(east_);
  ASSERT_TRUE(retrain(3));
  EXPECT_EQ(east_.block().counters.resent, 0U);
  EXPECT_EQ(east_.block().counters.inside, 0U);
  EXPECT_TRUE(row_.run_until([&] { return generator.status() == WorkerStatus::kComplete; }));
}

// Lines of another session, and counts that can't be, change nothing.
TEST_F(Links, LinesThatAreNotTrueAreIgnored) {
  ASSERT_TRUE(west_.follows(RouterCommand::kPause, RouterState::kPaused));
  Generator generator(row_, east_, {.destination = 1, .packets = 5});
  ASSERT_TRUE(row_.run_until([&] { return west_.block().counters.inbound == 5; }));
  const LinkLine told = west_.block().peer_produced;
  struct Line {
    std::uint32_t count, session;
  };
  for (const Line& line : {Line{3, 0}, Line{8, 0}, Line{100, 1}, Line{0x80000000, 1}, Line{0xFFFFFFFF, 1}}) {
    west_.set_field(offsetof(RouterBlock, peer_produced.session), line.session);
    west_.set_field(offsetof(RouterBlock, peer_produced.count), line.count);
    east_.set_field(offsetof(RouterBlock, peer_consumed.session), line.session);
    east_.set_field(offsetof(RouterBlock, peer_consumed.count), line.count);
    row_.run(milliseconds(100));
    EXPECT_EQ(west_.block().counters.inbound, 0U) << line.count;
    EXPECT_EQ(east_.block().lanes[1].consumed, 0U) << line.count;
  }
  west_.set_field(offsetof(RouterBlock, peer_produced.session), told.session);
  west_.set_field(offsetof(RouterBlock, peer_produced.count), told.count);
  ASSERT_TRUE(west_.follows(RouterCommand::kRun, RouterState::kRunning));
  EXPECT_TRUE(all_arrive(generator, 5));
  EXPECT_TRUE(row_.run_until([&] { return generator.status() == WorkerStatus::kComplete; }));
}

// A worker that changes a packet after it was sent does not stop the link when it is sent again.
TEST_F(Links, WhatIsSentAgainIsCheckedAgain) {
  ASSERT_TRUE(west_.follows(RouterCommand::kPause, RouterState::kPaused));
  Generator generator(row_, east_, {.destination = 1, .packets = 2});
  ASSERT_TRUE(row_.run_until([&] { return west_.block().counters.inbound == 2; }));
  row_.set(0, east_.tile(), lane_ring(1), 0x7FFFFFF0);
  ASSERT_TRUE(retrain(2));
  ASSERT_TRUE(all_follow(row_, {east_, west_}, RouterCommand::kRun, RouterState::kRunning));
  EXPECT_TRUE(row_.run_until([&] { return generator.status() == WorkerStatus::kComplete; }));
  EXPECT_EQ(west_.block().counters.malformed, 1U);
  EXPECT_EQ(west_.block().delivered[0], 2U);
}

}  // namespace
}  // namespace warden::kernels
