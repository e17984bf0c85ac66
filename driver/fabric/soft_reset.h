// SPDX-License-Identifier: Apache-2.0
// The cores that run the fabric's programs: one of each Ethernet tile, the first of a Tensix tile.
#pragma once

#include <cstdint>

#include <warden/result.h>

#include "driver/chip/wormhole_layout.h"
#include "driver/fabric/card.h"

namespace warden::fabric {

inline constexpr CardAddress kSoftReset{chip::wormhole::kSoftReset};
inline constexpr std::uint32_t kEthernetHeld = chip::wormhole::kSoftResetErisc;
inline constexpr std::uint32_t kTensixHeld = chip::wormhole::kSoftResetBrisc | chip::wormhole::kSoftResetTrisc0 |
                                             chip::wormhole::kSoftResetTrisc1 | chip::wormhole::kSoftResetTrisc2 |
                                             chip::wormhole::kSoftResetNcrisc;

// What the program had asked for has left the tile when it returns: the register is read back behind it.
[[nodiscard]] inline Status set_soft_reset(Card& card, Tile tile, std::uint32_t held) {
  if (auto written = card.write32(tile, kSoftReset, held); !written) return written;
  const auto now = card.read32(tile, kSoftReset);
  if (!now) return std::unexpected(now.error());
  return {};
}
[[nodiscard]] inline Status hold_ethernet(Card& card, Tile tile) { return set_soft_reset(card, tile, kEthernetHeld); }
[[nodiscard]] inline Status release_ethernet(Card& card, Tile tile) { return set_soft_reset(card, tile, 0); }
[[nodiscard]] inline Status hold_tensix(Card& card, Tile tile) { return set_soft_reset(card, tile, kTensixHeld); }
// Its other cores stay held.
[[nodiscard]] inline Status release_brisc(Card& card, Tile tile) {
  return set_soft_reset(card, tile, kTensixHeld & ~chip::wormhole::kSoftResetBrisc);
}
[[nodiscard]] inline Result<bool> brisc_is_held(Card& card, Tile tile) {
  const auto now = card.read32(tile, kSoftReset);
  if (!now) return std::unexpected(now.error());
  return (*now & chip::wormhole::kSoftResetBrisc) != 0;
}

}  // namespace warden::fabric
