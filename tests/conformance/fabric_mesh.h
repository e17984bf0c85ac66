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

class Mesh {
 public:
  // `board`: as in mesh:2x2. Throws when the simulator or a card does not work.
  explicit Mesh(unsigned rows, unsigned columns, std::vector<std::string> options = {});

  // Another one on the same cards, as another process would have it.
  [[nodiscard]] std::unique_ptr<ControlPlane> control_plane() const;
  [[nodiscard]] warden::testing::Simulator& simulator() noexcept { return simulator_; }
  [[nodiscard]] chip::Chip& chip(std::size_t number) const { return *chips_[number]; }
  [[nodiscard]] std::size_t size() const noexcept { return chips_.size(); }

 private:
  warden::testing::Simulator simulator_;
  std::vector<std::unique_ptr<chip::Chip>> chips_;
};

}  // namespace warden::fabric::testing
