// SPDX-License-Identifier: Apache-2.0
// Generators and sinks by themselves: what they refuse, how they end, their pace, and what a sink finds wrong.
#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "tests/unit/kernels_fabric.h"

namespace warden::kernels {
namespace {

using std::chrono::milliseconds;
using testing::Generator;
using testing::kEastChannel;
using testing::kGeneratorTile;
using testing::kSinkTile;
using testing::Router;
using testing::Row;
using testing::Sink;

// A generator and the L1 of a router that does not run: the test is the router.
class GeneratorAlone : public ::testing::Test {
 protected:
  std::uint32_t produced() { return router_.field(offsetof(RouterBlock, lanes[1].produced)); }
  void consume(std::uint32_t count) {
    row_.set(0, kGeneratorTile, kWorkerBlock + offsetof(GeneratorBlock, credit), count);
  }
  Row row_{1};
  Router router_{row_, 0, kEastChannel};
};

TEST_F(GeneratorAlone, SendsWhatThereIsRoomFor) {
  Generator generator(row_, router_, {.destination = 5, .packets = 20, .payload_bytes = 48});
  ASSERT_TRUE(row_.run_until([&] { return produced() == kLaneSlots; }));
  row_.run(milliseconds(5));
  EXPECT_EQ(produced(), kLaneSlots);
  EXPECT_TRUE(row_.all_sleep());
  EXPECT_EQ(generator.status(), WorkerStatus::kRunning);
  for (std::uint32_t i = 0; i < kLaneSlots; ++i) {
    const auto header = row_.read<PacketHeader>(0, router_.tile(), lane_ring(1) + i * kSlotBytes);
    const auto payload =
        row_.read<std::array<std::uint32_t, 12>>(0, router_.tile(), lane_ring(1) + i * kSlotBytes + 32);
    EXPECT_EQ(header.sequence, i);
    EXPECT_EQ(header.flow, generator.flow());
    EXPECT_EQ(header.destination_node, 5U);
    EXPECT_EQ(header.destination_tile, testing::tile_of(kSinkTile));
    EXPECT_EQ(header.checksum, packet_checksum(header, payload.data()));
    for (std::uint32_t word = 0; word < 12; ++word) EXPECT_EQ(payload[word], payload_word(header.flow, i, word));
  }
  consume(3);
  ASSERT_TRUE(row_.run_until([&] { return produced() == kLaneSlots + 3; }));
  row_.run(milliseconds(1));
  consume(11);
  ASSERT_TRUE(row_.run_until([&] { return produced() == 19; }));
  consume(12);
  ASSERT_TRUE(row_.run_until([&] { return produced() == 20; }));
  row_.run(milliseconds(1));
  EXPECT_EQ(generator.status(), WorkerStatus::kRunning) << "not all taken";
  consume(20);
  EXPECT_TRUE(row_.run_until([&] { return generator.status() == WorkerStatus::kComplete; }));
  const GeneratorBlock block = generator.block();
  EXPECT_EQ(block.sent, 20U);
  EXPECT_EQ(block.delayed, 3U);
  EXPECT_GE(block.blocked_low, 5'000'000U) << "a clock a nanosecond";
  EXPECT_TRUE(row_.all_sleep());
}

TEST_F(GeneratorAlone, EndsWhenTornDown) {
  Generator generator(row_, router_, {.destination = 1});
  ASSERT_TRUE(row_.run_until([&] { return produced() == kLaneSlots; }));
  const std::uint32_t beat = generator.block().header.heartbeat;
  row_.run(milliseconds(500));
  EXPECT_GE(generator.block().header.heartbeat, beat + 5) << "lives while it waits";
  generator.tear_down();
  row_.run(milliseconds(1));
  EXPECT_EQ(generator.status(), WorkerStatus::kRunning) << "what it sent was not taken";
  consume(kLaneSlots);
  EXPECT_TRUE(row_.run_until([&] { return generator.status() == WorkerStatus::kComplete; }));
  EXPECT_EQ(produced(), kLaneSlots) << "and sends no more";
}

TEST_F(GeneratorAlone, KeepsItsPaceAndMakesUpForLateOnes) {
  Generator generator(row_, router_, {.destination = 1, .interval_cycles = 10'000'000});
  row_.run(milliseconds(35));
  EXPECT_NEAR(produced(), 4, 1);
  row_.run(milliseconds(165));
  EXPECT_EQ(produced(), kLaneSlots) << "full";
  consume(kLaneSlots);
  row_.run(milliseconds(1));
  EXPECT_EQ(produced(), 2 * kLaneSlots) << "those that were due";
  consume(2 * kLaneSlots);
  row_.run(milliseconds(40));
  EXPECT_NEAR(produced(), 24, 2) << "as many as if nothing had held it up";
}

TEST_F(GeneratorAlone, RefusesWhatMakesNoSense) {
  const std::vector<std::function<void(GeneratorArguments&)>> wrong = {
      [](auto& to) { to.router_tile = 0; },
      [](auto& to) { to.lane = kLanes; },
      [](auto& to) { to.payload_bytes = 0; },
      [](auto& to) { to.payload_bytes = 24; },
      [](auto& to) { to.payload_bytes = kPayloadBytesMax + 16; },
      [](auto& to) { to.source_buffer = 0xA0008; },
      [](auto& to) { to.source_buffer = kWorkerBlock; },
      [](auto& to) { to.source_buffer = 1464 * 1024 - 16; },
      [](auto& to) { to.destination_node = kNodesMax; },
      [](auto& to) { to.source_node = kNodesMax; },
      [](auto& to) { to.destination_tile = 0x1000; },
  };
  for (std::size_t i = 0; i < wrong.size(); ++i) {
    Generator generator(row_, router_, {.destination = 1});
    GeneratorBlock block = generator.block();
    wrong[i](block.arguments);
    generator.restart(block);
    EXPECT_TRUE(row_.run_until([&] { return generator.status() == WorkerStatus::kRefused; })) << i;
    EXPECT_EQ(generator.block().header.magic, kWorkerMagic);
    EXPECT_EQ(generator.block().sent, 0U);
  }
  Generator generator(row_, router_, {.destination = 1});
  GeneratorBlock block = generator.block();
  block.header.teardown_address = 1464 * 1024;
  generator.restart(block);
  EXPECT_TRUE(row_.run_until([&] { return generator.status() == WorkerStatus::kRefused; }));
}

// A sink to which the test is the router.
class SinkAlone : public ::testing::Test {
 protected:
  void deliver(std::uint32_t flow, std::uint32_t sequence, unsigned ring = 0,
               const std::function<void(PacketHeader&, std::array<std::uint32_t, 4>&)>& spoil = {}) {
    PacketHeader header{};
    std::array<std::uint32_t, 4> payload{};
    header.payload_bytes = sizeof(payload);
    header.flow = flow;
    header.sequence = sequence;
    for (std::uint32_t i = 0; i < 4; ++i) payload[i] = payload_word(flow, sequence, i);
    header.checksum = packet_checksum(header, payload.data());
    if (spoil) spoil(header, payload);
    const std::uint32_t slot = sink_slots(ring) + produced_[ring] % kSinkSlots * kSlotBytes;
    row_.write(0, kSinkTile, slot, header);
    row_.write(0, kSinkTile, slot + sizeof(header), payload);
    row_.set(0, kSinkTile, kWorkerBlock + offsetof(SinkBlock, rings) + ring * sizeof(SinkRing), ++produced_[ring]);
    ASSERT_TRUE(row_.run_until([&] { return sink_.block().rings[ring].consumed == produced_[ring]; }));
  }
  Row row_{1};
  Router router_{row_, 0, kEastChannel};
  Sink sink_{row_, 0, {router_, router_}};
  std::uint32_t produced_[2] = {};
};

TEST_F(SinkAlone, CountsByFlow) {
  for (std::uint32_t i = 0; i < 20; ++i) {
    deliver(7, i);
    deliver(9, i, 1);
  }
  for (const std::uint32_t flow : {7U, 9U}) {
    EXPECT_EQ(sink_.flow(flow).received, 20U);
    EXPECT_EQ(sink_.flow(flow).next_sequence, 20U);
    EXPECT_EQ(sink_.flow(flow).out_of_order, 0U);
    EXPECT_EQ(sink_.flow(flow).bytes_low, 320U);
  }
  EXPECT_EQ(sink_.block().flows_seen, 2U);
  EXPECT_TRUE(row_.run_until([&] { return router_.block().deliveries[0].consumed == 20; })) << "the router is told";
  EXPECT_TRUE(row_.all_sleep());
}

TEST_F(SinkAlone, NoticesGapsAndThoseSeenBefore) {
  deliver(7, 0);
  deliver(7, 3);
  deliver(7, 4);
  deliver(7, 4);
  deliver(7, 1);
  deliver(7, 5);
  EXPECT_EQ(sink_.flow(7).received, 3U);
  EXPECT_EQ(sink_.flow(7).out_of_order, 3U);
  EXPECT_EQ(sink_.flow(7).next_sequence, 6U);
  deliver(8, 1);
  EXPECT_EQ(sink_.flow(8).out_of_order, 1U) << "the first of a flow is 0";
}

TEST_F(SinkAlone, NoticesWhatWasChanged) {
  deliver(7, 0, 0, [](auto&, auto& payload) { payload[3] ^= 1; });
  deliver(7, 1, 0, [](auto& header, auto&) { ++header.destination_node; });
  deliver(7, 2, 0, [](auto& header, auto&) { header.payload_bytes = 0xFFFFFFF0; });
  deliver(7, 3, 0, [](auto& header, auto& payload) {
    std::swap(payload[0], payload[1]);
    header.checksum = packet_checksum(header, payload.data());  // as sent, but not what generators send
  });
  deliver(7, 4);
  EXPECT_EQ(sink_.flow(7).corrupt, 4U);
  EXPECT_EQ(sink_.flow(7).received, 1U);
  EXPECT_EQ(sink_.flow(7).out_of_order, 0U);
}

TEST_F(SinkAlone, CountsFlowsForWhichThereIsNoRoom) {
  for (std::uint32_t flow = 1; flow <= kSinkFlows + 3; ++flow) deliver(flow, 0);
  EXPECT_EQ(sink_.block().flows_seen, kSinkFlows);
  EXPECT_EQ(sink_.block().overflow, 3U);
  EXPECT_EQ(sink_.flow(kSinkFlows).received, 1U);
}

TEST_F(SinkAlone, IgnoresCountsThatCannotBe) {
  row_.set(0, kSinkTile, kWorkerBlock + offsetof(SinkBlock, rings), kSinkSlots + 1);
  row_.run(milliseconds(1));
  EXPECT_EQ(sink_.block().flows_seen, 0U);
  EXPECT_TRUE(row_.all_sleep());
}

TEST_F(SinkAlone, LivesUntilTornDown) {
  ASSERT_TRUE(row_.run_until([&] { return sink_.block().header.magic == kWorkerMagic; }));
  const std::uint32_t beat = sink_.block().header.heartbeat;
  row_.run(milliseconds(500));
  EXPECT_GE(sink_.block().header.heartbeat, beat + 5);
  EXPECT_EQ(sink_.block().header.status, WorkerStatus::kRunning);
  sink_.tear_down();
  EXPECT_TRUE(row_.run_until([&] { return sink_.block().header.status == WorkerStatus::kComplete; }));
}

}  // namespace
}  // namespace warden::kernels
