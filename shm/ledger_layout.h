// SPDX-License-Identifier: Apache-2.0
// Two small pieces of memory that clients write: the ledger (one a client: its own word on what it has done) and
// the doorbell (one for all: a hint that wakes wardend). wardend believes nothing here without checking.
#pragma once

#include "shm/allocation_layout.h"
#include "shm/death_action_layout.h"
#include "shm/directory_layout.h"

namespace warden::shm {

inline constexpr std::uint64_t kLedgerMagic = 0x4745'444c'4452'4157;  // "WARDLDEG"
inline constexpr std::uint32_t kLedgerVersion = 4;

// Writer: the one client it was given to (single words, so no lock). Reader: wardend, read-only, a copy at a time.
//
//   header (one page) | shards | blocks | records | death actions
//                       see allocation_layout.h     see death_action_layout.h
struct alignas(64) LedgerHeader {
  std::uint64_t magic;  // all but the session are filled in before the hand-over and never change
  std::uint32_t version;
  std::uint32_t header_bytes;
  std::uint64_t total_bytes;
  Word64 session_id;  // the client writes another one when a new wardend has taken the ledger over
  std::uint64_t shards_offset_bytes;
  std::uint64_t blocks_offset_bytes;
  std::uint64_t records_offset_bytes;
  std::uint32_t shard_count;
  std::uint32_t record_count;

  // -- own cache line --
  Word64 acknowledged_reset_id;  // the newest reset this client has answered. sync: ledger.acknowledged
  Word64 acknowledged_time_ns;   // CLOCK_BOOTTIME; written before the id above
  std::uint64_t reserved1[6];

  // -- own cache line --
  Word64 records_begun;  // no record from here on was ever used. sync: ledger.records_begun
  Word64 dropped;        // allocations that were not recorded, because the table was full
  std::uint64_t reserved2[6];

  // -- own cache line --
  std::uint64_t death_actions_offset_bytes;  // this and the next as in the first line
  std::uint32_t death_action_count;
  std::uint32_t reserved3;
  Word64 death_actions_begun;  // no record from here on was ever used. sync: ledger.death_actions_begun
  std::uint64_t reserved4[5];
};
static_assert(sizeof(LedgerHeader) == 256);
static_assert(offsetof(LedgerHeader, session_id) == 24);
static_assert(offsetof(LedgerHeader, acknowledged_reset_id) == 64);
static_assert(offsetof(LedgerHeader, records_begun) == 128);
static_assert(offsetof(LedgerHeader, death_actions_begun) == 208);

inline constexpr std::size_t kPageBytes = 4096;
inline constexpr std::size_t kShardsOffsetBytes = kPageBytes;
inline constexpr std::size_t kBlocksOffsetBytes = kShardsOffsetBytes + kShardCount * sizeof(AllocationShard);
inline constexpr std::size_t kRecordsOffsetBytes =
    kBlocksOffsetBytes + std::size_t{kShardCount} * sizeof(AllocationShardBlock);
inline constexpr std::size_t kDeathActionsOffsetBytes =
    kRecordsOffsetBytes + std::size_t{kAllocationRecords} * sizeof(AllocationRecord);
inline constexpr std::size_t kLedgerBytes =
    kDeathActionsOffsetBytes + std::size_t{kDeathActions} * sizeof(DeathActionRecord);
static_assert(sizeof(LedgerHeader) <= kPageBytes);
static_assert(kBlocksOffsetBytes % kPageBytes == 0 && kRecordsOffsetBytes % kPageBytes == 0);
static_assert(kDeathActionsOffsetBytes % kPageBytes == 0 && kLedgerBytes % kPageBytes == 0);

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
