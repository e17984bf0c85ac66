// SPDX-License-Identifier: Apache-2.0
// The allocation table inside a client's ledger: what one process holds on the cards.
//
//   shards[64] | blocks[64]: free[128], cells[64 devices][8 kinds] | records[1,048,576 and some]
//
// Writer: the one client. Each of its threads has a shard of its own (the last one is for all threads beyond), so that
// nothing here is ever locked. Reader: wardend, a copy at a time. The file is sparse: what nobody touched takes no
// memory. The words, and the order in which they are stored: <warden/allocation_words.h>.
#pragma once

#include <warden/allocation_words.h>

#include "shm/directory_layout.h"

namespace warden::shm {

static_assert(kAllocationDevices == kDeviceCapacity);

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

inline constexpr std::size_t kAllocationLabelBytes = 16;  // not terminated when it is full
static_assert(kAllocationKinds <= kCellsPerDevice);

// Count and bytes modulo 2^64.
struct AllocationSum {
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;
};

}  // namespace warden::shm
