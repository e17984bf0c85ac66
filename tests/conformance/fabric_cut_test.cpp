// SPDX-License-Identifier: Apache-2.0
// Chips that are reset in the middle of traffic: the others go on, what would pass through waits, nothing is lost
// without being counted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "driver/fabric/command_interface.h"
#include "driver/fabric/cut.h"
#include "driver/fabric/patience.h"
#include "driver/fabric/soft_reset.h"
#include "tests/conformance/fabric_mesh.h"
#include "tests/conformance/fabric_traffic.h"

namespace warden::fabric {
namespace {

using std::chrono::milliseconds;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::kPatience;
using testing::Traffic;
using ::testing::UnorderedElementsAre;

constexpr CutOptions kOptions{
    .drain_timeout = kPatience, .pause_timeout = kPatience, .link_deadline = kPatience, .start_deadline = kPatience};

constexpr FabricNodeId node(std::uint32_t x, std::uint32_t y = 0) {
  return {.mesh_id = 0, .logical_x = x, .logical_y = y};
}

class FabricCut : public ::testing::Test {
 protected:
  // Cards of one mesh, with routers that run.
  void start(unsigned rows, unsigned columns) {
    mesh_ = std::make_unique<testing::Mesh>(rows, columns, std::vector<std::string>{"--reset-duration", "20"});
    fabric_ = mesh_->control_plane();
    const Status up = fabric_->bring_up({.link_deadline = kPatience, .start_deadline = kPatience});
    ASSERT_TRUE(up) << up.error().message;
    traffic_ = std::make_unique<Traffic>(*fabric_, testing::TrafficOptions{});
  }
  void reset(std::size_t chip) const {
    chip::ResetOptions options;
    options.deadline = kPatience;
    options.quiet = milliseconds(20);
    const auto report = mesh_->chip(chip).warm_reset(options);
    ASSERT_TRUE(report.ok) << report.reason;
  }
  [[nodiscard]] PairAccount pair(const FabricNodeId& source, const FabricNodeId& destination) const {
    return Accounts::read(*fabric_, true)->pair(source, destination);
  }
  void await_more(const FabricNodeId& source, const FabricNodeId& destination) const {
    const std::uint32_t before = pair(source, destination).delivered;
    Patience patience(kPatience);
    while (pair(source, destination).delivered == before) {
      ASSERT_TRUE(patience.again()) << to_string(source) << " to " << to_string(destination) << " stands still";
    }
  }
  void expect_all_run() const {
    FabricRouterStateManager manager(*fabric_);
    const Condition condition = manager.examine();
    EXPECT_TRUE(condition.settled());
    EXPECT_THAT(condition.not_running, IsEmpty());
    EXPECT_THAT(condition.holding, IsEmpty());
  }

