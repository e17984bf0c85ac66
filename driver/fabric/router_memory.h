// SPDX-License-Identifier: Apache-2.0
// A router's block in the L1 of its tile, and structures in card memory altogether.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include <warden/result.h>

#include "driver/fabric/card.h"
#include "kernels/router_layout.h"

namespace warden::fabric {

template <typename T>
[[nodiscard]] Result<T> read_struct(Card& card, Tile tile, CardAddress address) {
  static_assert(std::is_trivially_copyable_v<T>);
  T value{};
  if (auto read = card.read(tile, address, std::as_writable_bytes(std::span(&value, 1))); !read) {
    return std::unexpected(std::move(read).error());
  }
  return value;
}

template <typename T>
[[nodiscard]] Status write_struct(Card& card, Tile tile, CardAddress address, const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  return card.write(tile, address, std::as_bytes(std::span(&value, 1)));
}

[[nodiscard]] constexpr std::uint32_t tile_word(Tile tile) noexcept { return kernels::tile_word(tile.x, tile.y); }
[[nodiscard]] constexpr Tile tile_of_word(std::uint32_t word) noexcept {
  return {.x = static_cast<std::uint8_t>(word & 0x3F), .y = static_cast<std::uint8_t>(word >> 6 & 0x3F)};
}

// Addresses in a router's L1 of what is at this offset of its block.
[[nodiscard]] constexpr CardAddress in_router(std::size_t offset) noexcept { return {kernels::kRouterBlock + offset}; }

inline constexpr CardAddress kStateWord =
    in_router(offsetof(kernels::RouterBlock, state) + offsetof(kernels::RouterStateBlock, state));
inline constexpr CardAddress kCommandWord =
    in_router(offsetof(kernels::RouterBlock, state) + offsetof(kernels::RouterStateBlock, command));
inline constexpr CardAddress kPausedByCut =
    in_router(offsetof(kernels::RouterBlock, configuration) + offsetof(kernels::RouterConfiguration, paused_by_cut));

inline constexpr CardAddress kAdmitted = in_router(offsetof(kernels::RouterBlock, admitted));
inline constexpr CardAddress kProbe = in_router(offsetof(kernels::RouterBlock, probe));
inline constexpr CardAddress kProbeAnswer =
    in_router(offsetof(kernels::RouterBlock, counters) + offsetof(kernels::RouterCounters, probe_answer));

[[nodiscard]] constexpr CardAddress lane_address(std::uint32_t lane) noexcept {
  return in_router(offsetof(kernels::RouterBlock, lanes) + lane * sizeof(kernels::LaneBlock));
}
[[nodiscard]] constexpr CardAddress delivery_address(std::uint32_t delivery) noexcept {
  return in_router(offsetof(kernels::RouterBlock, deliveries) + delivery * sizeof(kernels::DeliveryBlock));
}
[[nodiscard]] constexpr std::uint32_t port_consumed_address(std::uint32_t port) noexcept {
  return static_cast<std::uint32_t>(in_router(offsetof(kernels::RouterBlock, ports) +
                                              port * sizeof(kernels::PortBlock) +
                                              offsetof(kernels::PortBlock, consumed))
                                        .value);
}

}  // namespace warden::fabric
