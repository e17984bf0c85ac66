// SPDX-License-Identifier: Apache-2.0
// Packets from generators to sinks: every one arrives once, in order and unchanged, whatever the routers between are
// told meanwhile.
#include <gtest/gtest.h>

#include <array>
#include <optional>
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

class TwoChips : public ::testing::Test {
 protected:
  TwoChips() {
    for (Router* router : {&east_, &west_}) router->start(1, RouterCommand::kRun);
    sink_.emplace(row_, 1, std::vector{west_});
  }
  void all_arrive(Generator& generator, std::uint32_t packets) {
    EXPECT_TRUE(row_.run_until([&] { return sink_->flow(generator.flow()).received == packets; }));
    EXPECT_TRUE(sink_->has_all(generator, packets));
    row_.run(milliseconds(1));
    EXPECT_TRUE(sink_->has_all(generator, packets)) << "and none afterwards";
    EXPECT_EQ(generator.status(), WorkerStatus::kComplete);
  }
  std::uint32_t received(const Generator& generator) { return sink_->flow(generator.flow()).received; }

  Row row_{2};
  Router east_{row_, 0, kEastChannel};  // where packets leave
  Router west_{row_, 1, kWestChannel};  // where they arrive
  std::optional<Sink> sink_;
};

TEST_F(TwoChips, EveryPacketArrivesOnceInOrderUnchanged) {
  Generator generator(row_, east_, {.destination = 1, .packets = 1000, .payload_bytes = 1024});
  all_arrive(generator, 1000);
  EXPECT_EQ(sink_->flow(generator.flow()).bytes_low, 1000U * 1024);
  const RouterBlock sent = east_.block();
  const RouterBlock arrived = west_.block();
  constexpr std::uint32_t kWords = 1000 * (1024 + 32) / 16;
  EXPECT_EQ(sent.telemetry.transmit.packets, 1000U);
  EXPECT_EQ(sent.telemetry.transmit.words, kWords);
  EXPECT_EQ(arrived.telemetry.receive.packets, 1000U);
  EXPECT_EQ(arrived.telemetry.receive.words, kWords);
  EXPECT_EQ(sent.admitted[1], 1000U);
  EXPECT_EQ(arrived.delivered[0], 1000U);
  EXPECT_EQ(sent.counters.inside, 0U);
  EXPECT_EQ(arrived.counters.inside, 0U);
  EXPECT_GT(sent.telemetry.transmit.cycles, 0U);
}

TEST_F(TwoChips, TheManifestSaysWhereThingsAre) {
  ASSERT_TRUE(row_.run_until([&] { return east_.state() == RouterState::kRunning; }));
  const RouterManifest manifest = east_.block().manifest;
  EXPECT_EQ(manifest.magic, kRouterMagic);
  EXPECT_EQ(manifest.features, kFeatureTelemetry);
  EXPECT_EQ(manifest.state_address, kRouterBlock + 32);
  EXPECT_EQ(manifest.telemetry_address, kRouterBlock + 64);
  EXPECT_EQ(manifest.lane_slots_address, kLaneRings);
  EXPECT_EQ(manifest.inbound_address, kInboundRing);
}

