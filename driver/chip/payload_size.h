// SPDX-License-Identifier: Apache-2.0
// The largest payload the card's PCIe controller may use: a chip reset loses it, and VFIO writes it to its own copy
// alone, so that only the card itself can put it back.
#pragma once

#include <cstdint>

#include <warden/result.h>

#include "driver/chip/bar.h"
#include "driver/chip/tile_memory.h"

namespace warden::chip {

// Makes the field in the card's Device Control register that of `device_control`, by the way through the NoC that
// tt-kmd takes (the controller's DBI). Meanwhile nothing of the card reaches host memory: no core may be running.
[[nodiscard]] Status restore_payload_size(Bar& bar0, TileMemory& memory, std::uint16_t device_control);

}  // namespace warden::chip
