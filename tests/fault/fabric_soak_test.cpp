// SPDX-License-Identifier: Apache-2.0
// Pausing and resuming under full traffic, again and again, and what must never come of it: a packet lost, doubled,
// reordered or changed.
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <stdexcept>

#include "driver/fabric/accounts.h"
#include "driver/fabric/router_state_manager.h"
#include "tests/conformance/fabric_mesh.h"
#include "tests/conformance/fabric_traffic.h"
#include "tests/support/rounds.h"

namespace warden::fabric::testing {
namespace {

constexpr int kCycles = warden::test::rounds(10'000, 300);

struct RunningFabric {
  RunningFabric(unsigned rows, unsigned columns) : board(rows, columns), control_plane(board.control_plane()) {
    const Status up = control_plane->bring_up();
    if (!up) throw std::runtime_error(up.error().message);
  }
  Mesh board;
  std::unique_ptr<ControlPlane> control_plane;
};

void expect_complete(const Transition& transition) { ASSERT_TRUE(transition.complete()) << to_string(transition); }

void pause_and_resume(FabricRouterStateManager& manager, const RouterList& routers, int cycles) {
  for (int cycle = 0; cycle < cycles && !::testing::Test::HasFailure(); ++cycle) {
    expect_complete(manager.pause(routers));
    expect_complete(manager.resume(routers));
  }
}

void expect_nothing_dropped(ControlPlane& control_plane) {
  const auto accounts = Accounts::read(control_plane);
  ASSERT_TRUE(accounts) << accounts.error().message;
  EXPECT_EQ(accounts->drops().total(), 0U);
  EXPECT_TRUE(accounts->unbalanced().empty());
}

// Every device sends to two others, so that ways cross; pauses come at any moment and last as long as they take.
TEST(FabricSoak, PausedAndResumedTenThousandTimes) {
  RunningFabric fabric(2, 4);
  ControlPlane& control_plane = *fabric.control_plane;
  FabricRouterStateManager manager(control_plane);
  Traffic traffic(control_plane, {});
  traffic.everywhere(1);
  traffic.everywhere(5);
  const auto all = control_plane.all();
  pause_and_resume(manager, all, kCycles);
  traffic.end();
  EXPECT_GT(traffic.expect_exact(), static_cast<std::uint64_t>(kCycles));
  expect_nothing_dropped(control_plane);
}

// One router, one device, one edge, everything; paused, drained, resumed, in any order.
TEST(FabricSoak, AnythingPausedAtAnyTime) {
  RunningFabric fabric(2, 3);
  ControlPlane& control_plane = *fabric.control_plane;
  FabricRouterStateManager manager(control_plane);
  Traffic traffic(control_plane, {});
  traffic.everywhere(1);
  traffic.everywhere(4);
  std::mt19937 random(1);
  const auto& routers = control_plane.routers();
  for (int round = 0; round < kCycles / 50 && !::testing::Test::HasFailure(); ++round) {
    const Router& one = routers[random() % routers.size()];
    Selection chosen;
    if (random() % 4 != 0) chosen.node = one.id.node;
    if (chosen.node && random() % 2 == 0)
      chosen.neighbour = one.peer.node;
    else if (chosen.node && random() % 2 == 0)
      chosen.channel = one.id.channel;
    const auto selected = control_plane.select(chosen);
    ASSERT_TRUE(selected) << selected.error().message;
    expect_complete(random() % 2 == 0 ? manager.pause(*selected) : manager.drain(*selected));
    expect_complete(manager.resume(*selected));
  }
  traffic.end();
  EXPECT_GT(traffic.expect_exact(), 0U);
  expect_nothing_dropped(control_plane);
}

TEST(FabricSoak, TheLargestBoard) {
  RunningFabric fabric(4, 8);
  ControlPlane& control_plane = *fabric.control_plane;
  ASSERT_EQ(control_plane.routers().size(), 104U);
  FabricRouterStateManager manager(control_plane);
  Traffic traffic(control_plane, {});
  traffic.everywhere(9);  // one row down and one column on
  pause_and_resume(manager, control_plane.all(), 5);
  expect_complete(manager.drain(control_plane.all()));
  const auto drained = Accounts::read(control_plane);
  ASSERT_TRUE(drained) << drained.error().message;
  EXPECT_EQ(drained->admitted(), drained->delivered());
  expect_complete(manager.resume(control_plane.all()));
  traffic.end();
  EXPECT_GT(traffic.expect_exact(), 0U);
  expect_nothing_dropped(control_plane);
}

}  // namespace
}  // namespace warden::fabric::testing
