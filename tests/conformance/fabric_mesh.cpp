// SPDX-License-Identifier: Apache-2.0
// Cards opened over vfio-user.
#include "tests/conformance/fabric_mesh.h"

#include <stdexcept>

namespace warden::fabric::testing {
namespace {

std::vector<std::string> with_board(unsigned rows, unsigned columns, std::vector<std::string> options) {
  options.insert(options.end(), {"--board", "mesh:" + std::to_string(rows) + "x" + std::to_string(columns)});
  return options;
}

}  // namespace

Mesh::Mesh(unsigned rows, unsigned columns, std::vector<std::string> options)
    : simulator_(with_board(rows, columns, std::move(options))) {
  constexpr vfio::OpenOptions kPatient{.request_timeout_ms = 60'000};
  for (unsigned number = 0; number < rows * columns; ++number) {
    auto device = vfio::open(simulator_.device_name(static_cast<int>(number)), kPatient);
    if (!device) throw std::runtime_error(device.error().message);
    auto chip = chip::open(std::move(*device));
    if (!chip) throw std::runtime_error(chip.error().message);
    chips_.push_back(std::move(*chip));
  }
}

std::unique_ptr<ControlPlane> Mesh::control_plane() const {
  std::vector<std::unique_ptr<Card>> cards;
  for (const auto& chip : chips_) cards.push_back(std::make_unique<ChipCard>(*chip));
  return std::make_unique<ControlPlane>(std::move(cards));
}

}  // namespace warden::fabric::testing
