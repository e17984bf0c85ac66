// SPDX-License-Identifier: Apache-2.0
// Generators and sinks on simulated cards: every packet is accounted for, through pauses and drains.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "driver/fabric/accounts.h"
#include "driver/fabric/patience.h"
#include "driver/fabric/router_state_manager.h"
#include "driver/fabric/settling.h"
#include "driver/fabric/soft_reset.h"
#include "driver/fabric/traffic_validation.h"
#include "driver/fabric/worker.h"
#include "tests/conformance/fabric_mesh.h"
#include "tests/conformance/fabric_traffic.h"

namespace warden::fabric {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::kPatience;
using ::testing::SizeIs;
using testing::Traffic;

constexpr FabricNodeId kOrigin{};
constexpr FabricNodeId kEast{.mesh_id = 0, .logical_x = 1, .logical_y = 0};
constexpr FabricNodeId kFar{.mesh_id = 0, .logical_x = 1, .logical_y = 1};

class FabricTraffic : public ::testing::Test {
 protected:
  void SetUp() override {
    const Status up = fabric_->bring_up({.link_deadline = kPatience, .start_deadline = kPatience});
    ASSERT_TRUE(up) << up.error().message;
  }
  [[nodiscard]] bool flows() { return validate_traffic_flowing(*fabric_, 0, 4, kPatience); }
  [[nodiscard]] std::uint64_t delivered() const { return Accounts::read(*fabric_)->delivered(); }
  void await_delivered(std::uint64_t packets) const {
    Patience patience(kPatience);
    while (delivered() < packets && patience.again()) continue;
    ASSERT_GE(delivered(), packets);
  }

