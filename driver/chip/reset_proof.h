// SPDX-License-Identifier: Apache-2.0
// What each kind of reset leaves behind, and so which observations prove that it happened.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "driver/chip/chip.h"

namespace warden::chip {

enum class Proof : std::uint8_t { kMarker, kPostCode, kClock, kWindow, kMemory, kHeartbeat };

struct ProofRule {
  Proof proof;
  std::string_view name;
  bool after_chip_reset;      // ARC message 0x56, argument 0 or 3
  bool after_function_reset;  // whatever VFIO_DEVICE_RESET chooses: FLR, power state, secondary bus reset
  bool after_external_reset;  // of the chip, by somebody who may or may not restore configuration space
};

// The kernel saves and restores configuration space around a function reset, so its marker reads 1 after a perfect one;
// and the chip's own state (clock, L1) outlives it. What goes is what the PCIe tile holds: the windows. Post code and
// heartbeat prove no reset of any kind, but that the firmware lives after it. (tt-kmd for the marker; Linux
// pci_dev_save_and_disable / pci_dev_restore)
inline constexpr std::array kProofRules{
    ProofRule{Proof::kMarker, "marker", true, false, false},
    ProofRule{Proof::kPostCode, "post code", true, true, true},
    ProofRule{Proof::kClock, "reference clock", true, false, true},
    ProofRule{Proof::kWindow, "window register", true, true, true},
    ProofRule{Proof::kMemory, "L1 word", true, false, true},
    ProofRule{Proof::kHeartbeat, "heartbeat", true, true, true},
};

[[nodiscard]] constexpr bool proves(const ProofRule& rule, ResetKind kind) noexcept {
  switch (kind) {
    case ResetKind::kAsic:
    case ResetKind::kBoard: return rule.after_chip_reset;
    case ResetKind::kDevice: return rule.after_function_reset;
    case ResetKind::kExternal: return rule.after_external_reset;
  }
  return true;
}

}  // namespace warden::chip
