// SPDX-License-Identifier: Apache-2.0
// The client's side of an allocation table: recording and releasing in a few nanoseconds, from any thread, with
// nothing locked that another process could be waiting for. Here is what happens seldom; <warden/allocation_words.h>
// has the rest.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "shm/allocation_layout.h"
#include "shm/ledger_layout.h"

namespace warden::shm {

// See ticket_of().
struct AllocationTicket {
  std::uint64_t value = 0;  // 0: none
  [[nodiscard]] explicit operator bool() const noexcept { return value != 0; }
};

[[nodiscard]] constexpr std::uint32_t record_of(AllocationTicket ticket) noexcept {
  return record_of_ticket(ticket.value);
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
  // What recent_shard says when it is a shard of this writer. Never used twice in a process.
  [[nodiscard]] std::uint64_t number() const noexcept { return number_; }

 private:
  friend class ThreadShards;
  AllocationWriter(std::byte* ledger, const Word64& clock);

  [[nodiscard]] ShardView& shard_of_this_thread() noexcept;
  [[nodiscard]] ShardView& take_shard() noexcept;
  void return_shard(ShardView& shard) noexcept;
  [[nodiscard]] AllocationTicket record_with(const ShardView& mine, const NewAllocation& allocation) noexcept;
  [[nodiscard]] bool release_with(const ShardView& mine, AllocationTicket ticket) noexcept;
  [[nodiscard]] ShardView& shard_of_all() noexcept { return shards_.back(); }
  void start_stamps(const ShardView& mine) noexcept;
  [[nodiscard]] bool fetch_free_records(const ShardView& mine) noexcept;
  void give_free_records(const ShardView& mine) noexcept;

  const std::uint64_t number_;
  LedgerHeader& header_;
  const int process_id_;
  std::array<ShardView, kShardCount> shards_{};

  std::mutex mutex_;               // of what follows
  std::mutex shard_of_all_mutex_;  // held by the threads of the last shard, which have it together
  std::vector<ShardView*> unused_shards_;
  std::unique_ptr<std::uint32_t[]> free_records_;  // room for all; pages never touched take no memory
  std::uint32_t free_record_count_ = 0;
};

}  // namespace warden::shm