  testing::Mesh mesh_{2, 2};
  std::unique_ptr<ControlPlane> fabric_ = mesh_.control_plane();
  FabricRouterStateManager manager_{*fabric_};
};

// Proves that a number of packets that was asked for arrives, each once, in order and as sent.
TEST_F(FabricTraffic, EveryPacketArrives) {
  Traffic traffic(*fabric_, {.packets = 200});
  traffic.all_pairs();
  traffic.await_complete();
  for (const auto& flow : traffic.flows()) EXPECT_EQ(flow.sent, 200U);
  traffic.expect_exact();
  const auto accounts = Accounts::read(*fabric_);
  ASSERT_TRUE(accounts) << accounts.error().message;
  EXPECT_EQ(accounts->admitted(), 12U * 200);
  EXPECT_EQ(accounts->delivered(), 12U * 200);
  EXPECT_EQ(accounts->pair(kOrigin, kFar).admitted, 200U);
  EXPECT_THAT(accounts->unbalanced(), IsEmpty());
  EXPECT_EQ(accounts->drops().total(), 0U);
}

// Proves that a pause stops all traffic, that resuming lets it go on, and that no packet is lost by it.
TEST_F(FabricTraffic, PauseAndResume) {
  Traffic traffic(*fabric_, {});
  traffic.all_pairs();
  for (int round = 0; round < 5; ++round) {
    EXPECT_TRUE(flows());
    EXPECT_TRUE(manager_.pause(fabric_->all(), kPatience).complete());
    EXPECT_TRUE(validate_traffic_stopped(*fabric_, 0, 4, milliseconds(20)));
    EXPECT_TRUE(manager_.resume(fabric_->all(), kPatience).complete());
  }
  EXPECT_FALSE(validate_traffic_stopped(*fabric_, 0, 4, kPatience));
  traffic.end();
  traffic.expect_exact();
}

// Proves that after draining everything nothing is inside, and that the senders go on afterwards.
TEST_F(FabricTraffic, DrainAll) {
  Traffic traffic(*fabric_, {});
  traffic.all_pairs();
  await_delivered(100);
  const Transition transition = manager_.drain(fabric_->all(), kPatience);
  ASSERT_TRUE(transition.complete()) << to_string(transition);
  const auto accounts = Accounts::read(*fabric_);
  EXPECT_EQ(accounts->admitted(), accounts->delivered());
  EXPECT_EQ(accounts->inside(), 0U);
  EXPECT_TRUE(manager_.resume(fabric_->all(), kPatience).complete());
  await_delivered(accounts->delivered() + 100);
  traffic.end();
  traffic.expect_exact();
}

// Proves that while one edge is drained the rest goes on, that what would use it waits, and goes on afterwards.
TEST_F(FabricTraffic, DrainOneEdge) {
  Traffic traffic(*fabric_, {});
  traffic.all_pairs();
  await_delivered(100);
  const auto edge = fabric_->select({.node = kOrigin, .neighbour = kEast});
  const Transition transition = manager_.drain(*edge, kPatience);
  ASSERT_TRUE(transition.complete()) << to_string(transition);
  const auto held = Accounts::read(*fabric_);
  EXPECT_EQ(held->pair(kOrigin, kEast).inside(), 0U);
  EXPECT_EQ(held->pair(kOrigin, kFar).inside(), 0U) << "its way leads over the edge";
  await_delivered(held->delivered() + 200);
  const auto later = Accounts::read(*fabric_);
  EXPECT_EQ(later->pair(kOrigin, kEast).admitted, held->pair(kOrigin, kEast).admitted);
  EXPECT_GT(later->pair(kEast, kFar).delivered, held->pair(kEast, kFar).delivered);
  EXPECT_TRUE(manager_.resume(*edge, kPatience).complete());
  Patience patience(kPatience);
  while (Accounts::read(*fabric_)->pair(kOrigin, kEast).admitted == held->pair(kOrigin, kEast).admitted) {
    ASSERT_TRUE(patience.again()) << "what was held did not go on";
  }
  traffic.end();
  traffic.expect_exact();
}

// Proves that a drain that can't end is rolled back, and says of which packets.
TEST_F(FabricTraffic, DrainThatFails) {
  Traffic traffic(*fabric_, {});
  traffic.all_pairs();
  await_delivered(100);
  // A sink that takes nothing any more.
  const Worker sink = traffic.sink(kFar);
  ASSERT_TRUE(hold_tensix(*fabric_->cards()[sink.card], sink.tile));
  const Transition transition = manager_.drain(fabric_->all(), milliseconds(300));
  EXPECT_FALSE(transition.complete());
  EXPECT_TRUE(transition.rolled_back);
  ASSERT_FALSE(transition.undrained.empty());
  EXPECT_TRUE(
      std::ranges::any_of(transition.undrained, [](const PairAccount& pair) { return pair.destination == kFar; }));
  EXPECT_THAT(to_string(transition), HasSubstr("still inside"));
  EXPECT_TRUE(manager_.examine().not_running.empty());
}

// Proves that flows are spread over the links of an edge, stay on theirs, and that one of the links can be drained
// while the other goes on.
TEST(FabricLinks, SeveralAnEdge) {
  const testing::Mesh mesh(1, 3, {"--links", "2"});
  auto fabric = mesh.control_plane();
  ASSERT_TRUE(fabric->bring_up({.link_deadline = kPatience, .start_deadline = kPatience}));
  ASSERT_EQ(fabric->routers().size(), 8U);
  const FabricNodeId end{.mesh_id = 0, .logical_x = 2, .logical_y = 0};
  Traffic traffic(*fabric, {});
  for (int flow = 0; flow < 4; ++flow) traffic.add(kOrigin, end);
  std::multiset<chan_id_t> channels;
  for (const auto& flow : traffic.flows()) channels.insert(flow.generator.router->channel);
  EXPECT_THAT(channels, ::testing::ElementsAre(0, 0, 1, 1));
  const auto sent_by = [&](chan_id_t channel) {
    return fabric->telemetry(*fabric->find(kEast, channel))->transmit.packets;
  };
  Patience patience(kPatience);
  while ((sent_by(0) < 50 || sent_by(1) < 50) && patience.again()) continue;
  EXPECT_GE(sent_by(0), 50U);
  EXPECT_GE(sent_by(1), 50U);

  FabricRouterStateManager manager(*fabric);
  const RouterList first{fabric->find(kOrigin, 0)};
  const Transition transition = manager.drain(first, kPatience);
  ASSERT_TRUE(transition.complete()) << to_string(transition);
  const std::uint64_t other = sent_by(1);
  while (sent_by(1) < other + 50) ASSERT_TRUE(patience.again()) << "the other link stands still";
  EXPECT_TRUE(manager.resume(first, kPatience).complete());
  traffic.end();
  traffic.expect_exact();
}

// Proves that the largest board comes up, that its routers pause and run, and that packets cross all of it.
TEST(FabricBoards, Largest) {
  const testing::Mesh mesh(4, 8);
  auto fabric = mesh.control_plane();
  const Status up = fabric->bring_up({.link_deadline = kPatience, .start_deadline = kPatience});
  ASSERT_TRUE(up) << up.error().message;
  EXPECT_EQ(fabric->routers().size(), 104U);
  FabricRouterStateManager manager(*fabric);
  EXPECT_TRUE(manager.pause(fabric->all(), kPatience).complete());
  EXPECT_TRUE(manager.resume(fabric->all(), kPatience).complete());
  Traffic traffic(*fabric, {.packets = 50});
  const FabricNodeId corner{.mesh_id = 0, .logical_x = 7, .logical_y = 3};
  traffic.add(kOrigin, corner);
  traffic.add(corner, kOrigin);
  traffic.await_complete();
  traffic.end();
  traffic.expect_exact();
}

// Proves that another control plane finds the workers, ends them and gives back what they had.
TEST_F(FabricTraffic, WorkersAreFoundAndDetached) {
  Traffic traffic(*fabric_, {});
  traffic.all_pairs();
  EXPECT_TRUE(flows());
  auto other = mesh_.control_plane();
  ASSERT_TRUE(other->attach());
  auto workers = find_workers(*other);
  ASSERT_TRUE(workers) << workers.error().message;
  EXPECT_THAT(*workers, SizeIs(12 + 4));
  // Generators first: what they have sent is still to be taken.
  std::ranges::stable_sort(*workers, {}, &Worker::kind);
  for (const Worker& worker : *workers) {
    Patience patience(kPatience);
    if (worker.kind == kernels::WorkerKind::kSink) {
      EXPECT_THAT(await_empty(*other, patience), IsEmpty());
    }
    const Status detached = detach_worker(*other, worker, kPatience);
    EXPECT_TRUE(detached) << detached.error().message;
    EXPECT_TRUE(*brisc_is_held(*other->cards()[worker.card], worker.tile));
  }
  EXPECT_THAT(*find_workers(*fabric_), IsEmpty());
  traffic.expect_exact();
  const auto accounts = Accounts::read(*fabric_);
  EXPECT_EQ(accounts->drops().total(), 0U);
  EXPECT_THAT(accounts->unbalanced(), IsEmpty());
}

// Proves that a worker that can't complete is named with what was last seen, and completes once it can.
TEST_F(FabricTraffic, TeardownWhilePaused) {
  Traffic traffic(*fabric_, {});
  traffic.add(kOrigin, kFar);
  EXPECT_TRUE(flows());
  const Worker generator = traffic.flows()[0].generator;
  ASSERT_TRUE(manager_.pause(fabric_->all(), kPatience).complete());
  // Its lane is full now, or will be.
  Patience patience(kPatience);
  while (true) {
    const auto block = fabric_->block(*fabric_->find(*generator.router));
    const auto& lane = block->lanes[generator.lane];
    if (lane.produced - lane.consumed == kernels::kLaneSlots) break;
    ASSERT_TRUE(patience.again());
  }
  ASSERT_TRUE(signal_worker_teardown(*fabric_, generator));
  const Status waited = wait_for_worker_complete(*fabric_, generator, milliseconds(100));
  ASSERT_FALSE(waited);
  EXPECT_EQ(waited.error().code, Code::kTimeout);
  EXPECT_THAT(waited.error().message, HasSubstr("Worker generator 0:(0,0) tile"));
  EXPECT_THAT(waited.error().message, HasSubstr("did not complete in time"));
  EXPECT_EQ(detach_worker(*fabric_, generator, milliseconds(50)).error().code, Code::kTimeout);
  EXPECT_TRUE(manager_.resume(fabric_->all(), kPatience).complete());
  EXPECT_TRUE(wait_for_worker_complete(*fabric_, generator, kPatience));
  traffic.end();
  traffic.expect_exact();
}

// Proves that what can't be is refused in one line and leaves nothing behind.
TEST_F(FabricTraffic, Refusals) {
  const auto memory = allocate_worker_memory(64);
  ASSERT_TRUE(memory);
  EXPECT_EQ(allocate_worker_memory(0).error().code, Code::kInvalidArgument);
  EXPECT_EQ(allocate_worker_memory(1040).error().code, Code::kInvalidArgument);
  EXPECT_EQ(allocate_worker_memory(24).error().code, Code::kInvalidArgument);
  const Tile tile = *free_tile(*fabric_, kOrigin);
  const GeneratorOptions options{.destination = kFar, .destination_tile = tile, .memory = *memory};
  const auto code_of = [&](const FabricNodeId& node, Tile at, GeneratorOptions with) {
    const auto worker = start_generator(*fabric_, node, at, with, kPatience);
    return worker ? Code{} : worker.error().code;
  };
  GeneratorOptions to_itself = options;
  to_itself.destination = kOrigin;
  EXPECT_EQ(code_of(kOrigin, tile, to_itself), Code::kNotFound);
  GeneratorOptions wrong_memory = options;
  wrong_memory.memory.source_buffer_address = 3;
  EXPECT_EQ(code_of(kOrigin, tile, wrong_memory), Code::kInvalidArgument);
  EXPECT_EQ(code_of({.mesh_id = 0, .logical_x = 7, .logical_y = 0}, tile, options), Code::kNotFound);
  EXPECT_EQ(code_of(kOrigin, {9, 0}, options), Code::kInvalidArgument) << "an Ethernet tile";
  EXPECT_THAT(*find_workers(*fabric_), IsEmpty());
  ASSERT_EQ(code_of(kOrigin, tile, options), Code{});
  EXPECT_EQ(code_of(kOrigin, tile, options), Code::kBusy) << "the tile is taken";
}

}  // namespace
}  // namespace warden::fabric
