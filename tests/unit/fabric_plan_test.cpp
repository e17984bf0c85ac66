// SPDX-License-Identifier: Apache-2.0
// What routers are told: tables that lead everywhere link by link, lanes with one producer each.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "driver/fabric/lanes.h"
#include "driver/fabric/paths.h"
#include "driver/fabric/plan.h"
#include "driver/fabric/router_memory.h"
#include "tests/unit/fabric_mesh.h"

namespace warden::fabric {
namespace {

using testing::MeshWords;

std::vector<RouterPlan> plan_of(const MeshWords& words) {
  const auto topology = words.topology();
  EXPECT_TRUE(topology) << topology.error().message;
  auto plans = make_plan(*topology);
  EXPECT_TRUE(plans) << plans.error().message;
  return *plans;
}

Paths paths_of(const std::vector<RouterPlan>& plans) {
  Paths paths;
  for (const RouterPlan& plan : plans) paths.add(plan.router, plan.block);
  return paths;
}

// Proves that from every link every other device is reached that lies in its direction's reach, over links that are
// there, and that with several links a packet stays on the one it came by.
TEST(FabricPlan, EveryPairIsReached) {
  for (const auto& [rows, columns, links] :
       {std::tuple<std::uint8_t, std::uint8_t, std::uint8_t>{1, 2, 1}, {2, 4, 1}, {2, 2, 4}, {4, 8, 2}}) {
    const auto plans = plan_of(MeshWords(rows, columns, links));
    const Paths paths = paths_of(plans);
    const unsigned nodes = unsigned{rows} * columns;
    std::map<std::pair<unsigned, unsigned>, std::set<unsigned>> ranks;
    for (const RouterPlan& plan : plans) {
      for (unsigned to = 0; to < nodes; ++to) {
        if (to == plan.router.number) continue;
        const auto path = paths.from(plan.router.id, to);
        if (!path) continue;
        ranks[{plan.router.number, to}].insert(plan.router.id.channel % 4U);
        for (const Paths::Hop& hop : *path) EXPECT_EQ(hop.out.channel % 4, plan.router.id.channel % 4);
      }
    }
    for (unsigned from = 0; from < nodes; ++from) {
      for (unsigned to = 0; to < nodes; ++to) {
        const std::size_t expected = from == to ? 0 : links;
        EXPECT_EQ((ranks[{from, to}].size()), expected) << from << " to " << to;
      }
    }
  }
}

// Proves that of two links of an edge the one that is left carries what came by both.
TEST(FabricPlan, LinksThatAreMissingAreReplaced) {
  MeshWords words(1, 3, 2);
  words.cut(1, 1);
  const auto plans = plan_of(words);
  const Paths paths = paths_of(plans);
  const FabricNodeId first{};
  for (const chan_id_t channel : {chan_id_t{0}, chan_id_t{1}}) {
    const auto path = paths.from({first, channel}, 2);
    ASSERT_TRUE(path);
    ASSERT_EQ(path->size(), 2U);
    EXPECT_EQ(path->at(1).out.channel, 0);
  }
  EXPECT_FALSE(paths.from({first, 0}, 7)) << "a device that is not there";
}

// Proves that each lane of a router has one producer, whose port names that lane, and that the rest is for workers.
TEST(FabricPlan, LanesHaveOneProducer) {
  std::mt19937 random(3);
  for (int round = 0; round < 20; ++round) {
    MeshWords words(3, 4, 3);
    for (int i = 0; i < round * 2; ++i) words.cut(random() % words.size(), static_cast<chan_id_t>(random() % 16));
    const auto plans = plan_of(words);
    std::set<std::tuple<std::size_t, chan_id_t, std::uint32_t>> used;
    std::size_t lanes = 0;
    for (const RouterPlan& producer : plans) {
      const auto& block = producer.block;
      for (std::uint32_t port = 0; port < kernels::kPorts; ++port) {
        const bool passes = std::ranges::count(block.forward, port) > 0;
        EXPECT_EQ(passes, block.ports[port].tile != 0);
        if (!passes) continue;
        EXPECT_EQ(block.ports[port].tile, tile_word(ethernet_tile(static_cast<chan_id_t>(port))));
        EXPECT_TRUE(used.emplace(producer.router.card, port, block.ports[port].lane).second);
        const auto consumer = std::ranges::find_if(plans, [&](const RouterPlan& plan) {
          return plan.router.card == producer.router.card && plan.router.id.channel == port;
        });
        ASSERT_NE(consumer, plans.end());
        const kernels::LaneBlock& lane = consumer->block.lanes[block.ports[port].lane];
        EXPECT_EQ(lane.kind, kernels::LaneKind::kRouter);
        EXPECT_EQ(lane.credit_tile, tile_word(producer.router.tile));
        EXPECT_EQ(lane.credit_address, kernels::kRouterBlock + offsetof(kernels::RouterBlock, ports) + port * 32 + 16);
      }
    }
    for (const RouterPlan& plan : plans) {
      lanes += static_cast<std::size_t>(
          std::ranges::count(plan.block.lanes, kernels::LaneKind::kRouter, &kernels::LaneBlock::kind));
      if (round == 0) {
        EXPECT_EQ(free_lane(plan.block), kernels::kLanes - 1);
      }
    }
    EXPECT_EQ(lanes, used.size());
  }
}

// Proves that a lane which is not empty is not given to a worker, and that there may be none.
TEST(FabricPlan, FreeLanes) {
  kernels::RouterBlock block{};
  block.lanes[kernels::kLanes - 1].kind = kernels::LaneKind::kWorker;
  block.lanes[kernels::kLanes - 2].produced = 1;
  EXPECT_EQ(free_lane(block), kernels::kLanes - 3);
  EXPECT_EQ(worker_lanes(block), 1U);
  for (kernels::LaneBlock& lane : block.lanes) lane.kind = kernels::LaneKind::kRouter;
  EXPECT_FALSE(free_lane(block));
}

// Proves that what a router is told about itself names the two ends of its link.
TEST(FabricPlan, Configuration) {
  for (const RouterPlan& plan : plan_of(MeshWords(2, 4))) {
    const auto& configuration = plan.block.configuration;
    EXPECT_EQ(configuration.node, plan.router.number);
    EXPECT_EQ(configuration.columns, 4);
    EXPECT_EQ(configuration.rows, 2);
    EXPECT_EQ(configuration.peer_channel, plan.router.peer.channel);
    EXPECT_EQ(configuration.peer_node, plan.router.peer_number);
  }
}

}  // namespace
}  // namespace warden::fabric
