// SPDX-License-Identifier: Apache-2.0
// Whoever puts a chip back into the fabric after its reset is killed at every single write: the next one puts it back
// all the same, and not one packet is missing.
#include <gtest/gtest.h>
#include <unistd.h>

#include "driver/fabric/cut.h"
#include "driver/fabric/router_state_manager.h"
#include "driver/fabric/traffic_validation.h"
#include "tests/conformance/fabric_dying_card.h"
#include "tests/conformance/fabric_mesh.h"
#include "tests/conformance/fabric_traffic.h"

namespace warden::fabric {
namespace {

using std::chrono::milliseconds;
using testing::Chips;
using testing::kPatience;

constexpr std::size_t kCards = 3;
constexpr std::size_t kMiddle = 1;
constexpr std::uint64_t kWritesMax = 2000;  // more than it takes
constexpr CutOptions kOptions{
    .drain_timeout = kPatience, .pause_timeout = kPatience, .link_deadline = kPatience, .start_deadline = kPatience};

FabricNodeId node(std::size_t x) { return {.mesh_id = 0, .logical_x = static_cast<std::uint32_t>(x), .logical_y = 0}; }

void die_of_failure(int status) { ::_exit(status); }

// Cuts the chip in the middle out, resets it and puts it back; dies at the write after so many of the last.
[[noreturn]] void cut_and_restore(const warden::testing::Simulator& simulator, std::uint64_t writes) {
  const Chips chips = testing::open_chips(simulator, kCards);
  testing::WritesToLive life;
  const auto fabric = testing::dying_control_plane(chips, life);
  if (!fabric->attach()) die_of_failure(1);
  Cut cut(*fabric, {node(kMiddle)}, kOptions);
  if (!cut.prepare() || !cut.report().undrained.empty()) die_of_failure(2);
  chip::ResetOptions options;
  options.deadline = kPatience;
  options.quiet = milliseconds(1);
  if (!chips[kMiddle]->warm_reset(options).ok) die_of_failure(3);
  life.set(writes);
  if (!cut.restore() || cut.report().lost_packets != 0) die_of_failure(4);
  ::_exit(0);
}

// As another process after it, which knows only what the cards tell.
void finish(const warden::testing::Simulator& simulator) {
  const Chips chips = testing::open_chips(simulator, kCards);
  const auto fabric = testing::control_plane_of(chips);
  const Status attached = fabric->attach();
  ASSERT_TRUE(attached) << attached.error().message;
  Cut cut(*fabric, {node(kMiddle)}, kOptions);
  const Status restored = cut.restore();
  ASSERT_TRUE(restored) << restored.error().message;
  EXPECT_TRUE(cut.report().not_restored.empty());
  EXPECT_EQ(cut.report().lost_packets, 0U);
  EXPECT_EQ(cut.report().doubled_packets, 0U);
  EXPECT_EQ(fabric->routers().size(), 4U);
  const Condition condition = FabricRouterStateManager(*fabric).examine();
  EXPECT_TRUE(condition.settled());
  EXPECT_EQ(condition.running, 4U);
  EXPECT_TRUE(validate_traffic_flowing(*fabric, 0, kCards, kPatience));
}

TEST(FabricCutKill, WhoRestoresDiesAnywhere) {
  const warden::testing::Simulator simulator({"--board", "mesh:1x3", "--reset-duration", "5", "--link-training", "5"});
  std::vector<Worker> generators;
  std::vector<Worker> sinks;
  {
    const Chips chips = testing::open_chips(simulator, kCards);
    const auto fabric = testing::control_plane_of(chips);
    ASSERT_TRUE(fabric->bring_up({.link_deadline = kPatience, .start_deadline = kPatience}));
    testing::Traffic traffic(*fabric, {});
    traffic.add(node(0), node(2));
    traffic.add(node(2), node(0));
    for (const auto& flow : traffic.flows()) {
      generators.push_back(flow.generator);
      sinks.push_back(traffic.sink(flow.destination));
    }
  }
  std::uint64_t writes = 0;
  const auto is_killed = [&] { return testing::dies_in([&] { cut_and_restore(simulator, writes); }); };
  while (writes < kWritesMax && is_killed() && !::testing::Test::HasFailure()) {
    SCOPED_TRACE(writes);
    ++writes;
    finish(simulator);
  }
  RecordProperty("writes", static_cast<int>(writes));
  EXPECT_GT(writes, 20U);
  EXPECT_LT(writes, kWritesMax);
  const Chips chips = testing::open_chips(simulator, kCards);
  const auto fabric = testing::control_plane_of(chips);
  ASSERT_TRUE(fabric->attach());
  for (const Worker& generator : generators) EXPECT_TRUE(detach_worker(*fabric, generator, kPatience));
  for (std::size_t i = 0; i < generators.size(); ++i) testing::expect_exact(*fabric, generators[i], sinks[i]);
}

}  // namespace
}  // namespace warden::fabric
