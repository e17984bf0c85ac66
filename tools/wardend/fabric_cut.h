// SPDX-License-Identifier: Apache-2.0
// The fabric between wardend's cards, stopped at the cut that a reset makes and joined again after it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "driver/fabric/control_plane.h"
#include "driver/fabric/cut.h"
#include "tools/wardend/devices.h"
#include "tools/wardend/fabric_guard.h"

namespace warden::daemon {

// Threads: that of the resets.
class FabricCut final : public FabricGuard {
 public:
  explicit FabricCut(Devices& devices) : devices_(devices) {}

  [[nodiscard]] std::optional<FabricRecord> prepare(std::span<const ResetDevice> devices) override;
  void restore(std::span<const ResetDevice> devices, FabricRecord& record) override;
  void undo(std::span<const ResetDevice> devices, FabricRecord& record) override;

 private:
  // Kept from prepare() to the end of the reset; made anew from what the cards tell by a worker that takes over.
  struct Cutting {
    fabric::ControlPlane fabric;
    std::optional<fabric::Cut> cut;
  };
  [[nodiscard]] Result<std::unique_ptr<Cutting>> attach(std::span<const ResetDevice> devices) const;
  [[nodiscard]] Status restore_cut(std::span<const ResetDevice> devices, FabricRecord& record);

  Devices& devices_;
  std::unique_ptr<Cutting> cutting_;
};

}  // namespace warden::daemon
