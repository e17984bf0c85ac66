// SPDX-License-Identifier: Apache-2.0
// Memory of the card that costs the host only what was written: pages come with the first write, and reading an
// untouched one gives zeros without making it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>

#include "tools/sim/digest.h"

namespace warden::sim {

class SparseMemory {
 public:
  explicit SparseMemory(std::uint64_t size_bytes) noexcept : size_bytes_(size_bytes) {}

  [[nodiscard]] std::uint64_t size_bytes() const noexcept { return size_bytes_; }
  [[nodiscard]] bool contains(std::uint64_t address, std::size_t length) const noexcept {
    return address <= size_bytes_ && length <= size_bytes_ - address;
  }

  // The range lies inside: contains(address, length).
  void read(std::uint64_t address, std::span<std::byte> into) const;
  void write(std::uint64_t address, std::span<const std::byte> from);
  void write32(std::uint64_t address, std::uint32_t value);

  // Everything is lost; the host gets its memory back.
  void clear() noexcept { pages_.clear(); }
  // `place`: of its first byte.
  void add_to(Digest& digest, std::uint64_t place) const;
  [[nodiscard]] std::uint64_t touched_bytes() const noexcept { return pages_.size() * kPageBytes; }

 private:
  static constexpr std::size_t kPageBytes = 4096;
  using Page = std::array<std::byte, kPageBytes>;

  std::uint64_t size_bytes_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Page>> pages_;
};

}  // namespace warden::sim
