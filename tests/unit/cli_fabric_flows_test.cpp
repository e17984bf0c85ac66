// SPDX-License-Identifier: Apache-2.0
// What generators have sent and sinks have counted, put together.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/warden/fabric_flows.h"

namespace warden::cli {
namespace {

constexpr std::uint32_t kColumns = 4;
constexpr fabric::Tile kSender{.x = 3, .y = 11};
constexpr fabric::Tile kSink{.x = 2, .y = 5};
const fabric::FabricNodeId kSource{2, 1, 1};  // node 5 of four columns
const fabric::FabricNodeId kDestination{2, 3, 0};
constexpr std::uint32_t kNumber = 5U << 16 | kernels::tile_word(kSender.x, kSender.y);

Flow flow(std::uint32_t first_sequence, std::uint32_t sent) {
  Flow flow = flow_from(kNumber, kSource.mesh_id, kColumns);
  flow.destination = kDestination;
  flow.destination_tile = kSink;
  flow.sender = SentCount{
      .status = kernels::WorkerStatus::kRunning, .first_sequence = first_sequence, .sent = sent, .delayed = 0};
  return flow;
}

fabric::Worker sink() { return {.kind = kernels::WorkerKind::kSink, .node = kDestination, .card = 0, .tile = kSink}; }

kernels::SinkBlock counted(std::uint32_t received, std::uint32_t next) {
  kernels::SinkBlock block{};
  block.flows_seen = 1;
  kernels::SinkFlow& flow = block.flows[0];
  flow.flow = kNumber;
  flow.received = received;
  flow.next_sequence = next;
  flow.bytes_low = 16;
  flow.bytes_high = 2;
  return block;
}

// A flow's number says where it comes from.
TEST(Flows, AreNumberedByTheirSource) {
  const Flow flow = flow_from(kNumber, 2, kColumns);
  EXPECT_EQ(flow.source, kSource);
  EXPECT_EQ(flow.source_tile, kSender);
}

// What a sink has counted is put to the flow it is of; what is on the way is what it still awaits, also when the
// numbers wrap, and when the sink has counted a predecessor.
TEST(Flows, KnowWhatIsOnTheWay) {
  std::vector<Flow> flows = {flow(0, 10)};
  EXPECT_EQ(flows[0].on_the_way(), 10U);
  add_sink(flows, sink(), counted(7, 7), kColumns);
  ASSERT_EQ(flows.size(), 1U);
  EXPECT_EQ(flows[0].on_the_way(), 3U);
  EXPECT_EQ(flows[0].sink->bytes, 0x2'0000'0010U);
  std::vector<Flow> later = {flow(0xFFFF'FFFE, 5)};
  add_sink(later, sink(), counted(100, 2), kColumns);
  EXPECT_EQ(later[0].on_the_way(), 1U);
}

// A flow whose generator is gone is listed all the same, without guesses about what was sent.
TEST(Flows, OutliveTheirGenerators) {
  Traffic traffic;
  add_sink(traffic.flows, sink(), counted(7, 7), kColumns);
  ASSERT_EQ(traffic.flows.size(), 1U);
  EXPECT_EQ(traffic.flows[0].source, kSource);
  EXPECT_EQ(traffic.flows[0].destination, kDestination);
  EXPECT_FALSE(traffic.flows[0].on_the_way());
  EXPECT_TRUE(traffic.has_arrived());
  EXPECT_EQ(json_of(traffic).at("flows")[0].at("sent"), nullptr);
  EXPECT_THAT(format_traffic(traffic),
              testing::ContainsRegex("2:\\(1,1\\) tile 3,11 +2:\\(3,0\\) tile 2,5 +gone +- +7"));
}

// A generator sends until it is complete or refused, and not while its core is in reset.
TEST(Flows, KnowWhoSends) {
  Flow one = flow(0, 10);
  EXPECT_TRUE(one.is_sending());
  one.sender->held = true;
  EXPECT_FALSE(one.is_sending());
  one.sender->held = false;
  one.sender->status = kernels::WorkerStatus::kComplete;
  EXPECT_FALSE(one.is_sending());
  one.sender.reset();
  EXPECT_FALSE(one.is_sending());
}

// Each thing that must not happen to a packet is an error; that some are on their way is none.
TEST(Flows, KnowErrors) {
  Traffic good;
  good.flows = {flow(0, 10)};
  add_sink(good.flows, sink(), counted(7, 7), kColumns);
  EXPECT_FALSE(good.has_errors());
  EXPECT_FALSE(good.has_arrived());
  Traffic bad = good;
  bad.flows[0].sink->out_of_order = 1;
  EXPECT_TRUE(bad.has_errors());
  bad = good;
  bad.flows[0].sink->corrupt = 1;
  EXPECT_TRUE(bad.has_errors());
  bad = good;
  bad.flows[0].sender->status = kernels::WorkerStatus::kRefused;
  EXPECT_TRUE(bad.has_errors());
  bad = good;
  bad.overflow = 1;
  EXPECT_TRUE(bad.has_errors());
}

// A sink's count of flows is the card's word: what can't be is not read behind the end.
TEST(Flows, AreAsManyAsThereCanBe) {
  struct {
    kernels::SinkBlock block{};
    kernels::SinkFlow behind[kernels::kSinkFlows]{};
  } memory;
  memory.block.flows_seen = 0xFFFF'FFFF;
  for (std::uint32_t i = 0; i < kernels::kSinkFlows; ++i) {
    memory.block.flows[i].flow = i;
    memory.behind[i].flow = 1000 + i;
  }
  std::vector<Flow> flows;
  add_sink(flows, sink(), memory.block, kColumns);
  EXPECT_EQ(flows.size(), std::size_t{kernels::kSinkFlows});
}

// Nothing is awaited for a sink that is gone: whatever is sent is dropped where it was.
TEST(Flows, AwaitNothingAtASinkThatIsGone) {
  Traffic traffic;
  traffic.flows = {flow(0, 10)};
  EXPECT_EQ(traffic.flows[0].on_the_way(), 10U);
  EXPECT_FALSE(traffic.has_arrived());
  traffic.flows[0].is_sink_gone = true;
  EXPECT_FALSE(traffic.flows[0].on_the_way());
  EXPECT_TRUE(traffic.has_arrived());
}

}  // namespace
}  // namespace warden::cli
