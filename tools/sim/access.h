// SPDX-License-Identifier: Apache-2.0
// How an access to the card can go wrong, counted by kind, and the cutting of byte ranges into register words.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace warden::sim {

// A read that goes wrong gives all ones, a write is dropped.
enum class Access : std::uint8_t {
  kOk,
  kFusedOff,     // the tile is fused off
  kNoTile,       // no tile has these coordinates
  kUnmapped,     // nothing is there on that tile or BAR
  kCut,          // ran over the end of a window or BAR range; the part inside was done
  kMisaligned,   // part of a register
  kBadWindow,    // the window's fields make no sense
  kUnmappedIova  // the card reached for host memory that nobody mapped, or is no bus master
};
inline constexpr std::size_t kAccessKinds = 8;

[[nodiscard]] constexpr std::string_view to_string(Access access) noexcept {
  constexpr std::array<std::string_view, kAccessKinds> kNames = {"ok",  "fused_off",  "no_tile",    "unmapped",
                                                                 "cut", "misaligned", "bad_window", "unmapped_iova"};
  return kNames[static_cast<std::size_t>(access)];
}

inline void fill_ones(std::span<std::byte> into) { std::ranges::fill(into, std::byte{0xFF}); }

inline constexpr std::uint64_t kWordBytes = 4;

// Reads [address, address + into.size()) of a register space through read_word(word address), any alignment.
template <typename ReadWord>
void read_words(std::uint64_t address, std::span<std::byte> into, ReadWord&& read_word) {
  while (!into.empty()) {
    const std::uint64_t lane = address % kWordBytes;
    const std::uint32_t word = read_word(address - lane);
    const std::size_t size = std::min<std::size_t>(into.size(), kWordBytes - lane);
    std::memcpy(into.data(), reinterpret_cast<const std::byte*>(&word) + lane, size);
    address += size;
    into = into.subspan(size);
  }
}

// Writes whole, aligned words through write_word(word address, value) in ascending order.
template <typename WriteWord>
Access write_words(std::uint64_t address, std::span<const std::byte> from, WriteWord&& write_word) {
  if (address % kWordBytes != 0 || from.size() % kWordBytes != 0) return Access::kMisaligned;
  for (std::size_t done = 0; done < from.size(); done += kWordBytes) {
    std::uint32_t word = 0;
    std::memcpy(&word, from.data() + done, sizeof(word));
    write_word(address + done, word);
  }
  return Access::kOk;
}

// A half-open range of addresses.
struct Range {
  std::uint64_t begin = 0;
  std::uint64_t size = 0;
  [[nodiscard]] constexpr bool contains(std::uint64_t address) const noexcept {
    return address >= begin && address - begin < size;
  }
  [[nodiscard]] constexpr bool contains(std::uint64_t address, std::uint64_t length) const noexcept {
    return contains(address) && length <= size - (address - begin);
  }
  [[nodiscard]] constexpr bool overlaps(std::uint64_t address, std::uint64_t length) const noexcept {
    return address < begin + size && begin < address + length;
  }
};

}  // namespace warden::sim
