// SPDX-License-Identifier: Apache-2.0
// Links that go down and routers that hang, in every state a router can be in.
#include <gtest/gtest.h>
#include <memory>
#include <string>

#include "driver/fabric/router_state_manager.h"
#include "tests/conformance/fabric_mesh.h"
#include "tests/conformance/fabric_traffic.h"

namespace warden::fabric::testing {
namespace {

using std::chrono::milliseconds;

class FabricBroken : public ::testing::TestWithParam<RouterCommand> {
 protected:
  void SetUp() override {
    const Status up = control_plane_.bring_up();
    ASSERT_TRUE(up) << up.error().message;
    traffic_.everywhere(1);
    traffic_.everywhere(2);
    ASSERT_TRUE(manager_.command(control_plane_.all(), GetParam()));
    const Transition there = manager_.wait(control_plane_.all(), state_after(GetParam()), milliseconds(10'000));
    ASSERT_TRUE(there.complete()) << to_string(there);
  }
  // Everything runs again, and nothing was lost.
  void heal_and_check() {
    const Transition resumed = manager_.resume(control_plane_.all(), milliseconds(10'000));
    ASSERT_TRUE(resumed.complete()) << to_string(resumed);
    traffic_.end();
    EXPECT_GT(traffic_.expect_exact(), 0U);
  }
  std::string ctl(const std::string& what, const Router& router) {
    return board_.simulator().ctl({what, std::to_string(router.card), "e" + std::to_string(router.id.channel)});
  }

  Mesh board_{1, 3};
  std::unique_ptr<ControlPlane> running_ = board_.control_plane();
  ControlPlane& control_plane_ = *running_;
  FabricRouterStateManager manager_{control_plane_};
  Traffic traffic_{control_plane_, {}};
};

// Nothing gets through, but its routers hear and follow; when the link is back, everything arrives.
TEST_P(FabricBroken, ALinkIsDown) {
  const Router& router = control_plane_.routers().front();
  const Router* peer = control_plane_.find(router.peer);
  ASSERT_NE(peer, nullptr);
  board_.simulator().ctl({"unplug", std::to_string(router.card), std::to_string(router.id.channel)});
  const RouterList ends{&router, peer};
  for (const RouterCommand command : {RouterCommand::kRun, RouterCommand::kPause, RouterCommand::kRun}) {
    ASSERT_TRUE(manager_.command(ends, command));
    const Transition there = manager_.wait(ends, state_after(command), milliseconds(10'000));
    ASSERT_TRUE(there.complete()) << to_string(there);
  }
  EXPECT_EQ(manager_.probe(router).health, Health::kAlive);
  board_.simulator().ctl({"plug", std::to_string(router.card), std::to_string(router.id.channel)});
  heal_and_check();
}

// It follows no command and is named, the others follow and are rolled back; a probe tells it from a slow one.
TEST_P(FabricBroken, ARouterHangs) {
  const Router& router = control_plane_.routers().front();
  ctl("hang", router);
  EXPECT_EQ(manager_.probe(router, milliseconds(50)).health, Health::kHung);
  EXPECT_EQ(manager_.probe(*control_plane_.find(router.peer)).health, Health::kAlive);
  ASSERT_TRUE(manager_.command(control_plane_.all(), RouterCommand::kRun));
  const Transition paused = manager_.pause(control_plane_.all(), milliseconds(300));
  if (state_after(GetParam()) != RouterStateCommon::PAUSED) {  // else it shows what is asked for
    ASSERT_EQ(paused.stragglers.size(), 1U) << to_string(paused);
    EXPECT_EQ(paused.stragglers[0].router, router.id);
    EXPECT_TRUE(paused.rolled_back);
  }
  ctl("thaw", router);
  EXPECT_EQ(manager_.probe(router).health, Health::kAlive);
  heal_and_check();
}

std::string name_of(const ::testing::TestParamInfo<RouterCommand>& info) { return router_command_name(info.param); }
INSTANTIATE_TEST_SUITE_P(InState, FabricBroken,
                         ::testing::Values(RouterCommand::kRun, RouterCommand::kPause, RouterCommand::kDrain,
                                           RouterCommand::kRetrain),
                         name_of);

}  // namespace
}  // namespace warden::fabric::testing
