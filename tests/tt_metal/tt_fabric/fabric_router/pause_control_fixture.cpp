// SPDX-License-Identifier: Apache-2.0
// Traffic on every device, paused, resumed and accounted for.
#include "tests/tt_metal/tt_fabric/fabric_router/pause_control_fixture.h"

#include <algorithm>
#include <chrono>

#include "tests/conformance/fabric_traffic.h"

namespace warden::fabric {

namespace {

constexpr tt::tt_metal::CoreCoord kCore{0, 0};

}  // namespace

void FabricRouterControl::start_with(const std::string& board, std::size_t devices) {
  start(board);
  if (get_devices().size() < devices) GTEST_SKIP() << "needs " << devices << " devices";
  if (!telemetry_available(control_plane())) GTEST_SKIP() << "telemetry is not available";
}

void FabricRouterControl::launch_traffic() {
  for (std::size_t i = 0; i < get_devices().size(); ++i) {
    const Device& device = get_devices()[i];
    const FabricNodeId destination = get_devices()[(i + 1) % get_devices().size()]->node();
    const auto layout = test_utils::allocate_worker_memory(device);
    auto program = test_utils::create_traffic_generator_program(device, kCore, destination, layout);
    RunProgramNonblocking(device, *program);
    const auto workers = find_workers(control_plane());
    ASSERT_TRUE(workers) << workers.error().message;
    const auto sink = std::ranges::find_if(*workers, [&](const Worker& worker) {
      return worker.kind == kernels::WorkerKind::kSink && worker.node == destination;
    });
    ASSERT_NE(sink, workers->end());
    launched_.push_back({device, program, *program->worker, *sink});
  }
  ASSERT_TRUE(is_flowing()) << "Traffic not detected before pause command";
}

void FabricRouterControl::stop_traffic() {
  for (const Launched& launched : launched_) {
    test_utils::signal_worker_teardown(launched.device, kCore, launched.worker.teardown_signal_address);
  }
  for (const Launched& launched : launched_) {
    const Status complete = wait_for_worker_complete(control_plane(), launched.worker);
    ASSERT_TRUE(complete) << "Worker kernel did not complete within timeout: " << complete.error().message;
    EXPECT_GT(testing::expect_exact(control_plane(), launched.worker, launched.sink), 0U);
    test_utils::wait_for_worker_complete(this, launched.device, *launched.program);
  }
  launched_.clear();
}

void FabricRouterControl::pause(test_utils::FabricCommandInterface& commands) {
  commands.pause_routers();
  const auto pause_start = std::chrono::steady_clock::now();
  const bool paused = commands.wait_for_pause();
  const auto pause_duration = std::chrono::steady_clock::now() - pause_start;
  if (!paused) {
    test_utils::log_all_router_states(control_plane(), control_plane().get_user_physical_mesh_ids());
  }
  ASSERT_TRUE(paused) << "Routers did not enter PAUSED state within timeout: " << to_string(commands.last_transition());
  log_info(LogTest, "Pause transition took {} ms",
           std::chrono::duration_cast<std::chrono::milliseconds>(pause_duration).count());
}

void FabricRouterControl::resume(test_utils::FabricCommandInterface& commands) {
  commands.resume_routers();
  ASSERT_TRUE(commands.wait_for_state(RouterStateCommon::RUNNING)) << to_string(commands.last_transition());
}

void FabricRouterControl::pause_and_resume(test_utils::FabricCommandInterface& commands, int rounds) {
  for (int round = 0; round < rounds && !HasFatalFailure(); ++round) {
    pause(commands);
    ASSERT_TRUE(is_stopped()) << "Traffic detected during PAUSED state";
    resume(commands);
    ASSERT_TRUE(is_flowing());
    ASSERT_FALSE(is_stopped());
  }
}

}  // namespace warden::fabric
