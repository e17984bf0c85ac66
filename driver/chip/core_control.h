// SPDX-License-Identifier: Apache-2.0
// The cores of a tile held in reset, and whether the tile's own requests on the NoC have ended.
#pragma once

#include <warden/result.h>

#include "driver/chip/chip.h"
#include "driver/chip/noc_grid.h"
#include "driver/chip/tile_memory.h"

namespace warden::chip {

// Errors as for chip::Handle. Threads: any, but not two for one tile: the register has no atomic set. Borrows both.
class CoreControl {
 public:
  CoreControl(TileMemory& memory, const NocGrid& grid) noexcept : memory_(memory), grid_(grid) {}

  [[nodiscard]] Status hold_in_reset(Tile tile, Cores cores);
  [[nodiscard]] Result<NocTraffic> outstanding(Tile tile);

 private:
  [[nodiscard]] Result<TileKind> kind_with_cores(Tile tile) const;

  TileMemory& memory_;
  const NocGrid& grid_;
};

}  // namespace warden::chip
