// SPDX-License-Identifier: Apache-2.0
// Wormhole's 186 windows of BAR0 onto the NoC: where each lies, its configuration register, and what the register's
// fields mean. Source: tt-isa-documentation, tt-kmd, tt-umd.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "tools/sim/access.h"

namespace warden::sim {

inline constexpr unsigned kWindowCount = 186;
inline constexpr std::uint64_t kWindowsEnd = 0x1F000000;  // windows fill BAR0 up to here

// The fields of one configuration register, cut by the window's size.
struct WindowTarget {
  std::uint64_t address = 0;  // of the window's first byte on the tile
  std::uint8_t x_end = 0;     // the tile, or the last corner of a multicast
  std::uint8_t y_end = 0;
  std::uint8_t x_start = 0;  // first corner of a multicast
  std::uint8_t y_start = 0;
  bool noc1 = false;
  bool multicast = false;
  std::uint8_t ordering = 0;  // 0 relaxed, 1 strict, 2 posted
  bool linked = false;
  bool static_vc = false;
  auto operator<=>(const WindowTarget&) const = default;
};

struct WindowPlace {
  unsigned index = 0;
  std::uint64_t begin = 0;  // in BAR0
  unsigned size_log2 = 0;
  [[nodiscard]] std::uint64_t size_bytes() const noexcept { return std::uint64_t{1} << size_log2; }
};

// For offsets below kWindowsEnd, and indices below kWindowCount.
[[nodiscard]] WindowPlace window_at(std::uint64_t bar0_offset) noexcept;
[[nodiscard]] WindowPlace window_of(unsigned index) noexcept;

[[nodiscard]] WindowTarget decode_window(unsigned size_log2, std::uint64_t value) noexcept;

// The configuration registers: read and written in words or pairs of words, all zero after a reset.
class WindowRegisters {
 public:
  static constexpr std::uint64_t kSizeBytes = kWindowCount * sizeof(std::uint64_t);

  [[nodiscard]] std::uint64_t value(unsigned index) const noexcept { return values_[index]; }
  // Offsets inside the register file.
  [[nodiscard]] std::uint32_t read_word(std::uint64_t offset) const noexcept;
  void write_word(std::uint64_t offset, std::uint32_t word) noexcept;
  void clear() noexcept { values_.fill(0); }

 private:
  std::array<std::uint64_t, kWindowCount> values_{};
};

}  // namespace warden::sim
