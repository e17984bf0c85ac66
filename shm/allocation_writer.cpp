// SPDX-License-Identifier: Apache-2.0
// The rare paths of recording: a thread's first and last call, and moving free records between threads.
#include "shm/allocation_writer.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace warden::shm {

constinit thread_local ShardView recent_shard{};

namespace {

constexpr std::uint32_t kBatch = kShardFreeRecords / 2;

std::uint64_t next_writer_number() {
  static std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;  // only distinctness matters
}

std::uint64_t thread_bits_of_caller() noexcept {
  static constinit thread_local std::uint32_t id = 0;
  if (id == 0) id = static_cast<std::uint32_t>(::gettid());
  return pack_what(0, 0, 0, id);
}

// This thread's end has come so far that its shards are gone: what still records then uses the shard of all.
constinit thread_local bool thread_has_ended = false;

}  // namespace

// The shards that this thread holds, one for each writer it has used; given back when the thread ends.
class ThreadShards {
 public:
  ThreadShards() = default;
  ThreadShards(const ThreadShards&) = delete;
  ThreadShards& operator=(const ThreadShards&) = delete;
  ~ThreadShards() {
    thread_has_ended = true;
    recent_shard = {};
    for (Entry& entry : entries_) {
      if (const auto writer = entry.writer.lock()) writer->return_shard(*entry.shard);
    }
  }

  [[nodiscard]] ShardView* find(std::uint64_t number) const noexcept {
    const auto found = std::ranges::find(entries_, number, &Entry::number);
    return found == entries_.end() ? nullptr : found->shard;
  }
  void add(AllocationWriter& writer, ShardView& shard) {
    std::erase_if(entries_, [](const Entry& entry) { return entry.writer.expired(); });
    entries_.push_back({writer.number_, writer.weak_from_this(), &shard});
  }

 private:
  struct Entry {
    std::uint64_t number;
    std::weak_ptr<AllocationWriter> writer;
    ShardView* shard;
  };
  std::vector<Entry> entries_;
};

namespace {
thread_local ThreadShards thread_shards;
}

std::shared_ptr<AllocationWriter> AllocationWriter::create(std::byte* ledger, const Word64& clock) {
  return std::shared_ptr<AllocationWriter>(new AllocationWriter(ledger, clock));
}

AllocationWriter::AllocationWriter(std::byte* ledger, const Word64& clock)
    : number_(next_writer_number()),
      header_(*reinterpret_cast<LedgerHeader*>(ledger)),
      process_id_(::getpid()),
      free_records_(new std::uint32_t[kAllocationRecords]) {
  unused_shards_.reserve(kShardCount);
  for (std::uint32_t index = kShardCount; index-- > 0;) {
    shards_[index] = {.writer = number_,
                      .shard = reinterpret_cast<AllocationShard*>(ledger + kShardsOffsetBytes) + index,
                      .block = reinterpret_cast<AllocationShardBlock*>(ledger + kBlocksOffsetBytes) + index,
                      .records = reinterpret_cast<AllocationRecord*>(ledger + kRecordsOffsetBytes),
                      .clock = &clock};
    if (index + 1 < kShardCount) unused_shards_.push_back(&shards_[index]);
  }
}

AllocationWriter::~AllocationWriter() = default;

void touch_device(AllocationShard& shard, std::uint64_t device) noexcept {
  const std::uint64_t mask = shard.device_mask.load(std::memory_order_relaxed);  // written by this thread alone
  // sync: allocation.device_mask
  shard.device_mask.store(mask | std::uint64_t{1} << device, std::memory_order_release);
}

// Before a shard's first operation. Relaxed: its own threads write here, nobody looks before device_mask.
void AllocationWriter::start_stamps(const ShardView& mine) noexcept {
  if (mine.shard->head.load(std::memory_order_relaxed) != 0) return;
  const std::uint64_t first = first_stamp(static_cast<std::uint64_t>(&mine - shards_.data()), number_);
  mine.shard->tail.store(first, std::memory_order_relaxed);
  mine.shard->head.store(first, std::memory_order_relaxed);
}

AllocationTicket AllocationWriter::record(const NewAllocation& allocation) noexcept {
  const ShardView& mine = shard_of_this_thread();
  if (&mine != &shard_of_all()) return record_with(mine, allocation);
  const std::lock_guard lock(shard_of_all_mutex_);
  start_stamps(mine);
  ShardView view = mine;
  view.thread_bits = thread_bits_of_caller();
  return record_with(view, allocation);
}

