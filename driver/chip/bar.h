// SPDX-License-Identifier: Apache-2.0
// One memory region of a card, reached through a mapping where there is one and through the device interface else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <warden/result.h>

#include "driver/vfio/device.h"

namespace warden::chip {

// Offsets are in bytes from the region's start and stay below size_bytes(). Threads: accesses from any thread;
// map() and unmap() only while nobody accesses.
class Bar {
 public:
  // The device outlives it.
  Bar(vfio::Device& device, std::uint32_t region, std::uint64_t size_bytes) noexcept
      : device_(&device), region_(region), size_bytes_(size_bytes) {}

  // Maps the whole region where the device can do that; a device that can't is no error.
  [[nodiscard]] Status map();
  void unmap() noexcept { mapping_.reset(); }
  [[nodiscard]] bool is_mapped() const noexcept { return mapping_.has_value(); }
  [[nodiscard]] std::uint64_t size_bytes() const noexcept { return size_bytes_; }

  // One aligned 32-bit access; a plain load or store when mapped. Where faults are survived (vfio/fault_handler.h):
  // kStale through a mapping from before a reset, kOffBus for what was stored into nothing; a load reads all ones.
  [[nodiscard]] Result<std::uint32_t> read32(std::uint64_t offset) {
    if (!mapping_) return trapped_read32(offset);
    const std::uint32_t value = mapping_->read32(offset);
    if (value == vfio::kNothingThere && mapping_->is_stale()) return stale();
    return value;
  }
  [[nodiscard]] Status write32(std::uint64_t offset, std::uint32_t value) {
    if (!mapping_) return trapped_write32(offset, value);
    if (!mapping_->write32(offset, value)) return lost();
    return {};
  }

  // Memory: any length and alignment, ascending.
  [[nodiscard]] Status read(std::uint64_t offset, std::span<std::byte> into);
  [[nodiscard]] Status write(std::uint64_t offset, std::span<const std::byte> from);
  // Registers: one aligned 32-bit access each, ascending, as often as there are words.
  [[nodiscard]] Status read_words(std::uint64_t offset, std::span<std::byte> into);
  [[nodiscard]] Status write_words(std::uint64_t offset, std::span<const std::byte> from);

 private:
  Result<std::uint32_t> trapped_read32(std::uint64_t offset);
  Status trapped_write32(std::uint64_t offset, std::uint32_t value);
  std::unexpected<Error> stale() const;
  std::unexpected<Error> lost() const;

  vfio::Device* device_;
  std::uint32_t region_;
  std::uint64_t size_bytes_;
  std::optional<vfio::Mapping> mapping_;
};

}  // namespace warden::chip
