// SPDX-License-Identifier: Apache-2.0
// Recording and releasing an allocation, as the stores that they are: inlined into the caller, for a call and an
// error's room in memory would cost more than the work. For AllocationLedger and wardend; nothing here is meant to be
// called.
//
// What is true for a reader when the process is killed between two of these stores:
//
//   free[tail] = record                    releasing only: names the record, as free[head] does when recording
//   record.state = stamp of this operation <- from here on it has happened
//   sum = {count + 1, bytes + size}        one store of 16 bytes: nobody is killed in the middle of it
//   head or tail += kStampStep             this operation is over
//
// Whoever finds the record at free[head] or free[tail] with that very stamp adds it to the sum, unless that is done
// already: the parity in the record's state says which count there was before. A stamp is used once in a ledger's life.
// Nothing is ever cleared. Recording and releasing count up sums of their own, so that neither waits for what the other
// has just written.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace warden::shm {

inline constexpr std::uint32_t kAllocationDevices = 64;
inline constexpr std::uint32_t kCellsPerDevice = 8;  // kinds, and room for one more
inline constexpr std::uint32_t kCellsPerShard = kAllocationDevices * kCellsPerDevice;
// So many live records a process are always possible.
inline constexpr std::uint32_t kAllocationCapacity = 1'048'576;
inline constexpr std::uint32_t kShardCount = 64;
// A thread keeps up to so many free records to itself; the table is that much larger than its capacity.
inline constexpr std::uint32_t kShardFreeRecords = 128;
inline constexpr std::uint32_t kAllocationRecords = kAllocationCapacity + kShardCount * kShardFreeRecords;
static_assert(kAllocationRecords <= 1U << 21);

struct alignas(64) AllocationRecord {
  // Bit 0: a live allocation. Bit 1: the count before the operation, modulo 2. The rest: the operation's stamp.
  std::atomic<std::uint64_t> state;  // sync: allocation.state
  std::atomic<std::uint64_t> address;
  std::atomic<std::uint64_t> size_bytes;
  std::atomic<std::uint64_t> tag;       // the caller's own
  std::atomic<std::uint64_t> time_ns;   // when it was recorded: the directory's coarse_time_ns
  std::atomic<std::uint64_t> what;      // see pack_what()
  std::atomic<std::uint64_t> label[2];  // of a record whose `what` says that it has one; else left as it was
};
static_assert(sizeof(AllocationRecord) == 64);
static_assert(offsetof(AllocationRecord, what) == 40);

// AllocationRecord::what: cell 0-15 (device and kind), kind of kernel 16-23, labelled 24, thread id 32-63.
inline constexpr std::uint64_t kWhatLabelled = 1U << 24;
[[nodiscard]] constexpr std::uint64_t pack_what(std::uint32_t device, std::uint32_t kind, std::uint32_t kernel_kind,
                                                std::uint32_t thread_id) noexcept {
  return (std::uint64_t{device} * kCellsPerDevice + kind) | std::uint64_t{kernel_kind} << 16 |
         std::uint64_t{thread_id} << 32;
}

// What was ever recorded, or released: only ever counts up, modulo 2^64.
struct alignas(16) AllocationTally {
  std::atomic<std::uint64_t> count;  // sync: allocation.tally
  std::atomic<std::uint64_t> bytes;
};
static_assert(sizeof(AllocationTally) == 16);

// One shard, device and kind. What another thread recorded may be released here: only the sum of all shards means
// anything.
struct alignas(64) AllocationCell {
  AllocationTally recorded;
  AllocationTally released;
  std::uint64_t reserved[4];
};
static_assert(sizeof(AllocationCell) == 64);
static_assert(offsetof(AllocationCell, released) == 16);

// A stamp counts from bit 2 on; 0 is no stamp. Its lowest bits are the place in the ring, those from 58 on the shard.
inline constexpr std::uint64_t kStampStep = 4;
inline constexpr std::uint64_t kStateParity = 2;