bool AllocationWriter::release(AllocationTicket ticket) noexcept {
  const ShardView& mine = shard_of_this_thread();
  if (&mine != &shard_of_all()) return release_with(mine, ticket);
  const std::lock_guard lock(shard_of_all_mutex_);
  start_stamps(mine);
  return release_with(mine, ticket);
}

AllocationTicket AllocationWriter::record_with(const ShardView& mine, const NewAllocation& allocation) noexcept {
  std::uint64_t label[kAllocationLabelBytes / sizeof(std::uint64_t)] = {};
  allocation.label.copy(reinterpret_cast<char*>(label), sizeof(label));
  const std::uint64_t what = pack_what(allocation.device, static_cast<std::uint32_t>(allocation.kind),
                                       static_cast<std::uint32_t>(allocation.kernel_kind), 0);
  while (true) {
    const std::uint64_t ticket = record_in(mine, what, allocation.address, allocation.size_bytes, allocation.tag,
                                           allocation.label.empty() ? nullptr : label);
    if (ticket != 0 || !fetch_free_records(mine)) return {ticket};
  }
}

bool AllocationWriter::release_with(const ShardView& mine, AllocationTicket ticket) noexcept {
  while (true) {
    const ReleaseResult result = release_in(mine, ticket.value);
    if (result != ReleaseResult::kNoRoom) return result == ReleaseResult::kDone;
    give_free_records(mine);
  }
}

bool AllocationWriter::fetch_free_records(const ShardView& mine) noexcept {
  const std::lock_guard lock(mutex_);
  // Relaxed: `begun` is written under this mutex alone, the ring by this thread.
  const std::uint64_t begun = header_.records_begun.load(std::memory_order_relaxed);
  const std::uint64_t tail = mine.shard->tail.load(std::memory_order_relaxed);
  const auto put = [&](std::uint32_t place, std::uint32_t record) {
    mine.block->free[free_place(tail + place * kStampStep)].store(record, std::memory_order_relaxed);
  };
  std::uint32_t count = 0;
  if (free_record_count_ > 0) {
    count = std::min(free_record_count_, kBatch);
    free_record_count_ -= count;
    for (std::uint32_t i = 0; i < count; ++i) put(i, free_records_[free_record_count_ + i]);
  } else if (begun < kAllocationRecords) {
    count = static_cast<std::uint32_t>(std::min<std::uint64_t>(kAllocationRecords - begun, kBatch));
    header_.records_begun.store(begun + count, std::memory_order_release);  // sync: ledger.records_begun
    for (std::uint32_t i = 0; i < count; ++i) put(i, static_cast<std::uint32_t>(begun) + i);
  } else {
    header_.dropped.fetch_add(1, std::memory_order_relaxed);  // a count, no more
    return false;
  }
  mine.shard->tail.store(tail + count * kStampStep, std::memory_order_release);  // sync: allocation.tail
  return true;
}

void AllocationWriter::give_free_records(const ShardView& mine) noexcept {
  const std::lock_guard lock(mutex_);
  // The longest unused go: the others are in this processor's cache. Relaxed: this thread's own.
  const std::uint64_t head = mine.shard->head.load(std::memory_order_relaxed);
  for (std::uint64_t i = 0; i < kBatch; ++i) {
    free_records_[free_record_count_++] =
        mine.block->free[free_place(head + i * kStampStep)].load(std::memory_order_relaxed);
  }
  mine.shard->head.store(head + kBatch * kStampStep, std::memory_order_release);  // sync: allocation.head
}

ShardView& AllocationWriter::shard_of_this_thread() noexcept {
  if (recent_shard.writer == number_) return recent_shard;
  ShardView* shard = thread_has_ended ? &shard_of_all() : thread_shards.find(number_);
  if (shard == nullptr) {
    shard = &take_shard();
    thread_shards.add(*this, *shard);
  }
  // The shard of all is only used behind its mutex, which who looks at recent_shard doesn't know of.
  if (shard != &shard_of_all()) recent_shard = *shard;
  return *shard;
}

ShardView& AllocationWriter::take_shard() noexcept {
  const std::lock_guard lock(mutex_);
  if (unused_shards_.empty()) return shard_of_all();
  ShardView& shard = *unused_shards_.back();
  unused_shards_.pop_back();
  shard.thread_bits = thread_bits_of_caller();
  start_stamps(shard);
  return shard;
}

void AllocationWriter::return_shard(ShardView& shard) noexcept {
  // A forked child has the thread's list, but not the ledger; and the mutex may be held by a thread it lacks.
  if (&shard == &shard_of_all() || ::getpid() != process_id_) return;
  const std::lock_guard lock(mutex_);
  unused_shards_.push_back(&shard);
}

}  // namespace warden::shm
