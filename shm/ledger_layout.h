// SPDX-License-Identifier: Apache-2.0
// Two small pieces of memory that clients write: the ledger (one a client: its own word on what it has done) and
// the doorbell (one for all: a hint that wakes wardend). wardend believes nothing here without checking.
#pragma once

#include "shm/directory_layout.h"

namespace warden::shm {

inline constexpr std::uint64_t kLedgerMagic = 0x4745'444c'4452'4157;  // "WARDLDEG"
inline constexpr std::uint32_t kLedgerVersion = 1;
inline constexpr std::size_t kLedgerBytes = 4096;

// Writer: the one client it was given to (single words, so no lock). Reader: wardend, read-only, a copy at a time.
struct alignas(64) LedgerHeader {
  std::uint64_t magic;  // magic to session_id are filled in before the hand-over
  std::uint32_t version;
  std::uint32_t header_bytes;
  std::uint64_t total_bytes;
  std::uint64_t session_id;
  std::uint64_t reserved0[4];

  // -- own cache line --
  Word64 acknowledged_reset_id;  // the newest reset this client has answered. sync: ledger.acknowledged
  std::uint64_t reserved1[7];
};
static_assert(sizeof(LedgerHeader) == 128);
static_assert(offsetof(LedgerHeader, acknowledged_reset_id) == 64);
static_assert(sizeof(LedgerHeader) <= kLedgerBytes);

inline constexpr std::uint64_t kDoorbellMagic = 0x4c4c'4542'4452'4157;  // "WARDBELL"
inline constexpr std::uint32_t kDoorbellVersion = 1;
inline constexpr std::size_t kDoorbellBytes = 4096;

// Every client adds one to `count` after it has acknowledged, and wakes the word only when the sum is the
// directory's acks_target. Anybody may spoil it: wardend's wait is bounded and looks at the ledgers themselves.
struct alignas(64) Doorbell {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t reserved0;
  std::uint64_t reserved1[6];
  Word32 count;  // sync: doorbell.count
  std::uint32_t reserved2[15];
};
static_assert(sizeof(Doorbell) == 128);
static_assert(offsetof(Doorbell, count) == 64);

}  // namespace warden::shm
