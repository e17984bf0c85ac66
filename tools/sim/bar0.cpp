// SPDX-License-Identifier: Apache-2.0
// BAR0 of a chip: windows onto the NoC, their registers, and the parts of the card that are mapped without one.
// Source: tt-isa-documentation, tt-kmd.
#include <algorithm>
#include <array>

#include "tools/sim/chip.h"

namespace warden::sim {

namespace {

constexpr Range kWindowRegisters{0x1FC00000, WindowRegisters::kSizeBytes};
// Where tt-kmd finds the PCIe tile's network interfaces; tt-isa-documentation has other addresses.
constexpr std::array<Range, 2> kNiu = {
    {{0x1FD02000, NiuRegisters::kSizeBytes}, {0x1FD0A000, NiuRegisters::kSizeBytes}}};
constexpr Range kArcMemory{0x1FE80000, kCsmBytes};
constexpr Range kArcPeripherals{0x1FF00000, 1 << 20};

constexpr std::uint8_t kOrderings = 3;

bool makes_sense(const WindowTarget& target) { return target.ordering < kOrderings && !target.linked; }

}  // namespace

// `into` has been filled up to the end of whatever lies at `offset` when the answer is kCut.
Access Chip::read_bar0(std::uint64_t offset, std::span<std::byte> into) {
  if (offset < kWindowsEnd) return read_window(offset, into);
  if (kWindowRegisters.contains(offset, into.size())) {
    read_words(offset - kWindowRegisters.begin, into, [this](std::uint64_t at) { return windows_.read_word(at); });
    return Access::kOk;
  }
  for (const bool noc1 : {false, true}) {
    if (!kNiu[noc1].contains(offset, into.size())) continue;
    read_words(offset - kNiu[noc1].begin, into, [&](std::uint64_t at) { return pcie_->niu(noc1).read_word(at); });
    return Access::kOk;
  }
  if (kArcMemory.contains(offset)) return arc_.read_memory(offset - kArcMemory.begin, into);
  if (kArcPeripherals.contains(offset)) return arc_.read_peripheral(offset - kArcPeripherals.begin, into);
  return Access::kUnmapped;
}

Access Chip::write_bar0(std::uint64_t offset, std::span<const std::byte> from) {
  if (offset < kWindowsEnd) return write_window(offset, from);
  if (kWindowRegisters.contains(offset, from.size())) {
    return write_words(offset - kWindowRegisters.begin, from,
                       [this](std::uint64_t at, std::uint32_t value) { windows_.write_word(at, value); });
  }
  for (const bool noc1 : {false, true}) {
    if (!kNiu[noc1].contains(offset, from.size())) continue;
    return write_words(offset - kNiu[noc1].begin, from,
                       [&](std::uint64_t at, std::uint32_t value) { pcie_->niu(noc1).write_word(at, value); });
  }
  if (kArcMemory.contains(offset)) return arc_.write_memory(offset - kArcMemory.begin, from);
  if (kArcPeripherals.contains(offset)) return arc_.write_peripheral(offset - kArcPeripherals.begin, from);
  return Access::kUnmapped;
}

Access Chip::read_window(std::uint64_t offset, std::span<std::byte> into) {
  const WindowPlace window = window_at(offset);
  const WindowTarget target = decode_window(window.size_log2, windows_.value(window.index));
  if (!makes_sense(target) || target.multicast) return Access::kBadWindow;
  const std::uint64_t inside = offset - window.begin;
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), window.size_bytes() - inside));
  if (size < into.size()) fill_ones(into.subspan(size));
  const Access access = noc_read(target.noc1, {target.x_end, target.y_end, target.address + inside}, into.first(size));
  return access == Access::kOk && size < into.size() ? Access::kCut : access;
}

Access Chip::write_window(std::uint64_t offset, std::span<const std::byte> from) {
  const WindowPlace window = window_at(offset);
  const WindowTarget target = decode_window(window.size_log2, windows_.value(window.index));
  if (!makes_sense(target)) return Access::kBadWindow;
  const std::uint64_t inside = offset - window.begin;
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(from.size(), window.size_bytes() - inside));
  const std::uint64_t address = target.address + inside;
  Access access = Access::kOk;
  if (target.multicast) {
    const NocRectangle to{target.x_start, target.y_start, target.x_end, target.y_end, address};
    access = noc_multicast(target.noc1, to, from.first(size)).access;
  } else {
    access = noc_write(target.noc1, {target.x_end, target.y_end, address}, from.first(size));
  }
  return access == Access::kOk && size < from.size() ? Access::kCut : access;
}

}  // namespace warden::sim
