// SPDX-License-Identifier: Apache-2.0
// Windows that somebody keeps aimed for longer than one access, by number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>

#include <warden/result.h>

#include "driver/chip/noc_grid.h"
#include "driver/chip/tile_memory.h"
#include "driver/chip/window_request.h"
#include "driver/chip/windows.h"

namespace warden::chip {

// Threads: any; forget_all() only while nobody accesses. Memory and pool outlive it.
class ReservedWindows {
 public:
  ReservedWindows(TileMemory& memory, WindowPool& pool) noexcept : memory_(memory), pool_(pool) {}

  // A number that was never used before. kInvalidArgument for tiles that are not there, a base that is no multiple of
  // the window's size or above all addresses; kBusy when no more may be reserved.
  [[nodiscard]] Result<std::uint32_t> reserve(const NocGrid& grid, const WindowRequest& request);
  // What is accessed through it at that moment ends first. No such window: nothing to do.
  void release(std::uint32_t number);
  // After a reset every number is unknown, and every lease has ended.
  void forget_all();

  // As the accesses of a tile, at an offset in the window; kInvalidArgument over its end, and for reading a multicast.
  [[nodiscard]] Status read(std::uint32_t number, std::uint64_t offset, std::span<std::byte> into);
  [[nodiscard]] Status write(std::uint32_t number, std::uint64_t offset, std::span<const std::byte> from);
  [[nodiscard]] Result<std::uint32_t> read32(std::uint32_t number, std::uint64_t offset);
  [[nodiscard]] Status write32(std::uint32_t number, std::uint64_t offset, std::uint32_t value);

 private:
  struct Held {
    WindowLease lease;
    WindowRequest request;
    TileKind kind;
  };
  // A piece of one window, checked.
  struct Place {
    std::shared_ptr<const Held> window;  // keeps the lease for as long as the access takes
    std::uint64_t bar_offset;
    Access access;
  };
  [[nodiscard]] Result<Place> place(std::uint32_t number, std::uint64_t offset, std::uint64_t size_bytes);
  [[nodiscard]] Result<Place> readable(std::uint32_t number, std::uint64_t offset, std::uint64_t size_bytes);

  TileMemory& memory_;
  WindowPool& pool_;
  std::mutex mutex_;
  std::uint32_t last_number_ = 0;
  std::map<std::uint32_t, std::shared_ptr<const Held>> held_;
};

}  // namespace warden::chip
