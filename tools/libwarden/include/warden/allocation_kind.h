// SPDX-License-Identifier: Apache-2.0
// What an allocation is of. The values are part of the ledger's layout: append, never renumber.
#pragma once

#include <cstdint>

namespace warden {

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

// Of AllocationKind::kKernel.
enum class KernelKind : std::uint8_t { kApplication = 0, kFabric = 1, kDispatch = 2 };
inline constexpr std::uint32_t kKernelKinds = 3;

// Count and bytes modulo 2^64.
struct AllocationSum {
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;
};

}  // namespace warden