// Where a shard's stamps begin. The parts that a ticket keeps begin differently for each shard and each writer, so that
// a ticket of another ledger of this process names nothing.
[[nodiscard]] constexpr std::uint64_t first_stamp(std::uint64_t shard, std::uint64_t writer) noexcept {
  constexpr std::uint64_t kWriters = 1023;  // then they begin anew
  return shard << 58 | shard << 37 | (writer % kWriters + 1) << 27 | kStampStep;
}

struct alignas(64) AllocationShard {
  std::atomic<std::uint64_t> head;         // the stamp of the next record. sync: allocation.head
  std::atomic<std::uint64_t> tail;         // the stamp of the next release. sync: allocation.tail
  std::atomic<std::uint64_t> device_mask;  // whose cells this shard has ever touched. sync: allocation.device_mask
  std::uint64_t reserved[5];
};
static_assert(sizeof(AllocationShard) == 64);

// A ring of free records from head to tail, and the counters.
struct alignas(64) AllocationShardBlock {
  std::array<std::atomic<std::uint32_t>, kShardFreeRecords> free;
  std::array<AllocationCell, kCellsPerShard> cells;
};
static_assert(offsetof(AllocationShardBlock, cells) == 512);
static_assert(sizeof(AllocationShardBlock) == 33'280);

[[nodiscard]] constexpr std::size_t free_place(std::uint64_t stamp) noexcept {
  return stamp / kStampStep % kShardFreeRecords;
}

// What a thread works with. Read by its own thread alone.
struct ShardView {
  std::uint64_t writer = 0;  // its number in this process; 0: none
  AllocationShard* shard = nullptr;
  AllocationShardBlock* block = nullptr;
  AllocationRecord* records = nullptr;
  const std::atomic<std::uint64_t>* clock = nullptr;
  std::uint64_t thread_bits = 0;  // the thread's id, as in AllocationRecord::what
};

// The shard that this thread used last. Without constructor or destructor, and at a place known to the linker, so that
// a look costs one load. Empty in a forked child.
[[gnu::visibility("default"), gnu::tls_model("initial-exec")]] extern constinit thread_local ShardView recent_shard;

// What identifies a live record to its writer, in one word: 21 bits of place, 43 of its state.
inline constexpr unsigned kTicketStateShift = 21;
inline constexpr std::uint64_t kTicketLive = std::uint64_t{1} << kTicketStateShift;
[[nodiscard]] constexpr std::uint64_t ticket_of(std::uint64_t record, std::uint64_t state) noexcept {
  return record | state << kTicketStateShift;
}
[[nodiscard]] constexpr std::uint32_t record_of_ticket(std::uint64_t ticket) noexcept {
  return static_cast<std::uint32_t>(ticket & (kTicketLive - 1));
}

// The first use of a device by a shard.
[[gnu::visibility("default")]] void touch_device(AllocationShard& shard, std::uint64_t device) noexcept;

// Stores before it are made before stores after it: for the instructions of this process, and in the eyes of a reader.
inline void order_stores() noexcept {
#if defined(__x86_64__)
  std::atomic_signal_fence(std::memory_order_acq_rel);  // the processor keeps stores in order by itself
#else
  std::atomic_thread_fence(std::memory_order_release);
#endif
}

// One more of so many bytes, by one store: a process is killed before or behind it. Readers that see half of it look
// again.
[[gnu::always_inline]] inline void add_to(AllocationTally& tally, std::uint64_t size_bytes) noexcept {
#if defined(__x86_64__)
  using Both [[gnu::vector_size(16), gnu::may_alias]] = unsigned long long;
  auto* const both = reinterpret_cast<volatile Both*>(&tally);
  *both = *both + Both{1, size_bytes};  // aligned, and volatile: one instruction loads, one stores
#else
  using Both [[gnu::may_alias]] = unsigned __int128;
  auto* const both = reinterpret_cast<Both*>(&tally);
  const Both count = static_cast<std::uint64_t>(*both) + 1;
  const Both bytes = static_cast<std::uint64_t>(*both >> 64) + size_bytes;
  __atomic_store_n(both, bytes << 64 | count, __ATOMIC_RELEASE);
#endif
}

// `what`: pack_what() without the thread. All but `label` are checked before. 0: this thread has no free record at
// hand.
[[nodiscard, gnu::always_inline]] inline std::uint64_t record_in(const ShardView mine, std::uint64_t what,
                                                                 std::uint64_t address, std::uint64_t size_bytes,
                                                                 std::uint64_t tag,
                                                                 const std::uint64_t* label) noexcept {
  // Relaxed loads: only this thread writes here, as to a free record; who freed that was this thread, or handed it over
  // with a mutex. Relaxed stores: nobody believes these before the state.
  AllocationShard& shard = *mine.shard;
  const std::uint64_t head = shard.head.load(std::memory_order_relaxed);
  if (head == shard.tail.load(std::memory_order_relaxed)) [[unlikely]]
    return 0;
  const std::uint32_t index = mine.block->free[free_place(head)].load(std::memory_order_relaxed);
  AllocationRecord& record = mine.records[index];
  AllocationTally& tally = mine.block->cells[what & (kCellsPerShard - 1)].recorded;
  const std::uint64_t count = tally.count.load(std::memory_order_relaxed);
  if (count == 0) [[unlikely]]
    touch_device(shard, (what & (kCellsPerShard - 1)) / kCellsPerDevice);
  const std::uint64_t state = head + (count & 1) * kStateParity + 1;
  const std::uint64_t all = what | mine.thread_bits;
  const std::uint64_t time_ns = mine.clock->load(std::memory_order_relaxed);  // a time of about now
  order_stores();
  record.address.store(address, std::memory_order_relaxed);
  record.size_bytes.store(size_bytes, std::memory_order_relaxed);
  record.tag.store(tag, std::memory_order_relaxed);
  record.time_ns.store(time_ns, std::memory_order_relaxed);
  record.what.store(label == nullptr ? all : all | kWhatLabelled, std::memory_order_relaxed);
  if (label != nullptr) [[unlikely]] {
    record.label[0].store(label[0], std::memory_order_relaxed);
    record.label[1].store(label[1], std::memory_order_relaxed);
  }
  record.state.store(state, std::memory_order_release);  // sync: allocation.state
  order_stores();
  add_to(tally, size_bytes);                                       // sync: allocation.tally
  shard.head.store(head + kStampStep, std::memory_order_release);  // sync: allocation.head
  return ticket_of(index, state);
}

enum class ReleaseResult : std::uint8_t { kDone, kNotLive, kNoRoom };

[[nodiscard, gnu::always_inline]] inline ReleaseResult release_in(const ShardView mine, std::uint64_t ticket) noexcept {
  const std::uint32_t index = record_of_ticket(ticket);
  if (index >= kAllocationRecords || (ticket & kTicketLive) == 0) [[unlikely]]
    return ReleaseResult::kNotLive;
  AllocationRecord& record = mine.records[index];
  // Acquire: another thread may have recorded it. sync: allocation.state
  if (ticket_of(index, record.state.load(std::memory_order_acquire)) != ticket) [[unlikely]]
    return ReleaseResult::kNotLive;
  // Relaxed, from here on: see record_in().
  AllocationShard& shard = *mine.shard;
  const std::uint64_t tail = shard.tail.load(std::memory_order_relaxed);
  if (tail - shard.head.load(std::memory_order_relaxed) >= kShardFreeRecords * kStampStep) [[unlikely]]
    return ReleaseResult::kNoRoom;
  const std::uint64_t cell = record.what.load(std::memory_order_relaxed) & (kCellsPerShard - 1);
  const std::uint64_t size_bytes = record.size_bytes.load(std::memory_order_relaxed);
  AllocationTally& tally = mine.block->cells[cell].released;
  const std::uint64_t count = tally.count.load(std::memory_order_relaxed);
  if (count == 0) [[unlikely]]
    touch_device(shard, cell / kCellsPerDevice);
  order_stores();
  mine.block->free[free_place(tail)].store(index, std::memory_order_relaxed);
  record.state.store(tail + (count & 1) * kStateParity, std::memory_order_release);  // sync: allocation.state
  order_stores();
  add_to(tally, size_bytes);                                       // sync: allocation.tally
  shard.tail.store(tail + kStampStep, std::memory_order_release);  // sync: allocation.tail; it may be used again
  return ReleaseResult::kDone;
}

}  // namespace warden::shm
