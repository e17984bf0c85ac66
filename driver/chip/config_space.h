// SPDX-License-Identifier: Apache-2.0
// The few registers of PCI configuration space that a reset needs.
#pragma once

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <cstdint>
#include <span>

#include <warden/result.h>

#include "driver/chip/wormhole_layout.h"
#include "driver/vfio/device.h"

namespace warden::chip {

class ConfigSpace {
 public:
  static constexpr std::uint64_t kVendorOffset = 0x00;
  static constexpr std::uint64_t kDeviceOffset = 0x02;
  static constexpr std::uint64_t kCommandOffset = 0x04;
  static constexpr std::uint16_t kNobodyThere = 0xFFFF;

  explicit ConfigSpace(vfio::Device& device) noexcept : device_(&device) {}

  // What the command register reads of a card that does not answer. The kernel keeps one bit of it itself (INTx
  // disable), and vendor and device id altogether: those of a card that is gone may read as if it were there.
  [[nodiscard]] static bool is_nobody(std::uint16_t command) noexcept {
    return (command | PCI_COMMAND_INTX_DISABLE) == kNobodyThere;
  }

  [[nodiscard]] Result<std::uint16_t> vendor() { return read16(kVendorOffset); }
  [[nodiscard]] Result<std::uint16_t> device() { return read16(kDeviceOffset); }
  [[nodiscard]] Result<std::uint16_t> command() { return read16(kCommandOffset); }
  // The payload size in it is what the kernel found when the device was opened, whatever the card has by now.
  [[nodiscard]] Result<std::uint16_t> device_control() { return read16(wormhole::kDeviceControl); }

  // Writes the command register and reads it back; kFailed when one of `bits` is not as written.
  [[nodiscard]] Status set_command(std::uint16_t value, std::uint16_t bits);

 private:
  [[nodiscard]] Result<std::uint16_t> read16(std::uint64_t offset);
  vfio::Device* device_;
};

}  // namespace warden::chip