// Small ones and large ones, several at once, both ways, fast and slow.
TEST_F(TwoChips, FlowsDoNotDisturbEachOther) {
  Sink back(row_, 0, {east_});
  Generator small(row_, east_, {.destination = 1, .packets = 500, .payload_bytes = 16, .lane = 1}, {3, 3});
  Generator large(row_, east_, {.destination = 1, .packets = 300, .payload_bytes = 1024, .lane = 2}, {4, 3});
  Generator slow(row_, east_, {.destination = 1, .packets = 50, .interval_cycles = 100'000, .lane = 11}, {6, 3});
  Generator other(row_, west_, {.destination = 0, .packets = 500, .payload_bytes = 512}, {3, 3});
  all_arrive(small, 500);
  all_arrive(large, 300);
  all_arrive(slow, 50);
  EXPECT_TRUE(row_.run_until([&] { return back.has_all(other, 500); }));
}

// A lane that always has something does not keep the others waiting: while one packet of each is taken, at most one
// of every other is.
TEST_F(TwoChips, LanesHaveTheirTurns) {
  ASSERT_TRUE(east_.follows(RouterCommand::kPause, RouterState::kPaused));
  std::vector<Generator> generators;
  for (unsigned lane = 1; lane <= 4; ++lane) {
    generators.emplace_back(row_, east_, testing::Flow{.destination = 1, .lane = lane},
                            testing::Coordinate{static_cast<std::uint8_t>(lane), 3});
  }
  row_.run(milliseconds(1));
  ASSERT_TRUE(east_.follows(RouterCommand::kRun, RouterState::kRunning));
  ASSERT_TRUE(row_.run_until([&] { return east_.block().lanes[1].taken >= 400; }));
  ASSERT_TRUE(east_.follows(RouterCommand::kPause, RouterState::kPaused));
  for (unsigned lane = 2; lane <= 4; ++lane) {
    EXPECT_NEAR(east_.block().lanes[lane].taken, east_.block().lanes[1].taken, 40) << lane;
  }
  const RouterTelemetry::Traffic busy = east_.block().telemetry.transmit;
  EXPECT_GT(busy.active_cycles, 0U);
  EXPECT_LT(busy.active_cycles, busy.cycles);
}

TEST_F(TwoChips, PausedMeansThatNothingMoves) {
  Generator generator(row_, east_, {.destination = 1, .packets = 3000});
  for (int round = 1; round <= 20; ++round) {
    ASSERT_TRUE(row_.run_until([&] { return received(generator) >= 100U * static_cast<unsigned>(round); }));
    ASSERT_TRUE(all_follow(row_, {east_, west_}, RouterCommand::kPause, RouterState::kPaused));
    const RouterBlock east = east_.block();
    const RouterBlock west = west_.block();
    row_.run(milliseconds(2));
    EXPECT_EQ(east_.block().telemetry.transmit.words, east.telemetry.transmit.words);
    EXPECT_EQ(west_.block().telemetry.receive.words, west.telemetry.receive.words);
    EXPECT_EQ(east_.block().lanes[1].taken, east.lanes[1].taken);
    EXPECT_EQ(west_.block().delivered[0], west.delivered[0]);
    EXPECT_GE(east.lanes[1].produced, east.lanes[1].taken);
    EXPECT_TRUE(row_.all_sleep());
    // Either first.
    Router& first = round % 2 == 0 ? east_ : west_;
    Router& second = round % 2 == 0 ? west_ : east_;
    ASSERT_TRUE(first.follows(RouterCommand::kRun, RouterState::kRunning));
    ASSERT_TRUE(second.follows(RouterCommand::kRun, RouterState::kRunning));
  }
  all_arrive(generator, 3000);
}

// With the one that delivers at rest, the window of its ring fills, and not one packet more leaves.
TEST_F(TwoChips, SendersWaitForTheirPeer) {
  ASSERT_TRUE(west_.follows(RouterCommand::kPause, RouterState::kPaused));
  std::vector<Generator> generators;
  for (unsigned lane = 1; lane <= 3; ++lane) {
    generators.emplace_back(row_, east_, testing::Flow{.destination = 1, .packets = 100, .lane = lane},
                            testing::Coordinate{static_cast<std::uint8_t>(lane), 3});
  }
  ASSERT_TRUE(row_.run_until([&] { return west_.block().counters.inbound == kInboundSlots; }));
  row_.run(milliseconds(5));
  const RouterBlock east = east_.block();
  std::uint32_t taken = 0;
  for (const LaneBlock& lane : east.lanes) {
    taken += lane.taken;
    EXPECT_EQ(lane.consumed, 0U);
    EXPECT_LE(lane.produced, kLaneSlots) << "slots are not free before the peer has consumed them";
  }
  EXPECT_EQ(taken, kInboundSlots);
  EXPECT_EQ(east.counters.inside, kInboundSlots);
  EXPECT_EQ(generators[0].block().delayed, 1U);
  ASSERT_TRUE(west_.follows(RouterCommand::kRun, RouterState::kRunning));
  for (Generator& generator : generators) all_arrive(generator, 100);
}

TEST_F(TwoChips, DrainingEmptiesTheInside) {
  Generator generator(row_, east_, {.destination = 1, .packets = 2000});
  ASSERT_TRUE(row_.run_until([&] { return received(generator) >= 100; }));
  ASSERT_TRUE(all_follow(row_, {east_, west_}, RouterCommand::kDrain, RouterState::kDraining));
  ASSERT_TRUE(row_.run_until([&] { return east_.block().admitted[1] == west_.block().delivered[0]; }));
  row_.run(milliseconds(1));
  const std::uint32_t admitted = east_.block().admitted[1];
  EXPECT_EQ(east_.block().counters.inside, 0U);
  EXPECT_EQ(west_.block().counters.inside, 0U);
  EXPECT_GT(east_.block().lanes[1].produced, east_.block().lanes[1].taken) << "the worker's wait";
  EXPECT_EQ(received(generator), admitted);
  EXPECT_TRUE(row_.all_sleep());
  ASSERT_TRUE(all_follow(row_, {east_, west_}, RouterCommand::kRun, RouterState::kRunning));
  all_arrive(generator, 2000);
}

TEST_F(TwoChips, AHeldDestinationWaits) {
  east_.admit(1, kAdmitHeld);
  Generator generator(row_, east_, {.destination = 1, .packets = 50});
  ASSERT_TRUE(row_.run_until([&] { return east_.block().lanes[1].held == 1; }));
  row_.run(milliseconds(200));
  EXPECT_EQ(east_.block().lanes[1].held, 1U) << "each packet is counted once";
  EXPECT_EQ(east_.block().admitted[1], 0U);
  EXPECT_TRUE(row_.all_sleep());
  east_.admit(1, kAdmitOpen);
  all_arrive(generator, 50);
  EXPECT_EQ(east_.block().lanes[1].held, 1U);
}

TEST_F(TwoChips, AnUnusedLaneWaits) {
  ASSERT_TRUE(east_.follows(RouterCommand::kPause, RouterState::kPaused));
  Generator generator(row_, east_, {.destination = 1, .packets = 500});
  ASSERT_TRUE(row_.run_until([&] { return east_.block().lanes[1].produced == kLaneSlots; }));
  const std::size_t kind = offsetof(RouterBlock, lanes[1].kind);
  east_.set_field(kind, static_cast<std::uint32_t>(LaneKind::kUnused));
  ASSERT_TRUE(east_.follows(RouterCommand::kRun, RouterState::kRunning));
  row_.run(milliseconds(2));
  EXPECT_EQ(east_.block().lanes[1].taken, 0U);
  EXPECT_TRUE(row_.all_sleep());
  east_.set_field(kind, static_cast<std::uint32_t>(LaneKind::kWorker));
  all_arrive(generator, 500);
}

TEST_F(TwoChips, IdleRoutersSleepAndTheirHeartsBeat) {
  for (const auto& [command, state] :
       {std::pair{RouterCommand::kRun, RouterState::kRunning}, std::pair{RouterCommand::kPause, RouterState::kPaused},
        std::pair{RouterCommand::kDrain, RouterState::kDraining}}) {
    ASSERT_TRUE(east_.follows(command, state));
    EXPECT_TRUE(row_.all_sleep());
    const RouterBlock before = east_.block();
    row_.run(std::chrono::seconds(1));
    const RouterBlock after = east_.block();
    const std::uint64_t beats =
        after.telemetry.cores[0].transmit_heartbeat - before.telemetry.cores[0].transmit_heartbeat;
    EXPECT_GE(beats, 10U);
    EXPECT_LE(beats, 25U);
    EXPECT_EQ(after.telemetry.cores[0].receive_heartbeat - before.telemetry.cores[0].receive_heartbeat, beats);
    EXPECT_EQ(after.telemetry.cores[0].state, static_cast<std::uint64_t>(state));
    EXPECT_TRUE(east_.answers_probe());
  }
}

TEST_F(TwoChips, WithoutTelemetryItStaysZero) {
  for (Router* router : {&east_, &west_}) router->start(2, RouterCommand::kRun, router_image(false));
  sink_.emplace(row_, 1, std::vector{west_});
  Generator generator(row_, east_, {.destination = 1, .packets = 100});
  all_arrive(generator, 100);
  const RouterBlock block = east_.block();
  EXPECT_EQ(block.manifest.magic, kRouterMagic);
  EXPECT_EQ(block.manifest.features, 0U);
  const auto words = std::bit_cast<std::array<std::uint32_t, sizeof(RouterTelemetry) / 4>>(block.telemetry);
  EXPECT_EQ(words, decltype(words){});
  EXPECT_EQ(block.admitted[1], 100U);
  EXPECT_TRUE(row_.all_sleep());
  EXPECT_TRUE(east_.answers_probe());
}

TEST_F(TwoChips, CommandsAndStatesHaveTheirTimes) {
  ASSERT_TRUE(row_.run_until([&] { return east_.state() == RouterState::kRunning; }));
  const auto time = [](std::uint32_t low, std::uint32_t high) { return std::uint64_t{high} << 32 | low; };
  const RouterCounters before = east_.block().counters;
  row_.run(std::chrono::seconds(5));
  ASSERT_TRUE(east_.follows(RouterCommand::kPause, RouterState::kPaused));
  const RouterCounters after = east_.block().counters;
  const std::uint64_t seen = time(after.command_seen_low, after.command_seen_high);
  EXPECT_GE(seen, time(before.command_seen_low, before.command_seen_high) + 5'000'000'000) << "one a nanosecond";
  EXPECT_GE(time(after.state_since_low, after.state_since_high), seen);
  east_.command(static_cast<RouterCommand>(77));
  row_.run(milliseconds(1));
  EXPECT_EQ(east_.state(), RouterState::kPaused) << "no command";
  EXPECT_TRUE(row_.all_sleep());
}

// 0 -> 1 -> 2 and back, with traffic that ends in the middle.
class ThreeChips : public ::testing::Test {
 protected:
  ThreeChips() {
    for (Router* router : {&r0_, &r1w_, &r1e_, &r2_}) router->start(1, RouterCommand::kRun);
  }
  Row row_{3};
  Router r0_{row_, 0, kEastChannel};
  Router r1w_{row_, 1, kWestChannel};
  Router r1e_{row_, 1, kEastChannel};
  Router r2_{row_, 2, kWestChannel};
};

TEST_F(ThreeChips, PacketsPassThrough) {
  Sink first(row_, 0, {r0_});
  Sink middle(row_, 1, {r1w_, r1e_});
  Sink last(row_, 2, {r2_});
  Generator through(row_, r0_, {.destination = 2, .packets = 500, .payload_bytes = 1024}, {1, 1});
  Generator half(row_, r0_, {.destination = 1, .packets = 300, .lane = 2}, {1, 2});
  Generator back(row_, r2_, {.destination = 0, .packets = 400}, {1, 1});
  Generator joins(row_, r1e_, {.destination = 2, .packets = 400}, {1, 1});
  EXPECT_TRUE(row_.run_until([&] {
    return last.has_all(through, 500) && middle.has_all(half, 300) && first.has_all(back, 400) &&
           last.has_all(joins, 400);
  }));
  row_.run(milliseconds(1));
  EXPECT_EQ(r1e_.block().lanes[testing::kRouterLane].taken, 500U);
  EXPECT_EQ(r1e_.block().admitted[2], 400U) << "what only passes is not admitted again";
  EXPECT_EQ(r1w_.block().delivered[0], 300U) << "nor delivered";
  for (Router* router : {&r0_, &r1w_, &r1e_, &r2_}) EXPECT_EQ(router->block().counters.inside, 0U);
}

// The one in the middle at rest: everything stands, and goes on.
TEST_F(ThreeChips, TransitCanBePausedAndDrained) {
  Sink last(row_, 2, {r2_});
  Generator generator(row_, r0_, {.destination = 2, .packets = 3000});
  const auto received = [&] { return last.flow(generator.flow()).received; };
  for (std::uint32_t round = 1; round <= 10; ++round) {
    ASSERT_TRUE(row_.run_until([&] { return received() >= 100 * round; }));
    ASSERT_TRUE(r1e_.follows(RouterCommand::kPause, RouterState::kPaused));
    ASSERT_TRUE(row_.run_until([&] { return r1w_.block().counters.inbound == kLaneSlots; })) << "it piles up";
    EXPECT_GE(r1e_.block().counters.inside, kLaneSlots);
    ASSERT_TRUE(r1e_.follows(RouterCommand::kRun, RouterState::kRunning));
  }
  ASSERT_TRUE(all_follow(row_, {r0_, r1w_, r1e_, r2_}, RouterCommand::kDrain, RouterState::kDraining));
  ASSERT_TRUE(row_.run_until([&] { return r0_.block().admitted[2] == r2_.block().delivered[0]; }));
  row_.run(milliseconds(1));
  for (Router* router : {&r0_, &r1w_, &r1e_, &r2_}) EXPECT_EQ(router->block().counters.inside, 0U);
  ASSERT_TRUE(all_follow(row_, {r0_, r1w_, r1e_, r2_}, RouterCommand::kRun, RouterState::kRunning));
  EXPECT_TRUE(row_.run_until([&] { return last.has_all(generator, 3000); }));
}

}  // namespace
}  // namespace warden::kernels
