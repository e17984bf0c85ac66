// SPDX-License-Identifier: Apache-2.0
// Layout and behaviour of the configuration space. Register names and offsets: <linux/pci_regs.h>; values of a
// Wormhole: tt-kmd, tt-isa-documentation; what the kernel does on the way: drivers/vfio/pci/vfio_pci_config.c.
#include "tools/sim/pci_config.h"

#include <linux/pci_regs.h>

#include <algorithm>
#include <cassert>
#include <cstring>

namespace warden::sim {

namespace {

constexpr std::uint32_t kPowerManagement = 0x40;
constexpr std::uint32_t kMsi = 0x50;
constexpr std::uint32_t kExpress = 0x70;
constexpr std::uint32_t kExpressEnd = kExpress + 0x3C;
constexpr std::uint32_t kDeviceControl = kExpress + PCI_EXP_DEVCTL;

constexpr std::uint16_t kVendor = 0x1E52;
constexpr std::uint16_t kDevice = 0x401E;
constexpr std::uint32_t kClassAndRevision = 0x12000001;

constexpr std::uint16_t kCommandWritable =
    PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY | PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE;

constexpr std::uint64_t kBridgeRoomBytes = 1 << 20;

constexpr std::uint32_t kGen4X16 = 4 | 16 << 4;  // speed and width fields of the link registers
constexpr std::uint32_t kDeviceControlAtPowerOn =
    PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_NOSNOOP_EN | PCI_EXP_DEVCTL_READRQ_512B;

std::uint32_t bar_register(std::size_t half) { return PCI_BASE_ADDRESS_0 + 4 * static_cast<std::uint32_t>(half); }

bool touches(std::uint32_t offset, std::size_t length, std::uint32_t at, std::uint32_t width) {
  return offset < at + width && at < offset + length;
}

}  // namespace

PciConfig::PciConfig(const PciOptions& options)
    : function_level_reset_(options.function_level_reset), in_slot_(options.in_slot) {
  lay_out(options);
  values_ = power_on_;
  if (in_slot_) return;
  std::uint64_t base = options.bar_space;
  for (std::size_t bar = 0; bar < kBarCount; ++bar) {
    set(bar_register(2 * bar), 4, static_cast<std::uint32_t>(base) | PCI_BASE_ADDRESS_MEM_TYPE_64);
    set(bar_register(2 * bar + 1), 4, static_cast<std::uint32_t>(base >> 32));
    base += kBarSizes[0];  // aligned for each of them
  }
  programmed_bars_ = bars();
  // Hosts commonly raise the payload size to 256 bytes.
  set(kDeviceControl, 2, kDeviceControlAtPowerOn | PCI_EXP_DEVCTL_PAYLOAD_256B);
  enable_device();
}

void PciConfig::lay_out(const PciOptions& options) noexcept {
  // Whatever no capability covers is plain storage for the user, as VFIO passes it on.
  std::ranges::fill(writable_, in_slot_ ? std::uint8_t{0} : std::uint8_t{0xFF});
  std::fill_n(writable_.begin(), kExpressEnd, std::uint8_t{0});

  put(PCI_VENDOR_ID, 2, kVendor, 0);
  put(PCI_DEVICE_ID, 2, kDevice, 0);
  put(PCI_COMMAND, 2, 0, kCommandWritable);
  put(PCI_STATUS, 2, PCI_STATUS_CAP_LIST, 0);
  put(PCI_CLASS_REVISION, 4, kClassAndRevision, 0);
  put(PCI_CACHE_LINE_SIZE, 1, 0, 0xFF);
  for (std::size_t bar = 0; bar < kBarCount; ++bar) {
    const auto address_bits = ~static_cast<std::uint32_t>(kBarSizes[bar] - 1);
    // A bridge passes 64-bit addresses on to prefetchable BARs alone, and has no room for the large ones below 4 GiB.
    const bool prefetchable = in_slot_ && kBarSizes[bar] > kBridgeRoomBytes;
    put(bar_register(2 * bar), 4,
        PCI_BASE_ADDRESS_MEM_TYPE_64 | (prefetchable ? std::uint32_t{PCI_BASE_ADDRESS_MEM_PREFETCH} : 0U),
        address_bits);
    put(bar_register(2 * bar + 1), 4, 0, 0xFFFFFFFF);
  }
  put(PCI_SUBSYSTEM_VENDOR_ID, 2, kVendor, 0);
  put(PCI_SUBSYSTEM_ID, 2, options.subsystem_id, 0);
  put(PCI_CAPABILITY_LIST, 1, kPowerManagement, 0);
  put(PCI_INTERRUPT_LINE, 1, 0, 0xFF);

  put(kPowerManagement, 2, PCI_CAP_ID_PM | kMsi << 8, 0);
  put(kPowerManagement + PCI_PM_PMC, 2, 3, 0);  // version 1.2
  put(kPowerManagement + PCI_PM_CTRL, 2, PCI_PM_CTRL_NO_SOFT_RESET, PCI_PM_CTRL_STATE_MASK);

  put(kMsi, 2, PCI_CAP_ID_MSI | kExpress << 8, 0);
  put(kMsi + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_64BIT, PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE);
  put(kMsi + PCI_MSI_ADDRESS_LO, 4, 0, 0xFFFFFFFC);
  put(kMsi + PCI_MSI_ADDRESS_HI, 4, 0, 0xFFFFFFFF);
  put(kMsi + PCI_MSI_DATA_64, 2, 0, 0xFFFF);

  put(kExpress, 2, PCI_CAP_ID_EXP, 0);  // last in the list
  put(kExpress + PCI_EXP_FLAGS, 2, 2 | PCI_EXP_TYPE_ENDPOINT << 4, 0);
  put(kExpress + PCI_EXP_DEVCAP, 4, PCI_EXP_DEVCAP_RBER | 1U | (options.function_level_reset ? PCI_EXP_DEVCAP_FLR : 0U),
      0);
  // The kernel keeps the payload size to itself, and turns the reset bit into a call of its own.
  put(kDeviceControl, 2, kDeviceControlAtPowerOn,
      0xFFFFU & ~static_cast<unsigned>((in_slot_ ? 0 : PCI_EXP_DEVCTL_PAYLOAD) | PCI_EXP_DEVCTL_BCR_FLR));
  put(kExpress + PCI_EXP_LNKCAP, 4, kGen4X16, 0);
  put(kExpress + PCI_EXP_LNKSTA, 2, kGen4X16, 0);
  put(kExpress + PCI_EXP_DEVCTL2, 2, 0, 0xFFFF);
  put(kExpress + PCI_EXP_LNKCAP2, 4, 0x1E, 0);  // speeds 1 to 4
  put(kExpress + PCI_EXP_LNKCTL2, 2, 4, 0);

  // No extended capability.
  put(PCI_CFG_SPACE_SIZE, 4, 0, 0);
}

void PciConfig::put(std::uint32_t offset, unsigned width, std::uint32_t value, std::uint32_t writable) noexcept {
  std::memcpy(power_on_.data() + offset, &value, width);
  std::memcpy(writable_.data() + offset, &writable, width);
}

std::uint32_t PciConfig::get(std::uint32_t offset, unsigned width) const noexcept {
  std::uint32_t value = 0;
  std::memcpy(&value, values_.data() + offset, width);
  return value;
}

void PciConfig::set(std::uint32_t offset, unsigned width, std::uint32_t value) noexcept {
  std::memcpy(values_.data() + offset, &value, width);
}

PciConfig::Bars PciConfig::bars() const noexcept {
  Bars bars{};
  for (std::size_t half = 0; half < bars.size(); ++half) bars[half] = get(bar_register(half), 4);
  return bars;
}

void PciConfig::set_bars(const Bars& bars) noexcept {
  for (std::size_t half = 0; half < bars.size(); ++half) set(bar_register(half), 4, bars[half]);
}

void PciConfig::read(std::uint32_t offset, std::span<std::byte> into) const noexcept {
  assert(offset <= kConfigBytes && into.size() <= kConfigBytes - offset);
  std::memcpy(into.data(), values_.data() + offset, into.size());
}

bool PciConfig::write(std::uint32_t offset, std::span<const std::byte> from) noexcept {
  assert(offset <= kConfigBytes && from.size() <= kConfigBytes - offset);
  // vfio_pci: "reset recovery - restoring BARs".
  if (!in_slot_ && touches(offset, from.size(), PCI_COMMAND, 2)) set_bars(programmed_bars_);
  for (std::size_t i = 0; i < from.size(); ++i) {
    const std::uint8_t mask = writable_[offset + i];
    std::uint8_t& value = values_[offset + i];
    value = static_cast<std::uint8_t>((value & ~mask) | (std::to_integer<std::uint8_t>(from[i]) & mask));
  }
  if (touches(offset, from.size(), PCI_BASE_ADDRESS_0, 4 * 2 * kBarCount)) programmed_bars_ = bars();

  constexpr std::uint32_t kResetByte = kDeviceControl + 1;
  constexpr auto kResetBit = std::byte{PCI_EXP_DEVCTL_BCR_FLR >> 8};
  return function_level_reset_ && touches(offset, from.size(), kResetByte, 1) &&
         (from[kResetByte - offset] & kResetBit) != std::byte{0};
}

void PciConfig::write_back_door(std::uint32_t offset, std::span<const std::byte> from) noexcept {
  assert(offset <= kConfigBytes && from.size() <= kConfigBytes - offset);
  for (std::size_t i = 0; i < from.size(); ++i) {
    const std::uint32_t at = offset + static_cast<std::uint32_t>(i);
    const bool payload_size = at == kDeviceControl;
    const auto mask = static_cast<std::uint8_t>(writable_[at] | (payload_size ? PCI_EXP_DEVCTL_PAYLOAD : 0));
    values_[at] = static_cast<std::uint8_t>((values_[at] & ~mask) | (std::to_integer<std::uint8_t>(from[i]) & mask));
  }
}

bool PciConfig::bar_answers(std::size_t bar) const noexcept {
  // A virtual machine decodes addresses itself and answers reads of BARs from its own copy, which no reset of the
  // function clears: its kernel finds them unchanged and never writes them again.
  const std::uint32_t low = get(bar_register(2 * bar), 4) & ~static_cast<std::uint32_t>(kBarSizes[bar] - 1);
  const bool full_power = (get(kPowerManagement + PCI_PM_CTRL, 2) & PCI_PM_CTRL_STATE_MASK) == 0;
  return (command() & PCI_COMMAND_MEMORY) != 0 && full_power &&
         (in_slot_ || (low | get(bar_register(2 * bar + 1), 4)) != 0);
}

bool PciConfig::bus_master() const noexcept { return (command() & PCI_COMMAND_MASTER) != 0; }

bool PciConfig::msi_enabled() const noexcept {
  return !in_slot_ || (get(kMsi + PCI_MSI_FLAGS, 2) & PCI_MSI_FLAGS_ENABLE) != 0;
}

std::uint16_t PciConfig::command() const noexcept { return static_cast<std::uint16_t>(get(PCI_COMMAND, 2)); }

void PciConfig::enable_device() noexcept {
  if (!in_slot_) set(PCI_COMMAND, 2, command() | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

void PciConfig::disable_device() noexcept {
  if (!in_slot_) set(PCI_COMMAND, 2, command() & ~static_cast<std::uint32_t>(PCI_COMMAND_MASTER));
}

void PciConfig::chip_reset() noexcept {
  values_ = power_on_;
  set_bars({});
}

void PciConfig::function_reset() noexcept {
  if (in_slot_) return chip_reset();
  std::copy(power_on_.begin() + kExpressEnd, power_on_.end(), values_.begin() + kExpressEnd);
}

}  // namespace warden::sim
