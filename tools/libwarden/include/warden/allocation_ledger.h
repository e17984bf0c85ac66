// SPDX-License-Identifier: Apache-2.0
// Telling Warden what this process holds on the cards, in nanoseconds, so that nothing of it outlives the process.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>

#include <warden/allocation_kind.h>
#include <warden/allocation_words.h>
#include <warden/result.h>
#include <warden/session.h>

namespace warden {

using shm::kAllocationDevices;

// Names one recorded allocation; 0 names none. Plain data; of no use in another process.
struct AllocationHandle {
  std::uint64_t value = 0;
};

struct AllocationOptions {
  std::string_view label{};                           // for listings; the first 16 bytes are kept
  KernelKind kernel_kind = KernelKind::kApplication;  // of AllocationKind::kKernel
};

// What this process holds by its own records.
struct AllocationTotals {
  std::array<std::array<AllocationSum, kAllocationKinds>, kAllocationDevices> cells{};  // [device][kind]
  std::uint64_t dropped = 0;  // not recorded, because the ledger was full
  std::uint64_t lost = 0;     // records that a restarted wardend would not take over: it knows nothing of them
  bool settled = true;        // sums of one instant; false when other threads went on all the while
  [[nodiscard]] AllocationSum all() const noexcept;
};

// The allocations of one session; all objects of one session write to the same ledger. Needs no wardend once attached:
// what is recorded while it is away is known to the next one as soon as this session has attached to it (with the next
// call that needs wardend, a listener's thread, or reattach()).
//
// Threads: any; an allocation may be released by another thread than it was recorded by. After fork() the child has no
// ledger: kDisconnected, until it makes its own session.
class AllocationLedger {
 public:
  [[nodiscard]] static Result<std::unique_ptr<AllocationLedger>> open(std::shared_ptr<Session> session);
  AllocationLedger(const AllocationLedger&) = delete;
  AllocationLedger& operator=(const AllocationLedger&) = delete;
  ~AllocationLedger();

  // `device` is its number in the device table, `tag` the caller's own. Never waits for anybody. kBusy: the ledger is
  // full (a million records); the allocation is counted as dropped. kInvalidArgument: no such device, kind or kind of
  // kernel.
  [[nodiscard]] Result<AllocationHandle> record(std::uint32_t device, AllocationKind kind, std::uint64_t address,
                                                std::uint64_t size_bytes, std::uint64_t tag,
                                                const AllocationOptions& options = {}) noexcept;
  // Once for each handle. kStale: released before, of another ledger, or lost (see AllocationTotals::lost). Releasing
  // one handle from two threads at the same time is not noticed.
  [[nodiscard]] Status release(AllocationHandle handle) noexcept;

  [[nodiscard]] Result<AllocationTotals> totals();
  // Attaches again if wardend was restarted, and hands the ledger over to it; nothing to do otherwise.
  [[nodiscard]] Status reattach();

 private:
  class Implementation;
  explicit AllocationLedger(std::unique_ptr<Implementation> implementation);
  // Everything that is not the ordinary case: a thread's first call, a batch of records to be fetched or given back, a
  // label, a forked child, and errors.
  [[nodiscard]] Result<AllocationHandle> record_seldom(std::uint32_t device, AllocationKind kind, std::uint64_t address,
                                                       std::uint64_t size_bytes, std::uint64_t tag,
                                                       const AllocationOptions& options) noexcept;
  [[nodiscard]] Status release_seldom(AllocationHandle handle) noexcept;
  // This thread has a shard of the ledger of now at hand. In a forked child it has none.
  [[nodiscard]] bool is_at_hand() const noexcept {
    return shm::recent_shard.writer == writer_now_->load(std::memory_order_acquire);  // sync: libwarden.writer
  }

  const std::unique_ptr<Implementation> implementation_;
  const std::atomic<std::uint64_t>* const writer_now_;
};

// Inlined, so that arguments stay in registers and no error's room is ever made: see <warden/allocation_words.h>.
[[gnu::always_inline]] inline Result<AllocationHandle> AllocationLedger::record(
    std::uint32_t device, AllocationKind kind, std::uint64_t address, std::uint64_t size_bytes, std::uint64_t tag,
    const AllocationOptions& options) noexcept {
  const auto kind_number = static_cast<std::uint32_t>(kind);
  const auto kernel_kind = static_cast<std::uint32_t>(options.kernel_kind);
  const bool is_ordinary = device < kAllocationDevices && kind_number < kAllocationKinds &&
                           kernel_kind < kKernelKinds && options.label.empty() && is_at_hand();
  if (is_ordinary) [[likely]] {
    const std::uint64_t what = shm::pack_what(device, kind_number, kernel_kind, 0);
    const std::uint64_t ticket = shm::record_in(shm::recent_shard, what, address, size_bytes, tag, nullptr);
    if (ticket != 0) [[likely]]
      return AllocationHandle{ticket};
  }
  const AllocationOptions copy = options;  // so that the original need not be in memory
  return record_seldom(device, kind, address, size_bytes, tag, copy);
}

[[gnu::always_inline]] inline Status AllocationLedger::release(AllocationHandle handle) noexcept {
  if (is_at_hand() && shm::release_in(shm::recent_shard, handle.value) == shm::ReleaseResult::kDone) [[likely]]
    return {};
  return release_seldom(handle);
}

}  // namespace warden
