// SPDX-License-Identifier: Apache-2.0
// Routers on simulated cards: brought up, found again by another control plane, paused, resumed and drained.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "driver/fabric/command_interface.h"
#include "driver/fabric/manifest.h"
#include "driver/fabric/router_memory.h"
#include "driver/fabric/router_state_manager.h"
#include "driver/fabric/router_state_utils.h"
#include "driver/fabric/soft_reset.h"
#include "driver/fabric/traffic_validation.h"
#include "tests/conformance/fabric_mesh.h"

namespace warden::fabric {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr milliseconds kPatience{30'000};
constexpr BringUpOptions kPatient{.link_deadline = kPatience, .start_deadline = kPatience};
constexpr FabricNodeId kOrigin{};
constexpr FabricNodeId kEast{.mesh_id = 0, .logical_x = 1, .logical_y = 0};
constexpr FabricNodeId kSouth{.mesh_id = 0, .logical_x = 0, .logical_y = 1};

class FabricControl : public ::testing::Test {
 protected:
  void SetUp() override {
    const Status up = fabric_->bring_up(kPatient);
    ASSERT_TRUE(up) << up.error().message;
  }
  [[nodiscard]] std::size_t count(RouterStateCommon state) const {
    return count_routers_by_state(*fabric_, fabric_->get_user_physical_mesh_ids())[state];
  }
  // Its core stops: what a crash would leave.
  void freeze(const Router& router) const { ASSERT_TRUE(hold_ethernet(fabric_->card(router), router.tile)); }
  [[nodiscard]] RouterList select(const Selection& selection) const {
    const auto list = fabric_->select(selection);
    EXPECT_TRUE(list) << list.error().message;
    return list.value_or(RouterList{});
  }

