// SPDX-License-Identifier: Apache-2.0
// The rare paths of recording: a thread's first and last call, and moving free records between threads.
#include "shm/allocation_writer.h"

#include <unistd.h>

#include <algorithm>

namespace warden::shm {

namespace {

constexpr std::uint32_t kBatch = kShardFreeRecords / 2;

std::uint64_t next_writer_number() {
  static std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;  // only distinctness matters
}

std::uint32_t thread_id_of_caller() noexcept {
  static constinit thread_local std::uint32_t id = 0;
  if (id == 0) id = static_cast<std::uint32_t>(::gettid());
  return id;
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

  [[nodiscard]] WriterShard* find(std::uint64_t number) const noexcept {
    const auto found = std::ranges::find(entries_, number, &Entry::number);
    return found == entries_.end() ? nullptr : found->shard;
  }
  void add(AllocationWriter& writer, WriterShard& shard) {
    std::erase_if(entries_, [](const Entry& entry) { return entry.writer.expired(); });
    entries_.push_back({writer.number_, writer.weak_from_this(), &shard});
  }

 private:
  struct Entry {
    std::uint64_t number;
    std::weak_ptr<AllocationWriter> writer;
    WriterShard* shard;
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
      records_(reinterpret_cast<AllocationRecord*>(ledger + kRecordsOffsetBytes)),
      clock_(clock),
      shards_(std::make_unique<std::array<WriterShard, kShardCount>>()),
      process_id_(::getpid()),
      free_records_(new std::uint32_t[kAllocationRecords]) {
  auto* const shards = reinterpret_cast<AllocationShard*>(ledger + kShardsOffsetBytes);
  auto* const cells = reinterpret_cast<AllocationCell*>(ledger + kCellsOffsetBytes);
  unused_shards_.reserve(kShardCount);
  for (std::uint32_t index = kShardCount; index-- > 0;) {
    WriterShard& shard = (*shards_)[index];
    shard.shard = shards + index;
    shard.cells = cells + std::size_t{index} * kCellsPerShard;
    if (index + 1 < kShardCount) unused_shards_.push_back(&shard);
  }
  shards_->back().shared_by = &last_shard_mutex_;
}

AllocationWriter::~AllocationWriter() = default;

void AllocationWriter::write_label(AllocationRecord& record, std::string_view label) noexcept {
  std::uint64_t words[2] = {};
  std::memcpy(words, label.data(), std::min(label.size(), sizeof(words)));
  record.label[0].store(words[0], std::memory_order_relaxed);  // as the other words that describe it
  record.label[1].store(words[1], std::memory_order_relaxed);
}

AllocationTicket AllocationWriter::record_together(WriterShard& mine, const NewAllocation& allocation) noexcept {
  const std::lock_guard lock(*mine.shared_by);
  return record_in(mine, thread_id_of_caller(), allocation);
}

bool AllocationWriter::release_together(WriterShard& mine, AllocationTicket ticket) noexcept {
  const std::lock_guard lock(*mine.shared_by);
  return release_in(mine, ticket);
}

bool AllocationWriter::fetch_free_records(WriterShard& mine) noexcept {
  const std::lock_guard lock(mutex_);
  if (free_record_count_ > 0) {
    const std::uint32_t count = std::min(free_record_count_, kBatch);
    free_record_count_ -= count;
    std::copy_n(free_records_.get() + free_record_count_, count, mine.free.begin());
    mine.free_count = count;
    return true;
  }
  // Relaxed: written under this mutex alone.
  const std::uint64_t begun = header_.records_begun.load(std::memory_order_relaxed);
  if (begun >= kAllocationRecords) {
    header_.dropped.fetch_add(1, std::memory_order_relaxed);  // a count, no more
    return false;
  }
  const auto count = static_cast<std::uint32_t>(std::min<std::uint64_t>(kAllocationRecords - begun, kBatch));
  header_.records_begun.store(begun + count, std::memory_order_release);  // sync: ledger.records_begun
  // The lowest comes first.
  for (std::uint32_t i = 0; i < count; ++i) mine.free[i] = static_cast<std::uint32_t>(begun) + count - 1 - i;
  mine.free_count = count;
  return true;
}

void AllocationWriter::give_free_records(WriterShard& mine) noexcept {
  const std::lock_guard lock(mutex_);
  // The longest unused go: the others are in this processor's cache.
  std::copy_n(mine.free.begin(), kBatch, free_records_.get() + free_record_count_);
  free_record_count_ += kBatch;
  std::copy(mine.free.begin() + kBatch, mine.free.end(), mine.free.begin());
  mine.free_count -= kBatch;
}

WriterShard& AllocationWriter::find_shard() noexcept {
  if (thread_has_ended) return shards_->back();
  WriterShard* shard = thread_shards.find(number_);
  if (shard == nullptr) {
    shard = &take_shard();
    thread_shards.add(*this, *shard);
  }
  recent_shard = {number_, shard};
  return *shard;
}

WriterShard& AllocationWriter::take_shard() noexcept {
  const std::lock_guard lock(mutex_);
  if (unused_shards_.empty()) return shards_->back();
  WriterShard& shard = *unused_shards_.back();
  unused_shards_.pop_back();
  shard.thread_id = thread_id_of_caller();
  return shard;
}

void AllocationWriter::return_shard(WriterShard& shard) noexcept {
  // A forked child has the thread's list, but not the ledger; and the mutex may be held by a thread it lacks.
  if (&shard == &shards_->back() || ::getpid() != process_id_) return;
  const std::lock_guard lock(mutex_);
  unused_shards_.push_back(&shard);
}

}  // namespace warden::shm
