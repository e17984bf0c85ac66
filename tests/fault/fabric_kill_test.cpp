// SPDX-License-Identifier: Apache-2.0
// Controllers of a fabric killed at random points: the next one finds out, finishes or undoes what was begun, and not
// one packet is missing.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <random>
#include <thread>

#include <warden/unique_fd.h>

#include "driver/fabric/cut.h"
#include "driver/fabric/router_state_manager.h"
#include "driver/fabric/settling.h"
#include "driver/fabric/traffic_validation.h"
#include "tests/conformance/fabric_mesh.h"
#include "tests/conformance/fabric_traffic.h"
#include "tests/support/rounds.h"

namespace warden::fabric {
namespace {

using std::chrono::microseconds;
using testing::Chips;
using testing::kPatience;

constexpr std::size_t kCards = 4;
constexpr int kRounds = warden::test::rounds(60, 20);

// Pauses, drains and cuts until it is killed; says when it begins.
[[noreturn]] void control_for_ever(const warden::testing::Simulator& simulator, unsigned seed, int begun) {
  const Chips chips = testing::open_chips(simulator, kCards);
  const auto fabric = testing::control_plane_of(chips);
  if (!fabric->attach()) ::_exit(1);
  FabricRouterStateManager manager(*fabric);
  std::mt19937 random(seed);
  if (::write(begun, "b", 1) != 1) ::_exit(1);
  while (true) {
    const auto edge =
        fabric->select({.node = fabric->routers().front().id.node, .neighbour = fabric->routers().front().peer.node});
    const RouterList routers = random() % 2 == 0 ? fabric->all() : *edge;
    Cut cut(*fabric, {fabric->node_at(0, static_cast<std::uint32_t>(random() % kCards))});
    switch (random() % 3) {
      case 0: (void)manager.pause(routers); break;
      case 1: (void)manager.drain(routers); break;
      default: (void)cut.prepare(); break;
    }
    (void)cut.abandon();
    (void)manager.resume(fabric->all());
  }
}

void kill_one_at_random(const warden::testing::Simulator& simulator, std::mt19937& random) {
  const auto seed = static_cast<unsigned>(random());
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd begun(ends[0]);
  UniqueFd tell(ends[1]);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) control_for_ever(simulator, seed, tell.get());
  tell.reset();
  char byte = 0;
  ASSERT_EQ(::read(begun.get(), &byte, 1), 1) << "it can't control the fabric";
  std::this_thread::sleep_for(microseconds(random() % 60'000));
  ASSERT_EQ(::kill(child, SIGKILL), 0);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status)) << "it ended by itself";
}

// Whether there was something to recover from.
bool recover(ControlPlane& fabric, Recovery how) {
  FabricRouterStateManager manager(fabric);
  const bool settled = manager.examine().settled();
  const Transition recovered = manager.recover(how, kPatience);
  EXPECT_TRUE(recovered.complete()) << to_string(recovered);
  EXPECT_TRUE(manager.examine().settled());
  const auto wanted = how == Recovery::kFinish ? RouterStateCommon::PAUSED : RouterStateCommon::RUNNING;
  for (const Router& router : fabric.routers()) EXPECT_EQ(fabric.state(router), wanted);
  EXPECT_TRUE(manager.resume(fabric.all(), kPatience).complete());
  EXPECT_TRUE(manager.examine().holding.empty());
  EXPECT_TRUE(validate_traffic_flowing(fabric, 0, kCards, kPatience));
  return !settled;
}

void end_and_count(ControlPlane& fabric) {
  const auto found = find_workers(fabric);
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->size(), kCards * (kCards - 1) + kCards);
  const auto detach_all = [&](kernels::WorkerKind kind) {
    for (const Worker& worker : *found) {
      if (worker.kind != kind) continue;
      const Status detached = detach_worker(fabric, worker, kPatience);
      EXPECT_TRUE(detached) << detached.error().message;
    }
  };
  detach_all(kernels::WorkerKind::kGenerator);
  Patience patience(kPatience);
  EXPECT_TRUE(await_empty(fabric, patience).empty());
  for (const Worker& generator : *found) {
    if (generator.kind != kernels::WorkerKind::kGenerator) continue;
    const auto arguments = read_generator(fabric, generator)->arguments;
    const auto sink = std::ranges::find_if(*found, [&](const Worker& worker) {
      return worker.kind == kernels::WorkerKind::kSink && fabric.number_of(worker.node) == arguments.destination_node;
    });
    ASSERT_NE(sink, found->end());
    testing::expect_exact(fabric, generator, *sink);
  }
  detach_all(kernels::WorkerKind::kSink);
}

// Proves that wherever a controller dies, the fabric can be brought to rest or back to work by the next one, and that
// its packets arrive as if nothing had happened.
TEST(FabricKill, ControllerDiesAnywhere) {
  const warden::testing::Simulator simulator({"--board", "mesh:2x2"});
  {
    const Chips chips = testing::open_chips(simulator, kCards);
    const auto fabric = testing::control_plane_of(chips);
    ASSERT_TRUE(fabric->bring_up({.link_deadline = kPatience, .start_deadline = kPatience}));
    testing::Traffic traffic(*fabric, {});
    traffic.all_pairs();
  }
  std::mt19937 random(20);
  int half_done = 0;
  for (int round = 0; round < kRounds && !::testing::Test::HasFatalFailure(); ++round) {
    kill_one_at_random(simulator, random);
    const Chips chips = testing::open_chips(simulator, kCards);
    const auto fabric = testing::control_plane_of(chips);
    const Status attached = fabric->attach();
    ASSERT_TRUE(attached) << attached.error().message;
    if (recover(*fabric, round % 2 == 0 ? Recovery::kFinish : Recovery::kUndo)) ++half_done;
    if (round + 1 == kRounds) end_and_count(*fabric);
  }
  EXPECT_GT(half_done, 0) << "nobody was killed in the middle of anything";
}

}  // namespace
}  // namespace warden::fabric