  testing::Mesh mesh_{2, 2};
  std::unique_ptr<ControlPlane> fabric_ = mesh_.control_plane();
};

// Proves that the mesh is found as it is wired, and that every router runs.
TEST_F(FabricControl, BringUp) {
  EXPECT_THAT(fabric_->get_user_physical_mesh_ids(), ElementsAre(0));
  EXPECT_EQ(fabric_->devices(0).size(), 4U);
  ASSERT_EQ(fabric_->routers().size(), 8U);
  EXPECT_THAT(fabric_->remarks(), IsEmpty());
  for (const Router& router : fabric_->routers()) {
    const auto block = fabric_->block(router);
    ASSERT_TRUE(block) << block.error().message;
    EXPECT_EQ(block->state.state, kernels::RouterState::kRunning);
    EXPECT_EQ(block->telemetry.node, router.number);
    EXPECT_EQ(block->telemetry.channel, router.id.channel);
    const Router* peer = fabric_->find(router.peer);
    ASSERT_NE(peer, nullptr);
    EXPECT_EQ(peer->peer, router.id);
  }
  EXPECT_TRUE(telemetry_available(*fabric_));
}

// Proves that a second control plane finds the same fabric without changing it, and commands it.
TEST_F(FabricControl, Attach) {
  auto other = mesh_.control_plane();
  const Status attached = other->attach();
  ASSERT_TRUE(attached) << attached.error().message;
  ASSERT_EQ(other->routers().size(), fabric_->routers().size());
  for (std::size_t i = 0; i < other->routers().size(); ++i) {
    EXPECT_EQ(other->routers()[i].id, fabric_->routers()[i].id);
    EXPECT_EQ(other->routers()[i].peer, fabric_->routers()[i].peer);
    EXPECT_EQ(other->routers()[i].tile, fabric_->routers()[i].tile);
    EXPECT_EQ(other->routers()[i].direction, fabric_->routers()[i].direction);
    EXPECT_EQ(other->routers()[i].peer_number, fabric_->routers()[i].peer_number);
    for (std::uint32_t to = 0; to < 4; ++to) {
      const auto path = other->paths().from(other->routers()[i].id, to);
      const auto known = fabric_->paths().from(other->routers()[i].id, to);
      ASSERT_EQ(path.has_value(), known.has_value());
      EXPECT_EQ(path ? path->size() : 0, known ? known->size() : 0);
    }
  }
  EXPECT_THAT(other->remarks(), IsEmpty());
  EXPECT_EQ(other->devices(0), fabric_->devices(0));
  EXPECT_TRUE(FabricRouterStateManager(*other).pause(other->all(), kPatience).complete());
  EXPECT_EQ(count(RouterStateCommon::PAUSED), 8U);
}

// Proves that without routers there is nothing to attach to, and that the error says so.
TEST(FabricAttach, NothingRuns) {
  const testing::Mesh mesh(1, 2);
  const Status attached = mesh.control_plane()->attach();
  ASSERT_FALSE(attached);
  EXPECT_EQ(attached.error().code, Code::kNotFound);
  EXPECT_THAT(attached.error().message, HasSubstr("no router runs"));
}

// Proves that a fabric brought up anew replaces the one that ran, whatever state that was in.
TEST_F(FabricControl, BringUpAgain) {
  freeze(fabric_->routers()[3]);
  ASSERT_FALSE(FabricRouterStateManager(*fabric_).pause(fabric_->all(), milliseconds(100)).complete());
  auto other = mesh_.control_plane();
  BringUpOptions options = kPatient;
  options.run = false;
  const Status up = other->bring_up(options);
  ASSERT_TRUE(up) << up.error().message;
  EXPECT_EQ(count(RouterStateCommon::PAUSED), 8U);
  const auto block = other->block(other->routers()[0]);
  EXPECT_EQ(block->configuration.link_session, 2U) << "the session is not a new one";
}

// Proves the seed's interface: all paused, all resumed, asked for at once and awaited.
TEST_F(FabricControl, CommandInterface) {
  FabricCommandInterface commands(*fabric_);
  EXPECT_TRUE(commands.all_routers_in_state(RouterStateCommon::RUNNING));
  commands.pause_routers();
  EXPECT_TRUE(commands.wait_for_pause(kPatience));
  EXPECT_TRUE(commands.all_routers_in_state(RouterStateCommon::PAUSED));
  EXPECT_FALSE(commands.all_routers_in_state(RouterStateCommon::RUNNING));
  EXPECT_EQ(commands.get_router_state(kOrigin, 0), RouterStateCommon::PAUSED);
  EXPECT_EQ(commands.get_router_state(kOrigin, 1), RouterStateCommon::INITIALIZING) << "there is none";
  EXPECT_FALSE(commands.wait_for_state(RouterStateCommon::RUNNING, milliseconds(50)));
  EXPECT_EQ(commands.last_transition().stragglers.size(), 8U);
  commands.resume_routers();
  EXPECT_TRUE(commands.wait_for_state(RouterStateCommon::RUNNING, kPatience));
}

// Proves that one router, one device or one edge is commanded, and nothing else.
TEST_F(FabricControl, Selections) {
  FabricRouterStateManager manager(*fabric_);
  const auto expect_only = [&](const Selection& selection, std::vector<RouterId> ids) {
    const RouterList routers = select(selection);
    EXPECT_TRUE(manager.pause(routers, kPatience).complete());
    std::vector<RouterId> paused;
    for (const Router& router : fabric_->routers()) {
      if (*fabric_->state(router) == RouterStateCommon::PAUSED) paused.push_back(router.id);
    }
    EXPECT_EQ(paused, ids);
    EXPECT_TRUE(manager.resume(routers, kPatience).complete());
    EXPECT_EQ(count(RouterStateCommon::RUNNING), 8U);
  };
  expect_only({.node = kOrigin, .channel = chan_id_t{8}}, {{kOrigin, 8}});
  expect_only({.node = kOrigin}, {{kOrigin, 0}, {kOrigin, 8}});
  expect_only({.node = kOrigin, .neighbour = kEast}, {{kOrigin, 0}, {kEast, 4}});
  expect_only({.node = kSouth, .neighbour = kOrigin}, {{kOrigin, 8}, {kSouth, 12}});
  EXPECT_EQ(fabric_->select({.node = kEast, .neighbour = kSouth}).error().code, Code::kNotFound);
}

// Proves that a pause that not all follow is undone, and that who did not follow is named.
TEST_F(FabricControl, PartialPauseIsRolledBack) {
  const Router& frozen = fabric_->routers()[5];
  freeze(frozen);
  const Transition transition = FabricRouterStateManager(*fabric_).pause(fabric_->all(), milliseconds(200));
  ASSERT_EQ(transition.stragglers.size(), 1U);
  EXPECT_EQ(transition.stragglers[0].router, frozen.id);
  EXPECT_TRUE(transition.rolled_back);
  EXPECT_THAT(to_string(transition), HasSubstr(to_string(frozen.id) + " (RUNNING)"));
  EXPECT_EQ(count(RouterStateCommon::RUNNING), 8U);
  for (const Router& router : fabric_->routers()) {
    EXPECT_EQ(fabric_->block(router)->state.command, RouterCommand::kRun) << "the frozen one would pause later";
  }
}

// Proves that a router whose core stands still is hung, and one that runs is alive.
TEST_F(FabricControl, Probe) {
  const FabricRouterStateManager manager(*fabric_);
  EXPECT_EQ(manager.probe(fabric_->routers()[2], kPatience).health, Health::kAlive);
  freeze(fabric_->routers()[2]);
  const Diagnosis diagnosis = manager.probe(fabric_->routers()[2], milliseconds(300));
  EXPECT_EQ(diagnosis.health, Health::kHung);
  EXPECT_EQ(diagnosis.heartbeat_before, diagnosis.heartbeat_after);
  EXPECT_THAT(diagnosis.problem, HasSubstr("did not answer"));
}

// A card whose probes get lost, or that does not answer at all.
class BrokenCard final : public Card {
 public:
  explicit BrokenCard(chip::Chip& chip, const bool& unreachable) : card_(chip), unreachable_(&unreachable) {}
  [[nodiscard]] const std::string& name() const noexcept override { return card_.name(); }
  [[nodiscard]] const std::vector<std::uint8_t>& harvested_rows() const noexcept override {
    return card_.harvested_rows();
  }
  [[nodiscard]] Status read(Tile tile, CardAddress address, std::span<std::byte> into) override {
    return *unreachable_ ? fail(Code::kOffBus, "the card is gone") : card_.read(tile, address, into);
  }
  [[nodiscard]] Status write(Tile tile, CardAddress address, std::span<const std::byte> from) override {
    return *unreachable_ ? fail(Code::kOffBus, "the card is gone") : card_.write(tile, address, from);
  }
  [[nodiscard]] Result<std::uint32_t> read32(Tile tile, CardAddress address) override {
    if (*unreachable_) return fail(Code::kOffBus, "the card is gone");
    return card_.read32(tile, address);
  }
  [[nodiscard]] Status write32(Tile tile, CardAddress address, std::uint32_t value) override {
    if (*unreachable_) return fail(Code::kOffBus, "the card is gone");
    const bool is_probe = address == in_router(offsetof(kernels::RouterBlock, probe));
    return is_probe ? Status{} : card_.write32(tile, address, value);
  }
  [[nodiscard]] Status renew() override { return card_.renew(); }

