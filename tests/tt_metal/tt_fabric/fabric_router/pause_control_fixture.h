// SPDX-License-Identifier: Apache-2.0
// Traffic for the tests of pausing, and the checks that all of them make.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/tt_metal/tt_fabric/common/fabric_command_interface.hpp"
#include "tests/tt_metal/tt_fabric/common/fabric_fixture.hpp"
#include "tests/tt_metal/tt_fabric/common/fabric_router_state_utils.hpp"
#include "tests/tt_metal/tt_fabric/common/fabric_traffic_validation.hpp"
#include "tests/tt_metal/tt_fabric/common/fabric_worker_kernel_helpers.hpp"

namespace warden::fabric {

class FabricRouterControl : public Fabric1DFixture {
 protected:
  // Skips where there is too little to test with.
  void SetUp() override { start_with("mesh:2x2", 2); }
  void start_with(const std::string& board, std::size_t devices);

  [[nodiscard]] ControlPlane& control_plane() { return tt::tt_metal::MetalContext::instance().get_control_plane(); }
  [[nodiscard]] MeshId mesh_id() { return control_plane().get_user_physical_mesh_ids().at(0); }

  // A generator on every device, each to the next one; awaits that traffic flows.
  void launch_traffic();
  // Torn down and complete; what every sink has received is what was sent to it.
  void stop_traffic();

  [[nodiscard]] bool is_flowing() {
    return test_utils::validate_traffic_flowing(control_plane(), mesh_id(), get_devices().size());
  }
  [[nodiscard]] bool is_stopped() {
    return test_utils::validate_traffic_stopped(control_plane(), mesh_id(), get_devices().size());
  }
  // Pauses all; logs how long that took.
  void pause(test_utils::FabricCommandInterface& commands);
  void resume(test_utils::FabricCommandInterface& commands);
  // Both, so many times: traffic stops each time, and flows again.
  void pause_and_resume(test_utils::FabricCommandInterface& commands, int rounds);

 private:
  struct Launched {
    Device device;
    std::shared_ptr<tt::tt_metal::Program> program;
    Worker worker;
    Worker sink;
  };
  std::vector<Launched> launched_;
};

}  // namespace warden::fabric
