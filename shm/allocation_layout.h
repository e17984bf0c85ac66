// SPDX-License-Identifier: Apache-2.0
// The allocation table inside a client's ledger: what one process holds on the cards.
//
//   shards[64] | blocks[64]: free[128], cells[64 devices][8 kinds] | records[1,048,576 and some]
//
// Writer: the one client. Each of its threads has a shard of its own (the last one is for all threads beyond), so that
// nothing here is ever locked. Reader: wardend, a copy at a time. The file is sparse: what nobody touched takes no
// memory. The words, and the order in which they are stored: <warden/allocation_words.h>.
#pragma once

#include <warden/allocation_kind.h>
#include <warden/allocation_words.h>

#include "shm/directory_layout.h"

namespace warden::shm {

static_assert(kAllocationDevices == kDeviceCapacity);

using warden::AllocationKind;
using warden::AllocationSum;
using warden::kAllocationKinds;
using warden::KernelKind;
using warden::kKernelKinds;

inline constexpr std::size_t kAllocationLabelBytes = 16;  // not terminated when it is full
static_assert(kAllocationKinds <= kCellsPerDevice);

}  // namespace warden::shm
