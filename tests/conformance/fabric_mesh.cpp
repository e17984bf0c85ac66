// SPDX-License-Identifier: Apache-2.0
// Cards opened over vfio-user.
#include "tests/conformance/fabric_mesh.h"

#include <stdexcept>

#include "driver/fabric/patience.h"

namespace warden::fabric::testing {
namespace {

std::vector<std::string> with_board(unsigned rows, unsigned columns, std::vector<std::string> options) {
  options.insert(options.end(), {"--board", "mesh:" + std::to_string(rows) + "x" + std::to_string(columns)});
  return options;
}

}  // namespace

Chips open_chips(const warden::testing::Simulator& simulator, std::size_t count) {
  constexpr vfio::OpenOptions kPatient{.request_timeout_ms = 60'000};
  Chips chips;
  for (std::size_t number = 0; number < count; ++number) {
    Patience patience(std::chrono::seconds(60));
    auto device = vfio::open(simulator.device_name(static_cast<int>(number)), kPatient);
    while (!device && device.error().code == Code::kBusy && patience.again()) {
      device = vfio::open(simulator.device_name(static_cast<int>(number)), kPatient);
    }
    if (!device) throw std::runtime_error(device.error().message);
    auto chip = chip::open(std::move(*device));
    if (!chip) throw std::runtime_error(chip.error().message);
    chips.push_back(std::move(*chip));
  }
  return chips;
}

std::unique_ptr<ControlPlane> control_plane_of(const Chips& chips) {
  std::vector<std::unique_ptr<Card>> cards;
  for (const auto& chip : chips) cards.push_back(std::make_unique<ChipCard>(*chip));
  return std::make_unique<ControlPlane>(std::move(cards));
}

Mesh::Mesh(unsigned rows, unsigned columns, std::vector<std::string> options)
    : simulator_(with_board(rows, columns, std::move(options))),
      chips_(open_chips(simulator_, std::size_t{rows} * columns)) {}

}  // namespace warden::fabric::testing
