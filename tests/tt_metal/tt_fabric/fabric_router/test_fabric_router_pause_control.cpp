// SPDX-License-Identifier: Apache-2.0
// Pausing and resuming the routers of a fabric under traffic: the tests that tt-metal's users know by these names.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "tests/tt_metal/tt_fabric/fabric_router/pause_control_fixture.h"

namespace warden::fabric {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::testing::HasSubstr;

TEST_F(FabricRouterControl, PauseStopsTraffic) {
  launch_traffic();
  test_utils::FabricCommandInterface commands(control_plane());
  pause(commands);
  EXPECT_TRUE(commands.all_routers_in_state(RouterStateCommon::PAUSED));
  EXPECT_TRUE(is_stopped()) << "Traffic detected during PAUSED state";
  EXPECT_FALSE(is_flowing()) << "Traffic detected during PAUSED state";
  resume(commands);
  stop_traffic();
}

TEST_F(FabricRouterControl, ResumeRestoresTraffic) {
  launch_traffic();
  test_utils::FabricCommandInterface commands(control_plane());
  pause_and_resume(commands, 3);
  stop_traffic();
}

// Nobody was told to pause; then one that can't hear it. The timeout is kept, and the one that did not follow is named.
TEST_F(FabricRouterControl, PauseTimeoutDetection) {
  launch_traffic();
  test_utils::FabricCommandInterface commands(control_plane());
  constexpr milliseconds kTimeout{200};
  const auto start = steady_clock::now();
  EXPECT_FALSE(commands.wait_for_pause(kTimeout));
  EXPECT_GE(steady_clock::now() - start, kTimeout);
  EXPECT_EQ(commands.last_transition().stragglers.size(), control_plane().routers().size());

  auto& context = tt::tt_metal::MetalContext::instance();
  if (context.is_simulated()) {
    const Router& hung = control_plane().routers().front();
    const std::string channel = "e" + std::to_string(hung.id.channel);
    context.simulator().ctl({"hang", std::to_string(hung.card), channel});
    commands.pause_routers();
    EXPECT_FALSE(commands.wait_for_pause(kTimeout));
    EXPECT_THAT(to_string(commands.last_transition()), HasSubstr(to_string(hung.id)));
    EXPECT_EQ(commands.last_transition().stragglers.size(), 1U);
    context.simulator().ctl({"thaw", std::to_string(hung.card), channel});
    EXPECT_TRUE(commands.wait_for_pause());
  }
  resume(commands);
  stop_traffic();
}

// The test that fails in the middle of its traffic leaves nothing behind.
TEST_F(FabricRouterControl, WorkerCleanupOnTestFailure) {
  launch_traffic();
  test_utils::FabricCommandInterface commands(control_plane());
  pause(commands);
  const auto workers = find_workers(control_plane());
  ASSERT_TRUE(workers) << workers.error().message;
  ASSERT_EQ(workers->size(), 2 * get_devices().size());
  stop_all_workers();  // as TearDown() does
  EXPECT_TRUE(find_workers(control_plane())->empty());
  for (const Worker& worker : *workers) {
    constexpr CardAddress kSoftReset{0xFFB121B0};
    constexpr std::uint32_t kBrisc = 0x800;
    const auto held = control_plane().cards()[worker.card]->read32(worker.tile, kSoftReset);
    ASSERT_TRUE(held) << held.error().message;
    EXPECT_TRUE((*held & kBrisc) != 0) << to_string(worker) << " still runs";
  }
  EXPECT_TRUE(commands.all_routers_in_state(RouterStateCommon::RUNNING));
  EXPECT_TRUE(is_stopped());
}

TEST_F(FabricRouterControl, RouterStateTransitions) {
  test_utils::FabricCommandInterface commands(control_plane());
  EXPECT_TRUE(commands.all_routers_in_state(RouterStateCommon::RUNNING));
  pause(commands);
  EXPECT_TRUE(commands.all_routers_in_state(RouterStateCommon::PAUSED));
  EXPECT_FALSE(commands.all_routers_in_state(RouterStateCommon::RUNNING));
  for (const Router& router : control_plane().routers()) {
    EXPECT_EQ(commands.get_router_state(router.id.node, router.id.channel), RouterStateCommon::PAUSED);
  }
  resume(commands);
  EXPECT_TRUE(commands.all_routers_in_state(RouterStateCommon::RUNNING));
  for (const Router& router : control_plane().routers()) {
    EXPECT_EQ(commands.get_router_state(router.id.node, router.id.channel), RouterStateCommon::RUNNING);
  }
}

TEST_F(FabricRouterControl, ObservabilityLogging) {
  const auto meshes = control_plane().get_user_physical_mesh_ids();
  test_utils::FabricCommandInterface commands(control_plane());
  pause(commands);
  std::vector<std::string> lines;
  control_plane().set_log([&](std::string_view line) { lines.emplace_back(line); });
  test_utils::log_all_router_states(control_plane(), meshes);
  control_plane().set_log([](std::string_view line) { tt::print_log_line("INFO", line); });
  const std::size_t routers = control_plane().routers().size();
  ASSERT_EQ(lines.size(), 1 + meshes.size() + routers);
  EXPECT_EQ(lines[0], "=== Router State Summary ===");
  EXPECT_EQ(lines[1], "Mesh ID: 0");
  EXPECT_EQ(lines[2], fmt::format("  Device 0 Channel {}: PAUSED", control_plane().routers().front().id.channel));

  auto counts = test_utils::count_routers_by_state(control_plane(), meshes);
  EXPECT_EQ(counts.at(RouterStateCommon::PAUSED), routers);
  EXPECT_EQ(counts.at(RouterStateCommon::RUNNING), 0U);
  EXPECT_STREQ(test_utils::router_state_to_string(RouterStateCommon::RUNNING), "RUNNING");
  EXPECT_STREQ(test_utils::router_state_to_string(RouterStateCommon::PAUSED), "PAUSED");
  EXPECT_STREQ(test_utils::router_state_to_string(RouterStateCommon::DRAINING), "UNKNOWN");
  EXPECT_STREQ(test_utils::router_state_to_string(static_cast<RouterStateCommon>(17)), "UNKNOWN");
  resume(commands);
  counts = test_utils::count_routers_by_state(control_plane(), meshes);
  EXPECT_EQ(counts.at(RouterStateCommon::PAUSED), 0U);
  EXPECT_EQ(counts.at(RouterStateCommon::RUNNING), routers);
}

class SmallFabric : public FabricRouterControl {
 protected:
  void SetUp() override { start_with("mesh:1x2", 2); }
};

TEST_F(SmallFabric, MinimumConfiguration) {
  launch_traffic();
  test_utils::FabricCommandInterface commands(control_plane());
  pause(commands);
  EXPECT_TRUE(is_stopped()) << "Traffic detected during PAUSED state";
  resume(commands);
  EXPECT_TRUE(is_flowing());
  stop_traffic();
}

class LargeFabric : public FabricRouterControl {
 protected:
  void SetUp() override { start_with("mesh:2x4", 4); }
};

TEST_F(LargeFabric, LargerConfiguration) {
  launch_traffic();
  test_utils::FabricCommandInterface commands(control_plane());
  pause_and_resume(commands, 3);
  stop_traffic();
}

}  // namespace
}  // namespace warden::fabric
