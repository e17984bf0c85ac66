// SPDX-License-Identifier: Apache-2.0
// A simulated mesh and its control plane, every card driven by the test itself.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "driver/chip/chip.h"
#include "driver/fabric/card.h"
#include "driver/fabric/control_plane.h"
#include "tests/conformance/simulator.h"

namespace warden::fabric::testing {

using Chips = std::vector<std::unique_ptr<chip::Chip>>;
// Those of a simulator that serves this many; waits for a client before to be gone. Throws when a card does not work.
[[nodiscard]] Chips open_chips(const warden::testing::Simulator& simulator, std::size_t count);
[[nodiscard]] std::unique_ptr<ControlPlane> control_plane_of(const Chips& chips);

class Mesh {
 public:
  // `board`: as in mesh:2x2. Throws when the simulator or a card does not work.
  explicit Mesh(unsigned rows, unsigned columns, std::vector<std::string> options = {});

  // Another one on the same cards, as another process would have it.
  [[nodiscard]] std::unique_ptr<ControlPlane> control_plane() const { return control_plane_of(chips_); }
  [[nodiscard]] warden::testing::Simulator& simulator() noexcept { return simulator_; }
  [[nodiscard]] chip::Chip& chip(std::size_t number) const { return *chips_[number]; }
  [[nodiscard]] std::size_t size() const noexcept { return chips_.size(); }

 private:
  warden::testing::Simulator simulator_;
  Chips chips_;
};

}  // namespace warden::fabric::testing
