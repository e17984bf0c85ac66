// SPDX-License-Identifier: Apache-2.0
// The allocation table inside a client's ledger: what one process holds on the cards.
//
//   shards[64] | cells[64 shards][64 devices][8 kinds] | records[1,048,576 and some]
//
// Writer: the one client. Each of its threads has a shard of its own (the last one is for all threads beyond), so that
// nothing here is ever locked. Reader: wardend, a copy at a time. The file is sparse: what nobody touched takes no
// memory.
//
// One operation, and what is true for a reader when the process is killed between two of its stores:
//
//   cell.versions[other] = sum after   free to write: `active` names the other one
//   shard.intent = cell, version, record, its next state
//   record.state = next state          <- from here on the operation has happened: whoever finds the record in the
//   cell.active = version                 state that the intent names takes that version, whatever `active` says
//
// The intent is never cleared: done once more it changes nothing.
#pragma once

#include "shm/directory_layout.h"

namespace warden::shm {

// The values are part of the layout: append, never renumber.
enum class AllocationKind : std::uint8_t {
  kDram = 0,
  kL1 = 1,
  kSystemMemory = 2,
  kL1Small = 3,
  kTrace = 4,
  kCircularBuffer = 5,
  kKernel = 6,
};
inline constexpr std::uint32_t kAllocationKinds = 7;

enum class KernelKind : std::uint8_t { kApplication = 0, kFabric = 1, kDispatch = 2 };
inline constexpr std::uint32_t kKernelKinds = 3;

// So many live records a process are always possible.
inline constexpr std::uint32_t kAllocationCapacity = 1'048'576;
inline constexpr std::uint32_t kShardCount = 64;
// A thread keeps up to so many free records to itself; the table is that much larger than its capacity.
inline constexpr std::uint32_t kShardFreeRecords = 128;
inline constexpr std::uint32_t kAllocationRecords = kAllocationCapacity + kShardCount * kShardFreeRecords;
inline constexpr std::size_t kAllocationLabelBytes = 16;  // not terminated when it is full

struct alignas(64) AllocationRecord {
  Word64 state;  // odd: a live allocation. Moves with every record and every release. sync: allocation.state
  Word64 address;
  Word64 size_bytes;
  Word64 tag;      // the caller's own
  Word64 time_ns;  // when it was recorded: the directory's coarse_time_ns
  Word64 what;     // see pack_what()
  Word64 label[2];
};
static_assert(sizeof(AllocationRecord) == 64);
static_assert(offsetof(AllocationRecord, what) == 40);

// AllocationRecord::what: device 0-7, kind 8-15, kind of kernel 16-23, thread id 32-63.
[[nodiscard]] constexpr std::uint64_t pack_what(std::uint32_t device, AllocationKind kind, KernelKind kernel_kind,
                                                std::uint32_t thread_id) noexcept {
  return std::uint64_t{device & 0xffU} | std::uint64_t{static_cast<std::uint8_t>(kind)} << 8 |
         std::uint64_t{static_cast<std::uint8_t>(kernel_kind)} << 16 | std::uint64_t{thread_id} << 32;
}

// Count and bytes modulo 2^64: who releases what another thread recorded goes below zero, and only the sum of all
// shards has a meaning.
struct AllocationSum {
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;
};

struct CellVersion {
  Word64 count;
  Word64 bytes;
};

// The sums of one shard, device and kind.
struct alignas(64) AllocationCell {
  CellVersion versions[2];
  Word64 active;  // which version counts: 0 or 1. sync: allocation.active
  std::uint64_t reserved[3];
};
static_assert(sizeof(AllocationCell) == 64);
static_assert(offsetof(AllocationCell, active) == 32);

inline constexpr std::uint32_t kCellsPerDevice = 8;  // kinds, and room for one more
inline constexpr std::uint32_t kCellsPerShard = kDeviceCapacity * kCellsPerDevice;
static_assert(kAllocationKinds <= kCellsPerDevice);

struct alignas(64) AllocationShard {
  Word64 intent;       // see Intent. sync: allocation.intent
  Word64 device_mask;  // whose cells this shard has ever touched. sync: allocation.device_mask
  std::uint64_t reserved[6];
};
static_assert(sizeof(AllocationShard) == 64);

// AllocationShard::intent, unpacked.
struct Intent {
  std::uint32_t cell = 0;     // of the shard: device * kCellsPerDevice + kind
  std::uint32_t version = 0;  // holds the sum after the operation
  std::uint32_t record = 0;
  std::uint64_t state = 0;  // of the record after the operation; its low bits, see kIntentStateMask
};
inline constexpr std::uint64_t kIntentStateMask = (std::uint64_t{1} << 33) - 1;
static_assert(kCellsPerShard <= 1U << 9 && kAllocationRecords <= 1U << 21);

[[nodiscard]] constexpr std::uint64_t pack(const Intent& intent) noexcept {
  return std::uint64_t{intent.cell} | std::uint64_t{intent.version} << 9 | std::uint64_t{intent.record} << 10 |
         intent.state << 31;
}
[[nodiscard]] constexpr Intent unpack_intent(std::uint64_t word) noexcept {
  return {.cell = static_cast<std::uint32_t>(word & 0x1ff),
          .version = static_cast<std::uint32_t>(word >> 9 & 1),
          .record = static_cast<std::uint32_t>(word >> 10 & 0x1f'ffff),
          .state = word >> 31};
}

}  // namespace warden::shm
