// SPDX-License-Identifier: Apache-2.0
// Packets from generators to sinks: every one arrives once, in order and unchanged, whatever the routers between are
// told meanwhile.
#include <gtest/gtest.h>

#include "tests/unit/kernels_fabric.h"

namespace warden::kernels {
namespace {

using testing::Flow;
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
  Row row_{2};
  Router east_{row_, 0, kEastChannel};  // where the generator's packets leave
  Router west_{row_, 1, kWestChannel};  // where they arrive
  std::optional<Sink> sink_;
};

TEST_F(TwoChips, EveryPacketArrivesOnceInOrderUnchanged) {
  Generator generator(row_, east_, {.destination = 1, .packets = 1000, .payload_bytes = 1024});
  ASSERT_TRUE(row_.run_until([&] { return generator.status() == WorkerStatus::kComplete; }));
  ASSERT_TRUE(row_.run_until([&] { return sink_->flow(generator.flow()).received == 1000; }));
  const SinkFlow flow = sink_->flow(generator.flow());
  EXPECT_EQ(flow.next_sequence, 1000U);
  EXPECT_EQ(flow.out_of_order, 0U);
  EXPECT_EQ(flow.corrupt, 0U);
  EXPECT_EQ(flow.bytes_low, 1000U * 1024);
  const RouterBlock sent = east_.block();
  const RouterBlock received = west_.block();
  EXPECT_EQ(sent.telemetry.transmit.packets, 1000U);
  EXPECT_EQ(sent.telemetry.transmit.words, 1000U * (1024 + 32) / 16);
  EXPECT_EQ(received.telemetry.receive.packets, 1000U);
  EXPECT_EQ(received.telemetry.receive.words, 1000U * (1024 + 32) / 16);
  EXPECT_EQ(sent.admitted[1], 1000U);
  EXPECT_EQ(received.delivered[0], 1000U);
  EXPECT_EQ(sent.counters.inside, 0U);
  EXPECT_EQ(received.counters.inside, 0U);
}

}  // namespace
}  // namespace warden::kernels
