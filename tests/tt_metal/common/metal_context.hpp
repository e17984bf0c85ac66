// SPDX-License-Identifier: Apache-2.0
// What tests written for tt-metal expect around them: a process-wide context with the fabric's control plane, devices,
// and programs for their cores. Here the cards are those named by WARDEN_FABRIC_DEVICES (names separated by commas), or
// the chips of a simulator of this process's own, whose board WARDEN_FABRIC_BOARD may name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "driver/chip/chip.h"
#include "driver/fabric/control_plane.h"
#include "driver/fabric/worker.h"
#include "tests/conformance/simulator.h"

namespace tt::tt_fabric {

using warden::fabric::chan_id_t;
using warden::fabric::ControlPlane;
using warden::fabric::FabricNodeId;
using warden::fabric::MeshId;
using warden::fabric::RouterStateCommon;
using warden::fabric::WORKER_KEEP_RUNNING;
using warden::fabric::WORKER_TEARDOWN;
using warden::fabric::WorkerMemoryLayout;

}  // namespace tt::tt_fabric

namespace tt::tt_metal {

// Logical: among the working Tensix cores of a chip.
struct CoreCoord {
  std::size_t x = 0;
  std::size_t y = 0;
};

namespace distributed {

class MeshDevice {
 public:
  MeshDevice(tt_fabric::ControlPlane& fabric, const tt_fabric::FabricNodeId& node) : fabric_(fabric), node_(node) {}
  [[nodiscard]] tt_fabric::ControlPlane& fabric() const noexcept { return fabric_; }
  [[nodiscard]] const tt_fabric::FabricNodeId& node() const noexcept { return node_; }
  [[nodiscard]] warden::fabric::Card& card() const { return *fabric_.cards()[fabric_.card_of(node_).value()]; }
  // Throws std::out_of_range for a core that there is not.
  [[nodiscard]] warden::chip::Tile tile(const CoreCoord& core) const;

 private:
  tt_fabric::ControlPlane& fabric_;
  tt_fabric::FabricNodeId node_;
};

}  // namespace distributed

// A traffic generator: to be run, or running.
struct Program {
  warden::chip::Tile tile;
  warden::fabric::GeneratorOptions options;
  std::optional<warden::fabric::Worker> worker;
};

// Threads: one at a time.
class MetalContext {
 public:
  static MetalContext& instance();

  // Opens the cards and brings the fabric up on them, anew for another board. Throws std::runtime_error.
  void start(const std::string& board);
  void stop();
  // Starts, if nothing runs.
  tt_fabric::ControlPlane& get_control_plane();
  // Whether the cards are simulated, so that they can be made to fail; `simulator()` then.
  [[nodiscard]] bool is_simulated() const noexcept { return simulator_ != nullptr; }
  [[nodiscard]] warden::testing::Simulator& simulator() const noexcept { return *simulator_; }

 private:
  MetalContext() = default;
  std::vector<std::string> device_names(const std::string& board);

  std::string board_;
  std::unique_ptr<warden::testing::Simulator> simulator_;
  std::vector<std::unique_ptr<warden::chip::Chip>> chips_;
  std::unique_ptr<tt_fabric::ControlPlane> fabric_;
};

}  // namespace tt::tt_metal

// tt-metal's tests see these without saying where they come from.
namespace tt_metal = tt::tt_metal;
using tt::tt_fabric::FabricNodeId;
using tt::tt_fabric::MeshId;
using tt::tt_fabric::RouterStateCommon;
using tt::tt_metal::CoreCoord;
