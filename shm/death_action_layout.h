// SPDX-License-Identifier: Apache-2.0
// The death actions inside a client's ledger: what wardend shall do to the cards when the session ends, because its
// owner can't any more.
//
// Writer: the one client. Reader: wardend, a copy at a time, when the session has ended. A record's state is its number
// in the order of registration, stored last, and cleared first: killed between any two stores, the client leaves whole
// actions alone. No number is used twice, so that who finds the same one before and after has seen one action.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "shm/directory_layout.h"

namespace warden::shm {

inline constexpr std::uint32_t kDeathActions = 1024;  // of one session
inline constexpr std::size_t kDeathActionDataBytes = 32;

// The values are part of the layout: append, never renumber.
enum class DeathActionKind : std::uint8_t {
  kWrite = 1,       // `length_bytes` of the data
  kWrite32 = 2,     // the first word of the data, as one 32-bit access
  kResetCores = 3,  // the first word of the data: which cores are held in reset (warden::Cores)
};

struct alignas(64) DeathActionRecord {
  Word64 state;    // 0: none; else its number. sync: death_action.state
  Word64 what;     // see pack_death_action()
  Word64 epoch;    // of the device: it is not done to a card that was reset since
  Word64 address;  // in the tile
  std::array<Word64, kDeathActionDataBytes / sizeof(Word64)> data;
};
static_assert(sizeof(DeathActionRecord) == 64);
static_assert(offsetof(DeathActionRecord, data) == 32);

// DeathActionRecord::what: kind 0-7, device 8-15, x 16-23, y 24-31, length in bytes 32-39.
[[nodiscard]] constexpr std::uint64_t pack_death_action(DeathActionKind kind, std::uint32_t device, std::uint8_t x,
                                                        std::uint8_t y, std::uint32_t length_bytes) noexcept {
  return static_cast<std::uint64_t>(kind) | std::uint64_t{device} << 8 | std::uint64_t{x} << 16 |
         std::uint64_t{y} << 24 | std::uint64_t{length_bytes} << 32;
}

}  // namespace warden::shm