 private:
  ChipCard card_;
  const bool* unreachable_;
};

// Proves that a router that beats but does not answer is slow, not hung, and that one of a card that is gone is named
// with the reason, by a probe and by a pause that is rolled back.
TEST_F(FabricControl, SlowAndUnreachable) {
  bool unreachable = false;
  std::vector<std::unique_ptr<Card>> cards;
  cards.push_back(std::make_unique<ChipCard>(mesh_.chip(0)));
  cards.push_back(std::make_unique<BrokenCard>(mesh_.chip(1), unreachable));
  cards.push_back(std::make_unique<ChipCard>(mesh_.chip(2)));
  cards.push_back(std::make_unique<ChipCard>(mesh_.chip(3)));
  ControlPlane fabric(std::move(cards));
  ASSERT_TRUE(fabric.attach());
  FabricRouterStateManager manager(fabric);
  const Router& router = *fabric.find(kEast, 4);
  const Diagnosis slow = manager.probe(router, milliseconds(300));
  EXPECT_EQ(slow.health, Health::kSlow) << slow.problem;
  EXPECT_GT(slow.heartbeat_after, slow.heartbeat_before);
  unreachable = true;
  EXPECT_EQ(manager.probe(router, milliseconds(300)).health, Health::kUnreachable);
  const Transition transition = manager.pause(fabric.all(), milliseconds(200));
  ASSERT_EQ(transition.stragglers.size(), 2U);
  EXPECT_THAT(to_string(transition), HasSubstr("the card is gone"));
  EXPECT_EQ(manager.examine().unreadable.size(), 2U);
  EXPECT_FALSE(manager.examine().settled());
  unreachable = false;
  EXPECT_TRUE(manager.recover(Recovery::kUndo, kPatience).complete());
  unreachable = true;
  auto successor = fabric.attach();
  EXPECT_TRUE(successor) << "the rest of the fabric is still there";
  EXPECT_THAT(fabric.remarks(), ElementsAre(HasSubstr("the card is gone")));
  EXPECT_EQ(fabric.routers().size(), 6U);
}

// Proves that what a killed controller left half done is seen, and can be finished or undone.
TEST_F(FabricControl, HalfDonePause) {
  for (const Recovery how : {Recovery::kFinish, Recovery::kUndo}) {
    for (std::size_t i = 0; i < 3; ++i) {
      const Router& router = fabric_->routers()[i];
      ASSERT_TRUE(fabric_->card(router).write32(router.tile, kCommandWord, 1));
    }
    auto successor = mesh_.control_plane();
    ASSERT_TRUE(successor->attach());
    FabricRouterStateManager manager(*successor);
    const Condition condition = manager.examine();
    EXPECT_FALSE(condition.settled());
    EXPECT_EQ(condition.not_running.size(), 3U);
    EXPECT_EQ(condition.running, 5U);
    EXPECT_TRUE(manager.recover(how, kPatience).complete());
    EXPECT_TRUE(manager.examine().settled());
    EXPECT_EQ(count(how == Recovery::kFinish ? RouterStateCommon::PAUSED : RouterStateCommon::RUNNING), 8U);
    ASSERT_TRUE(manager.resume(successor->all(), kPatience).complete());
  }
}

// Proves that an empty fabric drains, whole and in part, and that a part which is drained is held until it is resumed.
TEST_F(FabricControl, DrainEmpty) {
  FabricRouterStateManager manager(*fabric_);
  EXPECT_TRUE(manager.drain(fabric_->all(), kPatience).complete());
  EXPECT_EQ(count(RouterStateCommon::PAUSED), 8U);
  EXPECT_TRUE(manager.resume(fabric_->all(), kPatience).complete());
  const RouterList edge = select({.node = kOrigin, .neighbour = kEast});
  EXPECT_TRUE(manager.drain(edge, kPatience).complete());
  EXPECT_EQ(count(RouterStateCommon::PAUSED), 2U);
  Condition condition = manager.examine();
  EXPECT_THAT(condition.holding, ::testing::Contains(RouterId{kOrigin, 0}));
  EXPECT_TRUE(manager.resume(edge, kPatience).complete());
  EXPECT_THAT(manager.examine().holding, IsEmpty());
}

// Proves the seed's listing, word for word, and its counts.
TEST_F(FabricControl, Listing) {
  ASSERT_TRUE(FabricRouterStateManager(*fabric_)
                  .pause(select({.node = kOrigin, .channel = chan_id_t{0}}), kPatience)
                  .complete());
  std::vector<std::string> lines;
  fabric_->set_log([&](std::string_view line) { lines.emplace_back(line); });
  log_all_router_states(*fabric_, {0});
  EXPECT_THAT(lines, ElementsAre("=== Router State Summary ===", "Mesh ID: 0", "  Device 0 Channel 0: PAUSED",
                                 "  Device 0 Channel 8: RUNNING", "  Device 1 Channel 4: RUNNING",
                                 "  Device 1 Channel 8: RUNNING", "  Device 2 Channel 0: RUNNING",
                                 "  Device 2 Channel 12: RUNNING", "  Device 3 Channel 4: RUNNING",
                                 "  Device 3 Channel 12: RUNNING"));
  EXPECT_THAT(count_routers_by_state(*fabric_, {0}),
              ElementsAre(Pair(RouterStateCommon::RUNNING, 7), Pair(RouterStateCommon::PAUSED, 1)));
  EXPECT_THAT(count_routers_by_state(*fabric_, {}),
              ElementsAre(Pair(RouterStateCommon::RUNNING, 0), Pair(RouterStateCommon::PAUSED, 0)));
}

// Proves that with nothing but the manifest's addresses a tool reads what the routers say.
TEST_F(FabricControl, Manifest) {
  const auto manifest = address_manifest(*fabric_);
  ASSERT_TRUE(manifest) << manifest.error().message;
  EXPECT_EQ(manifest->at("meshes").at(0).at("devices").size(), 4U);
  ASSERT_EQ(manifest->at("routers").size(), 8U);
  for (const auto& router : manifest->at("routers")) {
    const Tile tile{.x = router.at("tile").at(0), .y = router.at("tile").at(1)};
    Card& card = *fabric_->cards()[router.at("device")];
    EXPECT_EQ(card.name(), router.at("card").get<std::string>());
    EXPECT_EQ(card.read32(tile, {router.at("state_address")}), 1U);
    EXPECT_EQ(card.read32(tile, {router.at("command_address")}), 0U);
    const auto telemetry = read_struct<kernels::RouterTelemetry>(card, tile, {router.at("telemetry_address")});
    EXPECT_EQ(telemetry->channel, router.at("channel"));
    EXPECT_EQ(telemetry->node, router.at("device"));
  }
}

// Proves that a fabric without telemetry says so, and does not claim that nothing flows.
TEST(FabricTelemetry, Absent) {
  const testing::Mesh mesh(1, 2);
  auto fabric = mesh.control_plane();
  BringUpOptions options = kPatient;
  options.telemetry = false;
  ASSERT_TRUE(fabric->bring_up(options));
  std::vector<std::string> lines;
  fabric->set_log([&](std::string_view line) { lines.emplace_back(line); });
  auto other = mesh.control_plane();
  ASSERT_TRUE(other->attach());
  EXPECT_FALSE(telemetry_available(*other));
  EXPECT_FALSE(validate_traffic_flowing(*fabric, 0, 2, milliseconds(1)));
  EXPECT_FALSE(validate_traffic_stopped(*fabric, 0, 2, milliseconds(1)));
  EXPECT_THAT(lines, ElementsAre(HasSubstr("no telemetry"), HasSubstr("no telemetry")));
}

}  // namespace
}  // namespace warden::fabric
