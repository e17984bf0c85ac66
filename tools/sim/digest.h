// SPDX-License-Identifier: Apache-2.0
// A number for the contents of memory, to compare two runs by. Pages of zeros count for nothing, whether they were ever
// touched or not, and the order in which pages are added does not matter.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace warden::sim {

class Digest {
 public:
  static constexpr std::size_t kPageBytes = 4096;

  // `place` tells it from all other memory; the next is behind its end. A multiple of 8 bytes.
  void add(std::uint64_t place, std::span<const std::byte> bytes) {
    for (; !bytes.empty(); place += kPageBytes) {
      const auto page = bytes.first(std::min(bytes.size(), kPageBytes));
      bytes = bytes.subspan(page.size());
      if (page[0] != std::byte{0} || std::memcmp(page.data(), page.data() + 1, page.size() - 1) != 0) {
        sum_ += of_page(place, page);
      }
    }
  }
  [[nodiscard]] std::uint64_t value() const noexcept { return sum_; }

 private:
  // FNV-1a, by words.
  static std::uint64_t of_page(std::uint64_t place, std::span<const std::byte> page) {
    constexpr std::uint64_t kPrime = 0x100000001B3;
    std::uint64_t hash = (0xCBF29CE484222325 ^ place) * kPrime;
    for (std::size_t at = 0; at < page.size(); at += sizeof(std::uint64_t)) {
      std::uint64_t word = 0;
      std::memcpy(&word, page.data() + at, sizeof(word));
      hash = (hash ^ word) * kPrime;
      hash ^= hash >> 32;
    }
    return hash;
  }

  std::uint64_t sum_ = 0;
};

}  // namespace warden::sim
