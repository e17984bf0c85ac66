// SPDX-License-Identifier: Apache-2.0
// Programs as tt-metal's users write them, word for word in the .inc files, compiled and run.
#undef NDEBUG  // their checks are assert()
#include <gtest/gtest.h>

#include <cassert>
#include <vector>

#include "driver/fabric/worker.h"
#include "tests/tt_metal/tt_fabric/common/fabric_command_interface.hpp"
#include "tests/tt_metal/tt_fabric/common/fabric_fixture.hpp"
#include "tests/tt_metal/tt_fabric/common/fabric_router_state_utils.hpp"
#include "tests/tt_metal/tt_fabric/common/fabric_traffic_validation.hpp"
#include "tests/tt_metal/tt_fabric/common/fabric_worker_kernel_helpers.hpp"

namespace {

class FabricExamples : public Fabric1DFixture {
 protected:
  // From each device to the next.
  void launch_my_traffic_generators() {
    for (std::size_t i = 0; i < get_devices().size(); ++i) {
      const auto& device = get_devices()[i];
      const auto layout = test_utils::allocate_worker_memory(device);
      const FabricNodeId next = get_devices()[(i + 1) % get_devices().size()]->node();
      auto program = test_utils::create_traffic_generator_program(device, CoreCoord{0, 0}, next, layout);
      RunProgramNonblocking(device, *program);
      running_.push_back({device, program});
    }
  }
  void cleanup_my_traffic_generators() {
    for (auto& [device, program] : running_) {
      test_utils::signal_worker_teardown(device, CoreCoord{0, 0}, program->worker->teardown_signal_address);
      test_utils::wait_for_worker_complete(this, device, *program);
    }
    running_.clear();
  }

 private:
  struct Running {
    Device device;
    std::shared_ptr<tt_metal::Program> program;
  };
  std::vector<Running> running_;
};

TEST_F(FabricExamples, BasicPauseResume) {
#include "tests/tt_metal/tt_fabric/examples/basic_pause_resume.inc"
}

TEST_F(FabricExamples, TrafficValidation) {
  launch_my_traffic_generators();
  test_utils::FabricCommandInterface cmd_interface(tt::tt_metal::MetalContext::instance().get_control_plane());
  {
#include "tests/tt_metal/tt_fabric/examples/traffic_validation.inc"
    EXPECT_TRUE(flowing);
  }
  cmd_interface.resume_routers();
  EXPECT_TRUE(cmd_interface.wait_for_state(RouterStateCommon::RUNNING));
  cleanup_my_traffic_generators();
}

TEST_F(FabricExamples, Observability) {
#include "tests/tt_metal/tt_fabric/examples/observability.inc"
}

// Its generators are what such a test brings itself.
class Fabric1DFixture : public FabricExamples {};
#include "tests/tt_metal/tt_fabric/examples/complete_test.inc"

// A generator that is never told to stop is not complete, and that is an exception with the error's text.
TEST_F(FabricExamples, AWorkerThatDoesNotCompleteThrows) {
  const auto& device = get_devices().at(0);
  const auto layout = test_utils::allocate_worker_memory(device);
  auto program =
      test_utils::create_traffic_generator_program(device, CoreCoord{0, 0}, get_devices().at(1)->node(), layout);
  RunProgramNonblocking(device, *program);
  try {
    test_utils::wait_for_worker_complete(this, device, *program, std::chrono::milliseconds(50));
    FAIL() << "no exception";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("did not complete in time"), std::string::npos) << error.what();
  }
}

}  // namespace
