// SPDX-License-Identifier: Apache-2.0
// Reads and writes of tiles: which windows an access needs, and its way through them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <warden/result.h>

#include "driver/chip/bar.h"
#include "driver/chip/noc_grid.h"
#include "driver/chip/windows.h"

namespace warden::chip {

// Errors as for chip::Handle. Threads: any. Bar and pool outlive it.
class TileMemory {
 public:
  TileMemory(Bar& bar0, WindowPool& windows) noexcept : bar0_(bar0), windows_(windows) {}

  [[nodiscard]] Status read(const NocGrid& grid, Tile tile, CardAddress address, std::span<std::byte> into);
  [[nodiscard]] Status write(const NocGrid& grid, Tile tile, CardAddress address, std::span<const std::byte> from);
  [[nodiscard]] Result<std::uint32_t> read32(const NocGrid& grid, Tile tile, CardAddress address);
  [[nodiscard]] Status write32(const NocGrid& grid, Tile tile, CardAddress address, std::uint32_t value);
  [[nodiscard]] Status broadcast(const NocGrid& grid, TileRectangle tiles, CardAddress address,
                                 std::span<const std::byte> from);

  // A lease on the window through which this (checked) address is seen.
  [[nodiscard]] Result<WindowLease> window_to(NocGrid::Place place, CardAddress address);

  // kOffBus when not even the ARC's node id answers: what was read was no data. `doing` begins the message.
  [[nodiscard]] Status check_on_bus(std::string_view doing);
  // The same, if this data looks as if nobody had answered.
  [[nodiscard]] Status check_data(std::span<const std::byte> data, std::string_view doing);

  // Through a window that is aimed already; the range, from this offset in BAR0 on, lies inside it.
  [[nodiscard]] Status read_at(std::uint64_t bar_offset, Access access, std::span<std::byte> into);
  [[nodiscard]] Status write_at(std::uint64_t bar_offset, Access access, std::span<const std::byte> from);

 private:
  Bar& bar0_;
  WindowPool& windows_;
};

}  // namespace warden::chip
