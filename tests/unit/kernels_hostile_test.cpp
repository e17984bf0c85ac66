// SPDX-License-Identifier: Apache-2.0
// Routers among others that do wrong: packets that can't be, sinks that are gone, and words that are not true. What is
// dropped is counted and makes room, and nothing is written where it does not belong.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "tests/unit/kernels_fabric.h"

namespace warden::kernels {
namespace {

using std::chrono::milliseconds;
using testing::Coordinate;
using testing::Generator;
using testing::kEastChannel;
using testing::kSinkTile;
using testing::kWestChannel;
using testing::Router;
using testing::Row;
using testing::Sink;

class Hostile : public ::testing::Test {
 protected:
  Hostile() {
    for (Router* router : {&east_, &west_}) router->start(1, RouterCommand::kRun);
    sink_.emplace(row_, 1, std::vector{west_});
  }
  // As a worker would: by hand, into lane 2.
  void put(const PacketHeader& header) {
    const std::size_t produced = offsetof(RouterBlock, lanes[2].produced);
    const std::uint32_t count = east_.field(produced);
    row_.write(0, east_.tile(), lane_ring(2) + count % kLaneSlots * kSlotBytes, header);
    east_.set_field(produced, count + 1);
  }
  // As a peer would, into the inbound ring of the one that receives.
  void arrive(const PacketHeader& header) {
    const std::size_t produced = offsetof(RouterBlock, peer_produced.count);
    const std::uint32_t count = west_.field(produced);
    row_.write(1, west_.tile(), kInboundRing + count % kInboundSlots * kSlotBytes, header);
    west_.set_field(produced + offsetof(LinkLine, session), 1);
    west_.set_field(produced, count + 1);
  }
  static PacketHeader good() {
    return {.payload_bytes = 16,
            .destination_node = 1,
            .destination_tile = testing::tile_of(kSinkTile),
            .source_node = 0,
            .reserved0 = 0,
            .flow = 1,
            .sequence = 0,
            .checksum = 0,
            .reserved1 = {}};
  }
  static std::vector<PacketHeader> impossible() {
    std::vector<PacketHeader> all(7, good());
    all[0].payload_bytes = 0;
    all[1].payload_bytes = 24;
    all[2].payload_bytes = kPayloadBytesMax + 16;
    all[3].payload_bytes = 0xFFFFFFF0;
    all[4].destination_node = kNodesMax;
    all[5].source_node = kNodesMax;
    all[6].payload_bytes = 0x80000010;
    return all;
  }

