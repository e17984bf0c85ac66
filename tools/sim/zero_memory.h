// SPDX-License-Identifier: Apache-2.0
// Memory in one piece that costs the host only what was written: pages come with the first write.
#pragma once

#include <cstddef>
#include <span>

namespace warden::sim {

class ZeroMemory {
 public:
  // Throws std::bad_alloc, as new would.
  explicit ZeroMemory(std::size_t size_bytes);
  ZeroMemory(const ZeroMemory&) = delete;
  ZeroMemory& operator=(const ZeroMemory&) = delete;
  ~ZeroMemory();

  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return bytes_; }
  // Zeros everywhere; the host gets its memory back.
  void clear() noexcept;
  [[nodiscard]] std::size_t touched_bytes() const;

 private:
  std::span<std::byte> bytes_;
};

}  // namespace warden::sim
