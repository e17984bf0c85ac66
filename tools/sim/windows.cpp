// SPDX-License-Identifier: Apache-2.0
// Decoding of windows. Source: tt-isa-documentation, tt-kmd, tt-umd.
#include "tools/sim/windows.h"

#include <cassert>

namespace warden::sim {

namespace {

struct WindowKind {
  unsigned first_index;
  std::uint64_t begin;
  unsigned size_log2;
};

// 156 of 1 MiB, 10 of 2 MiB, 20 of 16 MiB, without gaps.
constexpr std::array<WindowKind, 3> kKinds = {{{0, 0, 20}, {156, 0x9C00000, 21}, {166, 0xB000000, 24}}};

constexpr unsigned kAddressBits = 36;

}  // namespace

WindowPlace window_at(std::uint64_t bar0_offset) noexcept {
  assert(bar0_offset < kWindowsEnd);
  const WindowKind& kind = bar0_offset >= kKinds[2].begin ? kKinds[2] : kKinds[bar0_offset >= kKinds[1].begin ? 1 : 0];
  const auto nth = static_cast<unsigned>((bar0_offset - kind.begin) >> kind.size_log2);
  return {kind.first_index + nth, kind.begin + (std::uint64_t{nth} << kind.size_log2), kind.size_log2};
}

WindowPlace window_of(unsigned index) noexcept {
  assert(index < kWindowCount);
  const WindowKind& kind = index >= kKinds[2].first_index ? kKinds[2] : kKinds[index >= kKinds[1].first_index ? 1 : 0];
  return {index, kind.begin + (std::uint64_t{index - kind.first_index} << kind.size_log2), kind.size_log2};
}

WindowTarget decode_window(unsigned size_log2, std::uint64_t value) noexcept {
  unsigned bit = 0;
  const auto take = [&](unsigned width) {
    const std::uint64_t field = (value >> bit) & ((std::uint64_t{1} << width) - 1);
    bit += width;
    return field;
  };
  WindowTarget target;
  target.address = take(kAddressBits - size_log2) << size_log2;
  target.x_end = static_cast<std::uint8_t>(take(6));
  target.y_end = static_cast<std::uint8_t>(take(6));
  target.x_start = static_cast<std::uint8_t>(take(6));
  target.y_start = static_cast<std::uint8_t>(take(6));
  target.noc1 = take(1) != 0;
  target.multicast = take(1) != 0;
  target.ordering = static_cast<std::uint8_t>(take(2));
  target.linked = take(1) != 0;
  target.static_vc = take(1) != 0;
  return target;
}

std::uint32_t WindowRegisters::read_word(std::uint64_t offset) const noexcept {
  return static_cast<std::uint32_t>(values_[offset / 8] >> (offset % 8 * 8));
}

void WindowRegisters::write_word(std::uint64_t offset, std::uint32_t word) noexcept {
  const unsigned shift = offset % 8 * 8;
  std::uint64_t& value = values_[offset / 8];
  value = (value & ~(std::uint64_t{0xFFFFFFFF} << shift)) | (std::uint64_t{word} << shift);
}

}  // namespace warden::sim
