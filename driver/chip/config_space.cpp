// SPDX-License-Identifier: Apache-2.0
// 16-bit accesses to configuration space. Writing the command register has a side effect that we rely on: Linux then
// puts back BARs that a reset behind its back has cleared (vfio_pci_config.c, "reset recovery - restoring bars").
#include "driver/chip/config_space.h"

#include <fmt/format.h>

namespace warden::chip {

Result<std::uint16_t> ConfigSpace::read16(std::uint64_t offset) {
  std::uint16_t value = 0;
  auto done = device_->read(VFIO_PCI_CONFIG_REGION_INDEX, offset, std::as_writable_bytes(std::span(&value, 1)));
  if (!done) return std::unexpected(std::move(done).error());
  return value;
}

Status ConfigSpace::set_command(std::uint16_t value, std::uint16_t bits) {
  auto wrote = device_->write(VFIO_PCI_CONFIG_REGION_INDEX, kCommandOffset, std::as_bytes(std::span(&value, 1)));
  if (!wrote) return wrote;
  auto back = command();
  if (!back) return std::unexpected(std::move(back).error());
  if (((*back ^ value) & bits) == 0) return {};
  return fail(Code::kFailed, fmt::format("the command register was set to {:#06x} and reads {:#06x}", value, *back));
}

}  // namespace warden::chip
