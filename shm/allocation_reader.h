// SPDX-License-Identifier: Apache-2.0
// wardend's side of an allocation table: sums and records of one client, alive or dead.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string_view>

#include <warden/result.h>

#include "shm/allocation_layout.h"

namespace warden::shm {

// What one client holds, or several added up.
struct AllocationTotals {
  std::array<std::array<AllocationSum, kAllocationKinds>, kDeviceCapacity> cells{};  // [device][kind]
  std::uint64_t dropped = 0;  // allocations the client could not record: the sums are too low by these
  bool settled = true;        // all sums are of one instant; false: the client went on all the while
  bool damaged = false;       // something in it cannot be: those cells count as empty

  [[nodiscard]] AllocationSum all() const noexcept;
  [[nodiscard]] AllocationSum of_device(std::uint32_t device) const noexcept;
  [[nodiscard]] AllocationSum of_kind(AllocationKind kind) const noexcept;
  AllocationTotals& operator+=(const AllocationTotals& other) noexcept;
};

// A checked copy of one live record.
struct Allocation {
  std::uint32_t record = 0;  // its place in the table
  std::uint32_t device = 0;  // < kDeviceCapacity
  AllocationKind kind{};
  KernelKind kernel_kind{};
  std::uint32_t thread_id = 0;  // as the client sees itself
  std::uint64_t address = 0;
  std::uint64_t size_bytes = 0;
  std::uint64_t tag = 0;
  std::uint64_t time_ns = 0;                              // CLOCK_BOOTTIME, coarse
  std::array<char, kAllocationLabelBytes> label_bytes{};  // printable, NUL-padded
  [[nodiscard]] std::string_view label() const noexcept;
};

struct SnapshotSummary {
  std::uint64_t visited = 0;
  std::uint64_t moving = 0;   // records that changed each time they were looked at, and were left out
  std::uint64_t damaged = 0;  // records that cannot be, and were left out
};

// Reads with pread alone: what the client punched out or never wrote reads as zeroes, without a page being made for
// it. Borrows the descriptor; cheap to make and to copy. Threads: any.
//
// Of a dead client everything is exact, wherever it was killed. Of a live one: totals() are those of one instant when
// `settled`; else the client went on through several looks, and a sum may be off by what was done during the last of
// them. for_each_live() shows only records that did not change between two looks, and those that were live throughout
// are all among them.
class AllocationReader {
 public:
  explicit AllocationReader(int ledger_fd) noexcept : fd_(ledger_fd) {}

  // The same cost for one record as for a million.
  [[nodiscard]] Result<AllocationTotals> totals() const;
  // The same, in fewer looks, of a client of which no thread runs any more.
  [[nodiscard]] Result<AllocationTotals> totals_of_gone() const;
  // In the order of the table. Costs by the most records that were ever live at once.
  [[nodiscard]] Result<SnapshotSummary> for_each_live(const std::function<void(const Allocation&)>& visit) const;

 private:
  int fd_;
};

}  // namespace warden::shm
