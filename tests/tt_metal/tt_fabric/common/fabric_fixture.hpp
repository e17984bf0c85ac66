// SPDX-License-Identifier: Apache-2.0
// Fixtures of fabric tests: a fabric that runs, its devices, and no worker left behind however a test ends.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "tests/tt_metal/common/log.hpp"
#include "tests/tt_metal/common/metal_context.hpp"

class BaseFabricFixture : public ::testing::Test {
 public:
  using Device = std::shared_ptr<tt::tt_metal::distributed::MeshDevice>;

  [[nodiscard]] const std::vector<Device>& get_devices() const { return devices_; }
  // Loads and starts it; a sink at its destination is added where there is none. Throws std::runtime_error.
  void RunProgramNonblocking(const Device& device, tt::tt_metal::Program& program);
  // The program has been torn down: until its worker is complete, and taken away. Throws std::runtime_error.
  void WaitForSingleProgramDone(const Device& device, tt::tt_metal::Program& program,
                                std::chrono::milliseconds timeout = std::chrono::milliseconds(1000));
  // Every generator and sink of the fabric, whoever started it. Routers run when it returns.
  void stop_all_workers();

 protected:
  void start(const std::string& board);
  void TearDown() override;

 private:
  std::vector<Device> devices_;
};

// Two devices at least, in a row.
class Fabric1DFixture : public BaseFabricFixture {
 protected:
  void SetUp() override { start("mesh:2x2"); }
};