  Row row_{2};
  Router east_{row_, 0, kEastChannel};
  Router west_{row_, 1, kWestChannel};
  std::optional<Sink> sink_;
};

TEST_F(Hostile, PacketsThatCannotBeAreDroppedFromLanes) {
  east_.open_lane(2, LaneKind::kWorker, {6, 3}, 0x8000);
  std::uint32_t dropped = 0;
  std::vector<PacketHeader> all = impossible();
  all.push_back(good());
  all.back().source_node = 1;  // a worker speaks for its own node
  for (const PacketHeader& header : all) {
    put(header);
    ++dropped;
    ASSERT_TRUE(row_.run_until([&] { return east_.block().counters.malformed == dropped; })) << dropped;
    EXPECT_TRUE(row_.run_until([&] { return row_.word(0, {6, 3}, 0x8000) == dropped; })) << "the slot is free again";
  }
  EXPECT_EQ(east_.block().telemetry.transmit.packets, 0U);
  EXPECT_EQ(east_.block().lanes[2].consumed, dropped);
  Generator generator(row_, east_, {.destination = 1, .packets = 100, .lane = 2});
  EXPECT_TRUE(row_.run_until([&] { return sink_->has_all(generator, 100); }));
}

// In between good ones: slots are freed in their order.
TEST_F(Hostile, DroppedPacketsDoNotFreeTheSlotsOfOthers) {
  east_.open_lane(2, LaneKind::kWorker, {6, 3}, 0x8000);
  ASSERT_TRUE(west_.follows(RouterCommand::kPause, RouterState::kPaused));
  for (const std::uint32_t bytes : {16U, 16U, 8U, 16U}) {
    PacketHeader header = good();
    header.payload_bytes = bytes;
    put(header);
  }
  ASSERT_TRUE(row_.run_until([&] { return west_.block().counters.inbound == 2; }));
  row_.run(milliseconds(5));
  EXPECT_EQ(east_.block().lanes[2].consumed, 0U);
  ASSERT_TRUE(west_.follows(RouterCommand::kRun, RouterState::kRunning));
  EXPECT_TRUE(row_.run_until([&] { return row_.word(0, {6, 3}, 0x8000) == 4; }));
  EXPECT_EQ(east_.block().counters.malformed, 1U);
  EXPECT_EQ(west_.block().delivered[0], 3U);
}

TEST_F(Hostile, PacketsThatCannotBeAreDroppedFromTheInboundRing) {
  std::uint32_t dropped = 0;
  for (const PacketHeader& header : impossible()) {
    arrive(header);
    ++dropped;
    ASSERT_TRUE(row_.run_until([&] { return west_.block().counters.malformed == dropped; })) << dropped;
    EXPECT_TRUE(row_.run_until([&] { return west_.block().consumed_line.count == dropped; })) << "told to the peer";
  }
  EXPECT_EQ(west_.block().delivered[0], dropped - 1) << "all but the one from nowhere";
  arrive(good());
  EXPECT_TRUE(row_.run_until([&] { return sink_->flow(1).corrupt == 1; })) << "not what a generator would send";
}

TEST_F(Hostile, WhatNobodyTakesIsCounted) {
  Generator generator(row_, east_, {.destination = 1, .packets = 300});
  ASSERT_TRUE(row_.run_until([&] { return sink_->flow(generator.flow()).received >= 50; }));
  west_.close_delivery(0);
  ASSERT_TRUE(row_.run_until([&] { return west_.block().delivered[0] == 300; }));
  row_.run(milliseconds(1));
  EXPECT_EQ(generator.status(), WorkerStatus::kComplete);
  const std::uint32_t undeliverable = west_.block().counters.undeliverable;
  EXPECT_GT(undeliverable, 0U);
  EXPECT_EQ(undeliverable + sink_->flow(generator.flow()).received, 300U);
}

// With the sink at rest and its ring full; then it is gone, and what waited for it goes nowhere.
TEST_F(Hostile, ASinkThatIsGoneHoldsUpNobody) {
  sink_->tear_down();
  ASSERT_TRUE(row_.run_until([&] { return sink_->block().header.status == WorkerStatus::kComplete; }));
  Generator generator(row_, east_, {.destination = 1, .packets = 100});
  ASSERT_TRUE(row_.run_until([&] { return west_.block().deliveries[0].produced == kSinkSlots; }));
  row_.run(milliseconds(1));
  EXPECT_EQ(west_.block().delivered[0], kSinkSlots);
  EXPECT_TRUE(row_.all_sleep());
  west_.close_delivery(0);
  EXPECT_TRUE(row_.run_until([&] { return west_.block().counters.undeliverable == 100 - kSinkSlots; }));
}

TEST_F(Hostile, WhatLeadsNowhereIsCounted) {
  west_.forward(1, kForwardNowhere);
  Generator generator(row_, east_, {.destination = 1, .packets = 100});
  EXPECT_TRUE(row_.run_until([&] { return west_.block().counters.unreachable == 100; }));
  EXPECT_EQ(west_.block().delivered[0], 100U);
  for (const std::uint32_t wrong : {kPorts, 0x101U, 1U}) {  // the last: a port that nobody set up
    const std::uint32_t before = west_.block().counters.unreachable;
    west_.forward(1, wrong);
    arrive(good());
    EXPECT_TRUE(row_.run_until([&] { return west_.block().counters.unreachable == before + 1; })) << wrong;
  }
}

TEST_F(Hostile, RingsThatNoSinkHasAreNotWrittenTo) {
  constexpr std::uint32_t kRings = kWorkerBlock + offsetof(SinkBlock, rings);
  std::uint32_t dropped = 0;
  for (const std::uint32_t wrong : {kRings + kSinkRings * 32, kRings - 32, kRings + 4, 0U, 0xFFFFFFE0U}) {
    west_.set_field(offsetof(RouterBlock, deliveries[0].ring), wrong);
    arrive(good());
    ++dropped;
    EXPECT_TRUE(row_.run_until([&] { return west_.block().counters.undeliverable == dropped; })) << wrong;
  }
}

TEST_F(Hostile, LanesThatClaimTooMuchAreEmpty) {
  east_.open_lane(2, LaneKind::kWorker, {6, 3}, 0x8000);
  for (const std::uint32_t count : {kLaneSlots + 1, 0xFFFFFFFFU, 0x80000000U}) {
    east_.set_field(offsetof(RouterBlock, lanes[2].produced), count);
    row_.run(milliseconds(100));
    EXPECT_EQ(east_.block().lanes[2].taken, 0U);
    EXPECT_EQ(east_.block().counters.malformed, 0U);
  }
}

// Credits are told to memory only: not to a register, which may be any tile's reset.
TEST_F(Hostile, CreditsAreToldToMemoryOnly) {
  for (const std::uint32_t wrong : {0xFFB121B0U, 0x8002U}) {
    east_.open_lane(2, LaneKind::kWorker, {6, 3}, wrong);
    const std::uint32_t before = row_.word(0, {6, 3}, wrong & ~3U);
    const std::uint32_t consumed = east_.block().lanes[2].consumed;
    put(good());
    ASSERT_TRUE(row_.run_until([&] { return east_.block().lanes[2].consumed == consumed + 1; }));
    row_.run(milliseconds(1));
    EXPECT_EQ(row_.word(0, {6, 3}, wrong & ~3U), before);
  }
  east_.open_lane(2, LaneKind::kWorker, {6, 3}, 0x8000);
  put(good());
  EXPECT_TRUE(row_.run_until([&] { return row_.word(0, {6, 3}, 0x8000) == 3; })) << "and the next is told all";
}

// ---- nothing is written where it does not belong ----

class Places {
 public:
  Places(Row& row, unsigned chip, Coordinate tile, std::size_t bytes) : row_(&row), chip_(chip), tile_(tile) {
    before_ = read(bytes);
  }
  void may_change(std::uint32_t address, std::size_t bytes) { open_.emplace_back(address, bytes); }
  // The first address that should not have.
  std::optional<std::uint32_t> changed() {
    std::vector<std::byte> now = read(before_.size());
    for (const auto& [address, bytes] : open_) std::copy_n(before_.begin() + address, bytes, now.begin() + address);
    const auto at = std::ranges::mismatch(now, before_).in1;
    return at == now.end() ? std::nullopt : std::optional(static_cast<std::uint32_t>(at - now.begin()));
  }

