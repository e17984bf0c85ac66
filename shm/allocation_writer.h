// SPDX-License-Identifier: Apache-2.0
// The client's side of an allocation table: recording and releasing in a few nanoseconds, from any thread, with
// nothing locked that another process could be waiting for.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "shm/allocation_layout.h"
#include "shm/ledger_layout.h"

namespace warden::shm {

class AllocationWriter;

// What identifies a record to its writer, in one word: 21 bits of place, 33 of its state while it is this allocation,
// 10 of the writer's number. Words are handed on in registers; more would be written to memory and read back in pieces
// that the processor can't forward.
struct AllocationTicket {
  std::uint64_t value = 0;  // 0: none
  [[nodiscard]] explicit operator bool() const noexcept { return value != 0; }
};

[[nodiscard]] constexpr AllocationTicket make_ticket(std::uint32_t record, std::uint64_t state,
                                                     std::uint64_t writer) noexcept {
  return {std::uint64_t{record} | (state & kIntentStateMask) << 21 | writer << 54};
}
[[nodiscard]] constexpr std::uint32_t record_of(AllocationTicket ticket) noexcept {
  return static_cast<std::uint32_t>(ticket.value & 0x1f'ffff);
}

struct NewAllocation {
  std::uint32_t device = 0;  // < kDeviceCapacity
  AllocationKind kind{};
  KernelKind kernel_kind{};
  std::uint64_t address = 0;
  std::uint64_t size_bytes = 0;
  std::uint64_t tag = 0;
  std::string_view label{};  // cut to kAllocationLabelBytes
};

// A thread's shard, with what of it need not be shared.
struct alignas(64) WriterShard {
  AllocationShard* shard = nullptr;
  AllocationCell* cells = nullptr;
  std::mutex* shared_by = nullptr;  // held by the threads of the last shard, which have it together
  std::uint32_t thread_id = 0;
  std::uint32_t free_count = 0;
  std::array<std::uint32_t, kShardFreeRecords> free{};
};

// The shard that this thread used last. Without constructor or destructor, so that a look costs one load.
struct RecentShard {
  std::uint64_t writer = 0;
  WriterShard* shard = nullptr;
};
inline constinit thread_local RecentShard recent_shard{};

// Owner: whoever holds the ledger's mapping, which must outlive all calls. Threads: any. Never in a forked child: the
// mapping is not there.
class AllocationWriter : public std::enable_shared_from_this<AllocationWriter> {
 public:
  // `clock`: the coarse time that records get.
  [[nodiscard]] static std::shared_ptr<AllocationWriter> create(std::byte* ledger, const Word64& clock);
  AllocationWriter(const AllocationWriter&) = delete;
  AllocationWriter& operator=(const AllocationWriter&) = delete;
  ~AllocationWriter();

  // None: the table is full, and the allocation was counted as dropped.
  [[nodiscard]] AllocationTicket record(const NewAllocation& allocation) noexcept;
  // False: released before, or never given out by this writer.
  [[nodiscard]] bool release(AllocationTicket ticket) noexcept;

 private:
  friend class ThreadShards;
  AllocationWriter(std::byte* ledger, const Word64& clock);

  [[nodiscard]] WriterShard& shard_of_this_thread() noexcept {
    if (recent_shard.writer == number_) [[likely]]
      return *recent_shard.shard;
    return find_shard();
  }
  [[nodiscard]] AllocationTicket record_in(WriterShard& mine, std::uint32_t thread_id,
                                           const NewAllocation& allocation) noexcept;
  [[nodiscard]] bool release_in(WriterShard& mine, AllocationTicket ticket) noexcept;
  // The shard has something to say about this device.
  static void touch(WriterShard& mine, std::uint32_t device) noexcept {
    const std::uint64_t bit = std::uint64_t{1} << device;
    const std::uint64_t mask = mine.shard->device_mask.load(std::memory_order_relaxed);  // written by this thread alone
    if ((mask & bit) != 0) [[likely]]
      return;
    mine.shard->device_mask.store(mask | bit, std::memory_order_release);  // sync: allocation.device_mask
  }
  // The four steps of allocation_layout.h.
  static void apply(WriterShard& mine, std::uint32_t cell_index, AllocationRecord& record, std::uint32_t record_index,
                    std::uint64_t next_state, std::uint64_t count_delta, std::uint64_t bytes_delta) noexcept;
  static void describe(AllocationRecord& record, const NewAllocation& allocation, std::uint32_t thread_id,
                       std::uint64_t time_ns) noexcept;

  // The rare paths.
  static void write_label(AllocationRecord& record, std::string_view label) noexcept;
  [[nodiscard]] AllocationTicket record_together(WriterShard& mine, const NewAllocation& allocation) noexcept;
  [[nodiscard]] bool release_together(WriterShard& mine, AllocationTicket ticket) noexcept;
  [[nodiscard]] bool fetch_free_records(WriterShard& mine) noexcept;
  void give_free_records(WriterShard& mine) noexcept;
  [[nodiscard]] WriterShard& find_shard() noexcept;
  [[nodiscard]] WriterShard& take_shard() noexcept;
  void return_shard(WriterShard& shard) noexcept;

  const std::uint64_t number_;  // of this process's writers; never used twice
  LedgerHeader& header_;
  AllocationRecord* const records_;
  const Word64& clock_;
  std::unique_ptr<std::array<WriterShard, kShardCount>> shards_;
  const int process_id_;

  std::mutex mutex_;  // of what follows
  std::mutex last_shard_mutex_;
  std::vector<WriterShard*> unused_shards_;
  std::unique_ptr<std::uint32_t[]> free_records_;  // room for all; pages never touched take no memory
  std::uint32_t free_record_count_ = 0;
};

// All of the way from a call to its last store is inlined into the caller: what is passed in registers is not written
// to memory first. Each of these stores costs as much as one of the record's.

// Stores before it are made before stores after it: for the instructions of this process, and in the eyes of a reader.
inline void order_stores() noexcept {
#if defined(__x86_64__)
  std::atomic_signal_fence(std::memory_order_acq_rel);  // the processor keeps stores in order by itself
#else
  std::atomic_thread_fence(std::memory_order_release);
#endif
}

[[gnu::always_inline]] inline void AllocationWriter::apply(WriterShard& mine, std::uint32_t cell_index,
                                                           AllocationRecord& record, std::uint32_t record_index,
                                                           std::uint64_t next_state, std::uint64_t count_delta,
                                                           std::uint64_t bytes_delta) noexcept {
  // Relaxed loads: only this thread writes here. Relaxed stores: nobody looks at the other version before the intent.
  AllocationCell& cell = mine.cells[cell_index];
  const std::uint64_t before = cell.active.load(std::memory_order_relaxed) & 1;
  const std::uint64_t after = before ^ 1;
  const CellVersion& from = cell.versions[before];
  CellVersion& to = cell.versions[after];
  to.count.store(from.count.load(std::memory_order_relaxed) + count_delta, std::memory_order_relaxed);
  to.bytes.store(from.bytes.load(std::memory_order_relaxed) + bytes_delta, std::memory_order_relaxed);
  const std::uint64_t intent = pack({cell_index, static_cast<std::uint32_t>(after), record_index, next_state});
  mine.shard->intent.store(intent, std::memory_order_release);  // sync: allocation.intent
  record.state.store(next_state, std::memory_order_release);    // sync: allocation.state
  cell.active.store(after, std::memory_order_release);          // sync: allocation.active
}

[[gnu::always_inline]] inline void AllocationWriter::describe(AllocationRecord& record, const NewAllocation& allocation,
                                                              std::uint32_t thread_id, std::uint64_t time_ns) noexcept {
  // Relaxed: nobody believes these before the state is odd.
  record.address.store(allocation.address, std::memory_order_relaxed);
  record.size_bytes.store(allocation.size_bytes, std::memory_order_relaxed);
  record.tag.store(allocation.tag, std::memory_order_relaxed);
  record.time_ns.store(time_ns, std::memory_order_relaxed);
  record.what.store(pack_what(allocation.device, allocation.kind, allocation.kernel_kind, thread_id),
                    std::memory_order_relaxed);
  record.label[0].store(0, std::memory_order_relaxed);
  record.label[1].store(0, std::memory_order_relaxed);
  if (!allocation.label.empty()) [[unlikely]]
    write_label(record, allocation.label);
}

[[gnu::always_inline]] inline AllocationTicket AllocationWriter::record_in(WriterShard& mine, std::uint32_t thread_id,
                                                                           const NewAllocation& allocation) noexcept {
  if (mine.free_count == 0 && !fetch_free_records(mine)) [[unlikely]]
    return {};
  touch(mine, allocation.device);
  const std::uint32_t index = mine.free[--mine.free_count];
  AllocationRecord& record = records_[index];
  // Relaxed: a free record is this thread's alone; who freed it handed it over with a mutex or was this thread.
  const std::uint64_t state = record.state.load(std::memory_order_relaxed) + 1;
  order_stores();
  describe(record, allocation, thread_id, clock_.load(std::memory_order_relaxed));  // a time of about now
  const std::uint32_t cell = allocation.device * kCellsPerDevice + static_cast<std::uint32_t>(allocation.kind);
  apply(mine, cell, record, index, state, 1, allocation.size_bytes);
  return make_ticket(index, state, number_);
}

[[gnu::always_inline]] inline bool AllocationWriter::release_in(WriterShard& mine, AllocationTicket ticket) noexcept {
  const std::uint32_t index = record_of(ticket);
  if (index >= kAllocationRecords) [[unlikely]]
    return false;
  AllocationRecord& record = records_[index];
  // Acquire: another thread may have recorded it. sync: allocation.state
  const std::uint64_t state = record.state.load(std::memory_order_acquire);
  const bool is_live = make_ticket(index, state, number_).value == ticket.value && (state & 1) != 0;
  if (!is_live) [[unlikely]]
    return false;
  if (mine.free_count == kShardFreeRecords) [[unlikely]]
    give_free_records(mine);
  const std::uint64_t what = record.what.load(std::memory_order_relaxed);  // of the state above, as is the size
  const auto device = static_cast<std::uint32_t>(what & (kDeviceCapacity - 1));
  const auto kind = static_cast<std::uint32_t>(what >> 8 & (kCellsPerDevice - 1));
  touch(mine, device);
  order_stores();
  apply(mine, device * kCellsPerDevice + kind, record, index, state + 1, ~std::uint64_t{0},
        -record.size_bytes.load(std::memory_order_relaxed));
  mine.free[mine.free_count++] = index;  // now, and not before, it may become another allocation
  return true;
}

[[gnu::always_inline]] inline AllocationTicket AllocationWriter::record(const NewAllocation& allocation) noexcept {
  WriterShard& mine = shard_of_this_thread();
  if (mine.shared_by != nullptr) [[unlikely]] {
    const NewAllocation copy = allocation;  // so that the original need not be in memory
    return record_together(mine, copy);
  }
  return record_in(mine, mine.thread_id, allocation);
}

[[gnu::always_inline]] inline bool AllocationWriter::release(AllocationTicket ticket) noexcept {
  WriterShard& mine = shard_of_this_thread();
  if (mine.shared_by != nullptr) [[unlikely]]
    return release_together(mine, ticket);
  return release_in(mine, ticket);
}

}  // namespace warden::shm
