// SPDX-License-Identifier: Apache-2.0
// Whoever starts or ends generators and sinks is killed at every single write: the next one finds every core that runs,
// and gives everything back.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>

#include "driver/fabric/settling.h"
#include "driver/fabric/soft_reset.h"
#include "driver/fabric/worker.h"
#include "tests/conformance/fabric_dying_card.h"
#include "tests/conformance/fabric_mesh.h"
#include "tests/conformance/fabric_traffic.h"

namespace warden::fabric {
namespace {

using testing::Chips;
using testing::kPatience;

constexpr std::size_t kCards = 2;
constexpr std::uint64_t kWritesMax = 1000;  // more than it takes
constexpr FabricNodeId kSource{};
constexpr FabricNodeId kDestination{.mesh_id = 0, .logical_x = 1, .logical_y = 0};

// A sink and a generator started and ended; dies at the write after so many.
[[noreturn]] void start_and_end(const warden::testing::Simulator& simulator, std::uint64_t writes) {
  const Chips chips = testing::open_chips(simulator, kCards);
  testing::WritesToLive life;
  const auto fabric = testing::dying_control_plane(chips, life);
  if (!fabric->attach()) ::_exit(1);
  life.set(writes);
  const auto sink = start_sink(*fabric, kDestination, *free_tile(*fabric, kDestination), kPatience);
  if (!sink) ::_exit(2);
  const GeneratorOptions options{
      .destination = kDestination, .destination_tile = sink->tile, .memory = *allocate_worker_memory(64)};
  const auto generator = start_generator(*fabric, kSource, *free_tile(*fabric, kSource), options, kPatience);
  if (!generator || !detach_worker(*fabric, *generator, kPatience)) ::_exit(3);
  Patience patience(kPatience);
  if (!await_empty(*fabric, patience).empty() || !detach_worker(*fabric, *sink, kPatience)) ::_exit(4);
  ::_exit(0);
}

// The Tensix tiles whose cores run, by card.
std::vector<std::pair<std::size_t, Tile>> running_cores(const ControlPlane& fabric) {
  std::vector<std::pair<std::size_t, Tile>> running;
  for (std::size_t card = 0; card < fabric.cards().size(); ++card) {
    for (const Tile tile : working_tiles(*fabric.cards()[card])) {
      if (!brisc_is_held(*fabric.cards()[card], tile).value()) running.emplace_back(card, tile);
    }
  }
  return running;
}

void take_all_away(ControlPlane& fabric, const std::vector<Worker>& workers) {
  for (const auto kind : {kernels::WorkerKind::kGenerator, kernels::WorkerKind::kSink}) {
    for (const Worker& worker : workers) {
      if (worker.kind != kind) continue;
      const Status detached = detach_worker(fabric, worker, kPatience);
      EXPECT_TRUE(detached) << detached.error().message;
    }
    Patience patience(kPatience);
    EXPECT_TRUE(await_empty(fabric, patience).empty());
  }
}

void expect_nothing_left(const ControlPlane& fabric) {
  EXPECT_TRUE(running_cores(fabric).empty());
  EXPECT_TRUE(find_workers(fabric)->empty());
  for (const Router& router : fabric.routers()) {
    const auto block = fabric.block(router);
    for (const auto& delivery : block->deliveries) EXPECT_EQ(delivery.tile | delivery.owner, 0U);
    for (const auto& lane : block->lanes) EXPECT_NE(lane.kind, kernels::LaneKind::kWorker);
  }
}

// Nothing runs that is not found, a tile that somebody died over is not given to anybody else, and a sink that is found
// whole does take packets.
TEST(FabricWorkerKill, NobodyIsForgotten) {
  const warden::testing::Simulator simulator({"--board", "mesh:1x2"});
  {
    const Chips chips = testing::open_chips(simulator, kCards);
    const auto fabric = testing::control_plane_of(chips);
    ASSERT_TRUE(fabric->bring_up({.link_deadline = kPatience, .start_deadline = kPatience}));
  }
  std::uint64_t writes = 0;
  int unattached = 0;
  const auto is_killed = [&] { return testing::dies_in([&] { start_and_end(simulator, writes); }); };
  while (writes < kWritesMax && is_killed() && !::testing::Test::HasFailure()) {
    SCOPED_TRACE(writes);
    ++writes;
    const Chips chips = testing::open_chips(simulator, kCards);
    const auto fabric = testing::control_plane_of(chips);
    ASSERT_TRUE(fabric->attach());
    const auto found = find_workers(*fabric);
    ASSERT_TRUE(found) << found.error().message;
    const auto is_found = [&](const std::pair<std::size_t, Tile>& core) {
      return std::ranges::any_of(
          *found, [&](const Worker& worker) { return worker.card == core.first && worker.tile == core.second; });
    };
    EXPECT_TRUE(std::ranges::all_of(running_cores(*fabric), is_found));
    for (const Worker& worker : *found) {
      if (!worker.whole) ++unattached;
      EXPECT_NE(*free_tile(*fabric, worker.node), worker.tile);
    }
    take_all_away(*fabric, *found);
    expect_nothing_left(*fabric);
  }
  EXPECT_GT(writes, 20U);
  EXPECT_LT(writes, kWritesMax);
  EXPECT_GT(unattached, 0) << "nobody was killed between a core's start and its attachment";
}

}  // namespace
}  // namespace warden::fabric
