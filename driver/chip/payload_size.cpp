// SPDX-License-Identifier: Apache-2.0
// Source: tt-kmd (wormhole.c), which saves the field when it finds the card and restores it after each reset.
#include "driver/chip/payload_size.h"

#include <fmt/format.h>

#include "driver/chip/wormhole_layout.h"

namespace warden::chip {
namespace {

// While both hold the value, the PCIe tile shows its controller instead of the host.
Status open_back_door(Bar& bar0, std::uint32_t value) {
  if (auto reads = bar0.write32(wormhole::kDbiForReads, value); !reads) return reads;
  return bar0.write32(wormhole::kDbiForWrites, value);
}

Status restore_through(Bar& bar0, std::uint64_t offset, std::uint16_t wanted) {
  constexpr std::uint32_t kField = wormhole::kDeviceControlPayload;
  auto now = bar0.read32(offset);
  if (!now) return std::unexpected(std::move(now).error());
  if (((*now ^ wanted) & kField) == 0) return {};
  // The upper half is the status register, whose bits are cleared by ones.
  if (auto wrote = bar0.write32(offset, (*now & 0xFFFF & ~kField) | (wanted & kField)); !wrote) return wrote;
  auto back = bar0.read32(offset);
  if (!back) return std::unexpected(std::move(back).error());
  if (((*back ^ wanted) & kField) == 0) return {};
  return fail(Code::kFailed, fmt::format("the maximum payload size was not put back: Device Control was {:#06x} before "
                                         "and reads {:#06x}",
                                         wanted, *back & 0xFFFF));
}

}  // namespace

Status restore_payload_size(Bar& bar0, TileMemory& memory, std::uint16_t device_control) {
  constexpr CardAddress kRegister{wormhole::kHostAddress + wormhole::kDeviceControl};
  auto window = memory.window_to({wormhole::kPcieTile, TileKind::kPcie}, kRegister);
  if (!window) return std::unexpected(std::move(window).error());
  const std::uint64_t offset = window->bar_offset() + kRegister.value % bytes_of(WindowSize::k16M);
  if (auto opened = open_back_door(bar0, wormhole::kDbiOpen); !opened) return opened;
  Status restored = restore_through(bar0, offset, device_control);
  Status closed = open_back_door(bar0, 0);
  return restored ? closed : restored;
}

}  // namespace warden::chip