  std::unique_ptr<testing::Mesh> mesh_;
  std::unique_ptr<ControlPlane> fabric_;
  std::unique_ptr<Traffic> traffic_;
};

// Proves that a corner of a mesh is reset while the others' traffic goes on, that nothing is lost, and that afterwards
// packets go there again.
TEST_F(FabricCut, CornerOfAMesh) {
  start(2, 2);
  traffic_->all_pairs();
  await_more(node(0), node(1, 1));
  Cut cut(*fabric_, {node(1, 1)}, kOptions);
  const Status prepared = cut.prepare();
  ASSERT_TRUE(prepared) << prepared.error().message;
  EXPECT_THAT(cut.report().facing, UnorderedElementsAre(RouterId{node(1), 8}, RouterId{node(0, 1), 0}));
  EXPECT_THAT(cut.report().undrained, IsEmpty());
  EXPECT_THAT(cut.report().not_paused, IsEmpty());
  EXPECT_GT(cut.report().held_pairs, 0U);
  await_more(node(0), node(1));
  reset(3);
  traffic_->forget(node(1, 1));
  await_more(node(1), node(0));
  const Status restored = cut.restore();
  ASSERT_TRUE(restored) << restored.error().message;
  EXPECT_THAT(cut.report().not_restored, IsEmpty());
  EXPECT_EQ(cut.report().lost_packets, 0U);
  EXPECT_EQ(cut.report().resent_packets, 0U);
  EXPECT_GT(cut.report().delayed_packets, 0U);
  EXPECT_EQ(fabric_->routers().size(), 8U);
  expect_all_run();
  // The sink there is gone: what comes is dropped, and counted.
  await_more(node(0), node(1, 1));
  EXPECT_GT(Accounts::read(*fabric_)->drops().undeliverable, 0U);
  traffic_->end();
  traffic_->expect_exact();
  EXPECT_THAT(Accounts::read(*fabric_)->unbalanced(), IsEmpty());
  // And it drains, also what is of the chip that was reset.
  EXPECT_TRUE(FabricRouterStateManager(*fabric_).drain(fabric_->all(), kPatience).complete());
}

// Proves that what must pass through the chip waits for it, and goes on without a loss.
TEST_F(FabricCut, TrafficThroughTheCutWaits) {
  start(1, 3);
  traffic_->add(node(0), node(2));
  traffic_->add(node(2), node(0));
  await_more(node(0), node(2));
  for (int round = 0; round < 3; ++round) {
    Cut cut(*fabric_, {node(1)}, kOptions);
    ASSERT_TRUE(cut.prepare());
    EXPECT_THAT(cut.report().undrained, IsEmpty());
    const std::uint32_t before = pair(node(0), node(2)).admitted;
    reset(1);
    EXPECT_EQ(pair(node(0), node(2)).admitted, before);
    const Status restored = cut.restore();
    ASSERT_TRUE(restored) << restored.error().message;
    EXPECT_EQ(cut.report().lost_packets, 0U);
    EXPECT_EQ(cut.report().delayed_packets, 2U);
    expect_all_run();
    await_more(node(0), node(2));
    await_more(node(2), node(0));
  }
  traffic_->end();
  traffic_->expect_exact();
  EXPECT_EQ(Accounts::read(*fabric_)->drops().total(), 0U);
}

// Proves that chips that hang together are cut out together, links between them included.
TEST_F(FabricCut, TwoChips) {
  start(2, 3);
  traffic_->add(node(0), node(2));
  traffic_->add(node(0), node(0, 1));
  await_more(node(0), node(2));
  Cut cut(*fabric_, {node(1), node(1, 1)}, kOptions);
  ASSERT_TRUE(cut.prepare());
  reset(1);
  reset(4);
  await_more(node(0), node(0, 1));
  const Status restored = cut.restore();
  ASSERT_TRUE(restored) << restored.error().message;
  EXPECT_EQ(fabric_->routers().size(), 14U);
  EXPECT_THAT(cut.report().remarks, IsEmpty());
  expect_all_run();
  traffic_->end();
  traffic_->expect_exact();
  // Every pair goes again, by the new tables too.
  Traffic again(*fabric_, {.packets = 20});
  again.all_pairs();
  again.await_complete();
  again.expect_exact();
}

// Proves that another process ends what one that died after prepare() had begun.
TEST_F(FabricCut, SuccessorRestores) {
  start(1, 3);
  traffic_->add(node(0), node(2));
  await_more(node(0), node(2));
  {
    Cut cut(*fabric_, {node(1)}, kOptions);
    ASSERT_TRUE(cut.prepare());
  }
  reset(1);
  auto successor = mesh_->control_plane();
  Patience patience(kPatience);
  do {
    ASSERT_TRUE(successor->attach());
  } while (!successor->card_of(node(1)) && patience.again());
  EXPECT_THAT(successor->remarks(), Contains(HasSubstr("device 0:(1,0)")));
  Cut cut(*successor, {node(1)}, kOptions);
  const Status restored = cut.restore();
  ASSERT_TRUE(restored) << restored.error().message;
  EXPECT_THAT(cut.report().remarks, ElementsAre(HasSubstr("prepared by somebody else")));
  ASSERT_TRUE(fabric_->attach());
  EXPECT_EQ(fabric_->routers().size(), 4U);
  expect_all_run();
  await_more(node(0), node(2));
  traffic_->end();
  traffic_->expect_exact();
}

// Proves that a cut that is abandoned leaves everything as it was.
TEST_F(FabricCut, Abandon) {
  start(1, 3);
  traffic_->add(node(0), node(2));
  await_more(node(0), node(2));
  Cut cut(*fabric_, {node(1)}, kOptions);
  ASSERT_TRUE(cut.prepare());
  ASSERT_TRUE(cut.abandon());
  expect_all_run();
  await_more(node(0), node(2));
  traffic_->end();
  traffic_->expect_exact();
}

// Proves that a link that does not come back is reported, that nothing is sent into it, and that the rest works.
TEST_F(FabricCut, LinkThatStaysDown) {
  start(1, 3);
  traffic_->add(node(0), node(2));
  traffic_->add(node(0), node(1));
  await_more(node(0), node(2));
  CutOptions impatient = kOptions;
  impatient.link_deadline = milliseconds(300);
  Cut cut(*fabric_, {node(2)}, impatient);
  ASSERT_TRUE(cut.prepare());
  mesh_->simulator().ctl({"fault", "2", "training-fails"});
  reset(2);
  traffic_->forget(node(2));
  const Status restored = cut.restore();
  ASSERT_TRUE(restored) << restored.error().message;
  EXPECT_THAT(cut.report().not_restored, ElementsAre(RouterId{node(1), 0}));
  EXPECT_THAT(cut.report().remarks, ElementsAre(HasSubstr("0:(1,0) E0 did not come up")));
  const std::uint32_t held = pair(node(0), node(2)).admitted;
  await_more(node(0), node(1));
  EXPECT_EQ(pair(node(0), node(2)).admitted, held);
  // Healed, the same chip is taken in again.
  mesh_->simulator().ctl({"fault", "2", "none"});
  Cut again(*fabric_, {node(2)}, kOptions);
  const Status taken = again.restore();
  ASSERT_TRUE(taken) << taken.error().message;
  expect_all_run();
  await_more(node(0), node(2));
  traffic_->end();
  traffic_->expect_exact();
}

// Proves that a chip whose routers hang is cut out all the same: what was inside is counted as lost or sent again, and
// the accounts of its pairs are right afterwards.
TEST_F(FabricCut, HungChip) {
  start(1, 3);
  traffic_->add(node(0), node(1));
  traffic_->add(node(2), node(0));
  await_more(node(0), node(1));
  await_more(node(2), node(0));
  for (const Router& router : fabric_->routers()) {
    if (router.id.node == node(1)) {
      ASSERT_TRUE(hold_ethernet(fabric_->card(router), router.tile));
    }
  }
  // Until the links are full.
  Patience patience(kPatience);
  while (pair(node(0), node(1)).inside() < kernels::kLaneSlots) ASSERT_TRUE(patience.again());
  CutOptions impatient = kOptions;
  impatient.drain_timeout = milliseconds(400);
  Cut cut(*fabric_, {node(1)}, impatient);
  ASSERT_TRUE(cut.prepare());
  ASSERT_FALSE(cut.report().undrained.empty());
  std::uint64_t undrained = 0;
  for (const PairAccount& one : cut.report().undrained) undrained += one.inside();
  reset(1);
  traffic_->forget(node(1));
  const Status restored = cut.restore();
  ASSERT_TRUE(restored) << restored.error().message;
  EXPECT_GT(cut.report().resent_packets, 0U);
  const std::uint64_t lost = cut.report().lost_packets;
  const std::uint64_t doubled = cut.report().doubled_packets;
  EXPECT_EQ(cut.report().resent_packets + lost, undrained + doubled);
  expect_all_run();
  await_more(node(0), node(1));
  traffic_->end();
  EXPECT_EQ(pair(node(0), node(1)).inside(), 0U);
  EXPECT_EQ(pair(node(2), node(0)).inside(), static_cast<std::uint32_t>(std::min(lost, doubled) - doubled))
      << "what is gone is written off";
  // What is gone for ever does not keep later drains waiting.
  EXPECT_TRUE(FabricRouterStateManager(*fabric_).drain(fabric_->all(), kPatience).complete());
  EXPECT_TRUE(FabricRouterStateManager(*fabric_).resume(fabric_->all(), kPatience).complete());
  Cut later(*fabric_, {node(1)}, kOptions);
  ASSERT_TRUE(later.prepare());
  EXPECT_THAT(later.report().undrained, IsEmpty());
  ASSERT_TRUE(later.abandon());
  const auto json = to_json(cut.report());
  EXPECT_EQ(json.at("lost_packets"), cut.report().lost_packets);
  EXPECT_EQ(json.at("chips").at(0), "0:(1,0)");
}

// Proves that what is lost on its way through a chip that nobody had cut out is counted to the packet, once, by whoever
// takes the chip in again.
TEST_F(FabricCut, LossesThatNobodyPrepared) {
  start(1, 3);
  traffic_->add(node(0), node(2));
  await_more(node(0), node(2));
  FabricRouterStateManager manager(*fabric_);
  ASSERT_TRUE(manager.pause(*fabric_->select({.node = node(2)}), kPatience).complete());
  // One lane is full before the chip, and one on it, which its peer has not consumed.
  Patience patience(kPatience);
  while (pair(node(0), node(2)).inside() < 2 * kernels::kLaneSlots) ASSERT_TRUE(patience.again());
  reset(1);
  auto successor = mesh_->control_plane();
  do {
    ASSERT_TRUE(successor->attach());
  } while (!successor->card_of(node(1)) && patience.again());
  Cut cut(*successor, {node(1)}, kOptions);
  ASSERT_TRUE(cut.restore());
  EXPECT_EQ(cut.report().lost_packets, kernels::kLaneSlots);
  EXPECT_EQ(cut.report().resent_packets, kernels::kLaneSlots);
  EXPECT_EQ(cut.report().doubled_packets, 0U);
  ASSERT_TRUE(fabric_->attach());
  ASSERT_TRUE(manager.resume(fabric_->all(), kPatience).complete());
  await_more(node(0), node(2));
  ASSERT_TRUE(manager.drain(fabric_->all(), kPatience).complete());
  EXPECT_EQ(pair(node(0), node(2)).inside(), 0U);
  reset(1);
  Cut again(*fabric_, {node(1)}, kOptions);
  ASSERT_TRUE(again.restore());
  EXPECT_EQ(again.report().lost_packets, 0U) << "they are counted once";
  ASSERT_TRUE(manager.resume(fabric_->all(), kPatience).complete());
  await_more(node(0), node(2));
  // The sink finds one gap: the packets that are gone.
  traffic_->end();
  const auto sent = traffic_->flows()[0].sent;
  const auto block = read_sink(*fabric_, traffic_->sink(node(2)));
  ASSERT_TRUE(block) << block.error().message;
  EXPECT_EQ(block->flows[0].out_of_order, 1U);
  EXPECT_EQ(block->flows[0].received + block->flows[0].out_of_order, sent - kernels::kLaneSlots);
  EXPECT_EQ(pair(node(0), node(2)).written_off, kernels::kLaneSlots);
}

// Proves that routers that somebody had paused are not run by a reset, and that what was held goes on when they are.
TEST_F(FabricCut, PausedStaysPaused) {
  start(1, 3);
  traffic_->add(node(0), node(2));
  await_more(node(0), node(2));
  FabricRouterStateManager manager(*fabric_);
  ASSERT_TRUE(manager.drain(fabric_->all(), kPatience).complete());
  Cut cut(*fabric_, {node(1)}, kOptions);
  ASSERT_TRUE(cut.prepare());
  reset(1);
  const Status restored = cut.restore();
  ASSERT_TRUE(restored) << restored.error().message;
  EXPECT_EQ(manager.examine().not_running.size(), 4U);
  EXPECT_TRUE(manager.wait(fabric_->all(), RouterStateCommon::PAUSED, kPatience).complete());
  EXPECT_FALSE(manager.examine().holding.empty());
  FabricCommandInterface commands(*fabric_);
  commands.resume_routers();
  EXPECT_TRUE(commands.wait_for_state(RouterStateCommon::RUNNING, kPatience));
  expect_all_run();
  await_more(node(0), node(2));
  traffic_->end();
  traffic_->expect_exact();
}

// Proves that what is not in the fabric is refused by name.
TEST_F(FabricCut, Refusals) {
  start(1, 2);
  EXPECT_EQ(Cut(*fabric_, {node(5)}).prepare().error().code, Code::kNotFound);
  EXPECT_EQ(Cut(*fabric_, {}).restore().error().code, Code::kInvalidArgument);
  const std::string name = fabric_->cards()[1]->name();
  EXPECT_THAT(*devices_of_cards(*fabric_, {name}), ElementsAre(node(1)));
  EXPECT_THAT(devices_of_cards(*fabric_, {"nobody"}).error().message, HasSubstr("nobody is not part"));
}

}  // namespace
}  // namespace warden::fabric