 private:
  std::vector<std::byte> read(std::size_t bytes) {
    std::vector<std::byte> all(bytes);
    row_->read_bytes(chip_, tile_, 0, all);
    return all;
  }
  Row* row_;
  unsigned chip_;
  Coordinate tile_;
  std::vector<std::byte> before_;
  std::vector<std::pair<std::uint32_t, std::size_t>> open_;
};

constexpr std::size_t kEthernetL1 = 256 * 1024;

// All that peers, producers, consumers and workers write into a router's tile is random, as are its tables. It runs on
// between a peer, another router and a sink that all lie still.
TEST(HostileWords, MakeNoRouterLeaveItsRings) {
  std::mt19937 random(11);
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
  std::uint64_t delivered = 0;
  std::uint64_t passed_on = 0;
  for (int round = 0; round < 60; ++round) {
    Row row(3);
    Router router(row, 1, kWestChannel);
    router.start(1, RouterCommand::kRun);
    ASSERT_TRUE(row.run_until([&] { return router.state() == RouterState::kRunning; }));
    router.open_delivery(0, kSinkTile, 3);
    for (unsigned lane = 1; lane < kLanes; ++lane)
      router.open_lane(lane, LaneKind::kWorker, {1, 1}, 0x8000 + 16 * lane);
    const Coordinate peer = sim::ethernet_tile(kEastChannel);  // also the other router, of the same chip
    Places own(row, 1, router.tile(), kEthernetL1);
    Places at_peer(row, 0, peer, kEthernetL1);
    Places at_other(row, 1, peer, kEthernetL1);
    Places at_sink(row, 1, kSinkTile, kWorkerFree);
    Places at_worker(row, 1, {1, 1}, 0x10000);

    const auto any = [&] { return static_cast<std::uint32_t>(random()); };
    const auto likely = [&](std::uint32_t most) { return any() % 8 == 0 ? any() : any() % most; };
    const auto spoil = [&](std::size_t offset, std::uint32_t most) { router.set_field(offset, likely(most)); };
    // Mostly somewhere near what is true.
    const auto spoil_count = [&](std::size_t offset, std::uint32_t truth) {
      router.set_field(offset, truth + likely(12) - 2);
    };
    for (int turn = 0; turn < 20; ++turn) {
      const RouterBlock now = router.block();
      for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
        spoil_count(offsetof(RouterBlock, lanes) + lane * sizeof(LaneBlock), now.lanes[lane].consumed);
      }
      for (const std::size_t line : {offsetof(RouterBlock, peer_produced), offsetof(RouterBlock, peer_consumed)}) {
        spoil_count(line,
                    line == offsetof(RouterBlock, peer_produced) ? now.consumed_line.count : now.peer_consumed.count);
        spoil(line + 4, 3);
        spoil(line + 8, 32);
        spoil(line + 12, 3);
      }
      spoil_count(offsetof(RouterBlock, ports[0].consumed), now.ports[0].produced - 5);
      spoil(offsetof(RouterBlock, ports[0].lane), 16);
      spoil_count(offsetof(RouterBlock, deliveries[0].consumed), now.deliveries[0].produced - 5);
      spoil(offsetof(RouterBlock, forward) + 4 * (any() % 4), 2);
      router.forward(any() % 4, kForwardLocal);
      router.forward(any() % 4, 0);
      router.command(any() % 2 == 0 ? RouterCommand::kRun : static_cast<RouterCommand>(likely(5)));
      spoil(offsetof(RouterBlock, configuration.link_session), 3);
      const auto packets = [&](std::uint32_t ring, std::uint32_t slots) {
        PacketHeader header = {};
        header.payload_bytes = likely(80) * 16;
        header.destination_node = static_cast<std::uint16_t>(likely(4));
        header.destination_tile = testing::tile_of(kSinkTile);
        header.source_node = static_cast<std::uint16_t>(likely(4));
        row.write(1, router.tile(), ring + any() % slots * kSlotBytes, header);
      };
      for (int i = 0; i < 16; ++i) packets(kInboundRing, kInboundSlots);
      for (int i = 0; i < 16; ++i) packets(kLaneRings, kLanes * kLaneSlots);
      row.run(std::chrono::microseconds(100));
    }
    own.may_change(kRouterBlock, sizeof(RouterBlock));
    own.may_change(kInboundRing, kInboundSlots * kSlotBytes);                   // by the test
    own.may_change(kLaneRings, std::size_t{kLanes} * kLaneSlots * kSlotBytes);  // by the test
    own.may_change(0x1EFC, 4);                                                  // asks for training
    own.may_change(0x1C, 4);                                                    // firmware's
    at_peer.may_change(kInboundRing, kInboundSlots * kSlotBytes);
    at_peer.may_change(kRouterBlock + offsetof(RouterBlock, peer_produced), 2 * sizeof(LinkLine));
    at_peer.may_change(0x1C, 4);
    at_other.may_change(kLaneRings, std::size_t{kLanes} * kLaneSlots * kSlotBytes);
    for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
      at_other.may_change(
          static_cast<std::uint32_t>(kRouterBlock + offsetof(RouterBlock, lanes) + lane * sizeof(LaneBlock)), 4);
    }
    at_other.may_change(kRouterBlock + offsetof(RouterBlock, ports[0].consumed), 4);
    at_other.may_change(0x1C, 4);
    at_sink.may_change(sink_slots(3), std::size_t{kSinkSlots} * kSlotBytes);
    at_sink.may_change(kWorkerBlock + offsetof(SinkBlock, rings[3].produced), 4);
    for (std::uint32_t lane = 1; lane < kLanes; ++lane) at_worker.may_change(0x8000 + 16 * lane, 4);
    for (auto& [name, places] : std::map<std::string, Places*>{
             {"own", &own}, {"peer", &at_peer}, {"other", &at_other}, {"sink", &at_sink}, {"worker", &at_worker}}) {
      const auto at = places->changed();
      ASSERT_FALSE(at) << name << " " << std::hex << *at << " in round " << std::dec << round;
    }
    router.command(RouterCommand::kPause);
    EXPECT_TRUE(router.answers_probe());
    EXPECT_EQ(router.state(), RouterState::kPaused);
    const RouterBlock block = router.block();
    sent += block.telemetry.transmit.packets;
    received += block.telemetry.receive.packets;
    delivered += block.deliveries[0].produced;
    passed_on += block.ports[0].produced;
  }
  for (const std::uint64_t some : {sent, received, delivered, passed_on}) EXPECT_GT(some, 50U);
}

}  // namespace
}  // namespace warden::kernels
