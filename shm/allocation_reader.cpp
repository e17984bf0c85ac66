// SPDX-License-Identifier: Apache-2.0
// Reading an allocation table whose writer may be dead, at work, or lying.
#include "shm/allocation_reader.h"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <vector>

#include "shm/ledger_layout.h"

namespace warden::shm {

namespace {

constexpr int kLooks = 8;  // at a client that goes on meanwhile

// Copies of what the client may be writing.
struct RecordCopy {
  std::uint64_t state, address, size_bytes, tag, time_ns, what;
  std::array<char, kAllocationLabelBytes> label;
};
static_assert(sizeof(RecordCopy) == sizeof(AllocationRecord));

struct TallyCopy {
  std::uint64_t count, bytes;
};
struct CellCopy {
  TallyCopy recorded, released;
  std::array<std::uint64_t, 4> reserved;
};
static_assert(sizeof(CellCopy) == sizeof(AllocationCell));

struct ShardCopy {
  std::uint64_t head, tail, device_mask;
  std::array<std::uint64_t, 5> reserved;
};
static_assert(sizeof(ShardCopy) == sizeof(AllocationShard));
using ShardCopies = std::array<ShardCopy, kShardCount>;

struct BlockCopy {
  std::array<std::uint32_t, kShardFreeRecords> free;
  std::array<CellCopy, kCellsPerShard> cells;
};
static_assert(sizeof(BlockCopy) == sizeof(AllocationShardBlock));

// What is said of the whole table, in one piece of the file.
struct Front {
  std::uint64_t dropped;
  std::array<std::byte, kShardsOffsetBytes - offsetof(LedgerHeader, dropped) - sizeof(Word64)> between;
  ShardCopies shards;
};
static_assert(offsetof(Front, shards) == kShardsOffsetBytes - offsetof(LedgerHeader, dropped));

constexpr std::size_t offset_of_block(std::uint32_t shard) {
  return kBlocksOffsetBytes + std::size_t{shard} * sizeof(AllocationShardBlock);
}
constexpr std::size_t offset_of_record(std::uint32_t record) {
  return kRecordsOffsetBytes + std::size_t{record} * sizeof(AllocationRecord);
}

Status read_at(int fd, void* to, std::size_t len_bytes, std::size_t offset_bytes) {
  const ssize_t got = ::pread(fd, to, len_bytes, static_cast<off_t>(offset_bytes));
  if (got < 0) return fail_errno("read a ledger");
  if (static_cast<std::size_t>(got) != len_bytes) return fail(Code::kProtocol, "read a ledger: it ends too early");
  return {};
}

// sync: allocation.head, allocation.tail, allocation.device_mask: the copies of one system call come before those of
// the next.
Status read_front(int fd, Front& front) { return read_at(fd, &front, sizeof(front), offsetof(LedgerHeader, dropped)); }
Status read_shards(int fd, ShardCopies& shards) {
  return read_at(fd, shards.data(), sizeof(shards), kShardsOffsetBytes);
}

// No operation ended in between, and at most one was under way in each shard.
bool same_stamps(const ShardCopies& one, const ShardCopies& other) {
  return std::ranges::equal(one, other, [](const ShardCopy& a, const ShardCopy& b) {
    return a.head == b.head && a.tail == b.tail && a.device_mask == b.device_mask;
  });
}

bool is_same(const RecordCopy& one, const RecordCopy& other) {
  return std::memcmp(&one, &other, sizeof(RecordCopy)) == 0;
}

// The two records with which a shard could be under way.
struct Pending {
  static constexpr std::uint32_t kNone = kAllocationRecords;
  std::uint32_t recording = kNone;
  std::uint32_t releasing = kNone;
};

// A number that no record has is nonsense: the cells are taken as they are.
Pending pending_of(const BlockCopy& block, const ShardCopy& shard) {
  return {.recording = std::min(block.free[free_place(shard.head)], Pending::kNone),
          .releasing = std::min(block.free[free_place(shard.tail)], Pending::kNone)};
}

Status read_record(int fd, std::uint32_t record, RecordCopy& copy) {
  copy = {};
  if (record == Pending::kNone) return {};
  return read_at(fd, &copy, sizeof(copy), offset_of_record(record));
}

// An operation that has happened, whether or not its cell says so yet.
struct Happened {
  std::uint64_t cell = kCellsPerShard;  // none
  std::uint64_t parity = 0;             // of the count before it
  std::uint64_t size_bytes = 0;

  Happened(const RecordCopy& record, std::uint64_t state_without_parity) {
    if ((record.state & ~kStateParity) != state_without_parity) return;  // sync: allocation.state
    cell = record.what & 0xffff;
    parity = record.state / kStateParity & 1;
    size_bytes = record.size_bytes;
  }
};

AllocationSum sum_of_tally(const TallyCopy& tally, std::uint32_t cell, const Happened& happened) {
  const bool add = happened.cell == cell && (tally.count & 1) == happened.parity;  // sync: allocation.tally
  return {.count = tally.count + (add ? 1 : 0), .bytes = tally.bytes + (add ? happened.size_bytes : 0)};
}

// Cells, then the records that could be under way, then the cells again: those that were the same both times were so
// while the records were looked at, for a tally only ever counts up.
struct ShardLook {
  BlockCopy block, again;
  RecordCopy recording, releasing;
};

// False: it went on meanwhile.
Result<bool> add_shard(int fd, std::uint32_t index, const ShardCopy& shard, bool writer_is_gone,
                       AllocationTotals& totals) {
  ShardLook look;  // NOLINT(cppcoreguidelines-pro-type-member-init): 64 KiB, read into
  const auto first = static_cast<std::uint32_t>(std::countr_zero(shard.device_mask));
  const auto last = static_cast<std::uint32_t>(63 - std::countl_zero(shard.device_mask));
  const std::size_t cells_bytes = std::size_t{last + 1} * kCellsPerDevice * sizeof(CellCopy);
  const std::size_t cells_offset = offset_of_block(index) + offsetof(BlockCopy, cells);
  auto ok = read_at(fd, &look.block, offsetof(BlockCopy, cells) + cells_bytes, offset_of_block(index));
  if (!ok) return std::unexpected(std::move(ok).error());
  const Pending pending = pending_of(look.block, shard);
  ok = read_record(fd, pending.recording, look.recording);
  if (ok) ok = read_record(fd, pending.releasing, look.releasing);
  if (ok && !writer_is_gone) ok = read_at(fd, look.again.cells.data(), cells_bytes, cells_offset);
  if (!ok) return std::unexpected(std::move(ok).error());
  const Happened recorded(look.recording, shard.head | 1);
  const Happened released(look.releasing, shard.tail);
  for (std::uint32_t device = first; device <= last; ++device) {
    for (std::uint32_t kind = 0; kind < kAllocationKinds; ++kind) {
      const std::uint32_t cell = device * kCellsPerDevice + kind;
      const AllocationSum in = sum_of_tally(look.block.cells[cell].recorded, cell, recorded);
      const AllocationSum out = sum_of_tally(look.block.cells[cell].released, cell, released);
      totals.cells[device][kind].count += in.count - out.count;
      totals.cells[device][kind].bytes += in.bytes - out.bytes;
    }
  }
  return writer_is_gone || std::memcmp(look.block.cells.data(), look.again.cells.data(), cells_bytes) == 0;
}

Result<AllocationTotals> sum_of(int fd, const ShardCopies& shards, bool writer_is_gone) {
  AllocationTotals totals;
  for (std::uint32_t index = 0; index < kShardCount; ++index) {
    if (shards[index].device_mask == 0) continue;
    const auto stood_still = add_shard(fd, index, shards[index], writer_is_gone, totals);
    if (!stood_still) return std::unexpected(stood_still.error());
    totals.settled = totals.settled && *stood_still;
  }
  return totals;
}

// No honest ledger of one instant has these. When it moves, they are a release seen without its record.
void drop_impossible(AllocationTotals& totals) {
  for (auto& device : totals.cells) {
    for (AllocationSum& sum : device) {
      const bool possible = sum.count <= kAllocationRecords && (sum.count > 0 || sum.bytes == 0);
      if (possible) continue;
      sum = {};
      totals.damaged = totals.damaged || totals.settled;
    }
  }
}

bool is_live(const RecordCopy& copy) { return (copy.state & 1) != 0; }

// A client's bytes go to terminals and logs.
char printable(char letter) {
  const bool is_plain = static_cast<unsigned char>(letter) >= ' ' && letter != '\x7f';
  return is_plain || letter == '\0' ? letter : '?';
}

// False: no client of ours wrote this.
bool check(const RecordCopy& copy, std::uint32_t index, Allocation& allocation) {
  const auto cell = static_cast<std::uint32_t>(copy.what & 0xffff);
  const std::uint32_t device = cell / kCellsPerDevice;
  const std::uint32_t kind = cell % kCellsPerDevice;
  const auto kernel_kind = static_cast<std::uint32_t>(copy.what >> 16 & 0xff);
  if (device >= kDeviceCapacity || kind >= kAllocationKinds || kernel_kind >= kKernelKinds) return false;
  allocation = {.record = index,
                .device = device,
                .kind = static_cast<AllocationKind>(kind),
                .kernel_kind = static_cast<KernelKind>(kernel_kind),
                .thread_id = static_cast<std::uint32_t>(copy.what >> 32),
                .address = copy.address,
                .size_bytes = copy.size_bytes,
                .tag = copy.tag,
                .time_ns = copy.time_ns};
  if ((copy.what & kWhatLabelled) == 0) return true;
  allocation.label_bytes = copy.label;
  if (copy.label[0] != '\0') std::ranges::transform(allocation.label_bytes, allocation.label_bytes.begin(), printable);
  return true;
}

// A piece of the table, looked at once when nothing ended in the client meanwhile: then only the records that its
// shards were about to write can be half of this and half of that. Those, or all of a client that went on, are looked
// at until two looks are the same in every byte: what the first found was there before the second began.
class TablePiece {
 public:
  static constexpr std::uint32_t kRecords = 1024;  // 64 KiB: a second look is served from the cache

  // Not filled with zeroes: that would cost as much as reading.
  explicit TablePiece(int fd) : fd_(fd), first_(std::make_unique_for_overwrite<RecordCopy[]>(kRecords)) {}

  // Before the first piece.
  Status begin() { return look_at_shards(); }

  Status read(std::uint32_t begin, std::uint32_t count) {
    begin_ = begin;
    const std::size_t len_bytes = std::size_t{count} * sizeof(RecordCopy);
    const std::size_t offset = offset_of_record(begin);
    if (auto ok = read_at(fd_, first_.get(), len_bytes, offset); !ok) return ok;
    const ShardCopies before = shards_;
    if (auto ok = read_shards(fd_, shards_); !ok) return ok;
    stood_still_ = same_stamps(before, shards_);
    if (stood_still_) return {};
    if (!second_) second_ = std::make_unique_for_overwrite<RecordCopy[]>(kRecords);
    if (auto ok = read_at(fd_, second_.get(), len_bytes, offset); !ok) return ok;
    return look_at_shards();  // whose records the next piece must not trust
  }

  // The record of the piece at this place, if one look was enough. Places only ever go up.
  [[nodiscard]] const RecordCopy* at_once(std::uint32_t place) {
    while (next_untrusted_ < untrusted_.size() && untrusted_[next_untrusted_] < begin_ + place) ++next_untrusted_;
    const bool is_untrusted = next_untrusted_ < untrusted_.size() && untrusted_[next_untrusted_] == begin_ + place;
    return stood_still_ && !is_untrusted ? &first_[place] : nullptr;
  }
  // If it was not; nothing when it changed at every look.
  Result<const RecordCopy*> whole(std::uint32_t place) {
    RecordCopy second;  // NOLINT(cppcoreguidelines-pro-type-member-init): read into
    if (stood_still_) {
      if (auto ok = read_record(fd_, begin_ + place, second); !ok) return std::unexpected(ok.error());
    } else {
      second = second_[place];
    }
    for (int look = 2; !is_same(first_[place], second); ++look) {
      if (look == kLooks) return nullptr;
      first_[place] = second;
      if (auto ok = read_record(fd_, begin_ + place, second); !ok) return std::unexpected(ok.error());
    }
    return &first_[place];
  }

 private:
  // Who records writes first and says so last.
  Status look_at_shards() {
    if (auto ok = read_shards(fd_, shards_); !ok) return ok;
    untrusted_.clear();
    next_untrusted_ = 0;
    for (std::uint32_t index = 0; index < kShardCount; ++index) {
      if (shards_[index].head == 0) continue;
      std::uint32_t record = 0;
      const std::size_t offset = offset_of_block(index) + free_place(shards_[index].head) * sizeof(record);
      if (auto ok = read_at(fd_, &record, sizeof(record), offset); !ok) return ok;
      untrusted_.push_back(record);
    }
    std::ranges::sort(untrusted_);
    return {};
  }

  int fd_;
  std::unique_ptr<RecordCopy[]> first_, second_;
  ShardCopies shards_{};
  std::vector<std::uint32_t> untrusted_;  // sorted
  std::size_t next_untrusted_ = 0;
  std::uint32_t begin_ = 0;
  bool stood_still_ = false;
};

}  // namespace

AllocationSum AllocationTotals::all() const noexcept {
  AllocationSum sum;
  for (std::uint32_t device = 0; device < kDeviceCapacity; ++device) {
    const AllocationSum more = of_device(device);
    sum.count += more.count;
    sum.bytes += more.bytes;
  }
  return sum;
}

AllocationSum AllocationTotals::of_device(std::uint32_t device) const noexcept {
  AllocationSum sum;
  for (const AllocationSum& more : cells[device]) {
    sum.count += more.count;
    sum.bytes += more.bytes;
  }
  return sum;
}

AllocationSum AllocationTotals::of_kind(AllocationKind kind) const noexcept {
  AllocationSum sum;
  for (const auto& device : cells) {
    sum.count += device[static_cast<std::size_t>(kind)].count;
    sum.bytes += device[static_cast<std::size_t>(kind)].bytes;
  }
  return sum;
}

AllocationTotals& AllocationTotals::operator+=(const AllocationTotals& other) noexcept {
  for (std::uint32_t device = 0; device < kDeviceCapacity; ++device) {
    for (std::uint32_t kind = 0; kind < kAllocationKinds; ++kind) {
      cells[device][kind].count += other.cells[device][kind].count;
      cells[device][kind].bytes += other.cells[device][kind].bytes;
    }
  }
  dropped += other.dropped;
  settled = settled && other.settled;
  damaged = damaged || other.damaged;
  return *this;
}

std::string_view Allocation::label() const noexcept {
  const auto end = std::ranges::find(label_bytes, '\0');
  return {label_bytes.data(), static_cast<std::size_t>(end - label_bytes.begin())};
}

Result<AllocationTotals> AllocationReader::totals() const {
  Front before;  // NOLINT(cppcoreguidelines-pro-type-member-init): read into
  Front after;   // NOLINT(cppcoreguidelines-pro-type-member-init): read into
  if (auto ok = read_front(fd_, before); !ok) return std::unexpected(std::move(ok).error());
  for (int look = 1;; ++look) {
    auto totals = sum_of(fd_, before.shards, false);
    if (!totals) return totals;
    if (auto ok = read_front(fd_, after); !ok) return std::unexpected(std::move(ok).error());
    totals->settled = totals->settled && same_stamps(before.shards, after.shards);
    if (!totals->settled && look < kLooks) {
      before = after;
      continue;
    }
    totals->dropped = after.dropped;
    drop_impossible(*totals);
    return totals;
  }
}

Result<AllocationTotals> AllocationReader::totals_of_gone() const {
  Front front;  // NOLINT(cppcoreguidelines-pro-type-member-init): read into
  if (auto ok = read_front(fd_, front); !ok) return std::unexpected(std::move(ok).error());
  auto totals = sum_of(fd_, front.shards, true);
  if (!totals) return totals;
  totals->dropped = front.dropped;
  drop_impossible(*totals);
  return totals;
}

Result<SnapshotSummary> AllocationReader::for_each_live(const std::function<void(const Allocation&)>& visit) const {
  std::uint64_t begun = 0;  // sync: ledger.records_begun
  if (auto ok = read_at(fd_, &begun, sizeof(begun), offsetof(LedgerHeader, records_begun)); !ok) {
    return std::unexpected(std::move(ok).error());
  }
  const auto end = static_cast<std::uint32_t>(std::min<std::uint64_t>(begun, kAllocationRecords));
  SnapshotSummary summary;
  TablePiece piece(fd_);
  if (auto ok = piece.begin(); !ok) return std::unexpected(std::move(ok).error());
  Allocation allocation;
  for (std::uint32_t begin = 0; begin < end; begin += TablePiece::kRecords) {
    const std::uint32_t count = std::min(end - begin, TablePiece::kRecords);
    if (auto ok = piece.read(begin, count); !ok) return std::unexpected(std::move(ok).error());
    for (std::uint32_t place = 0; place < count; ++place) {
      const RecordCopy* copy = piece.at_once(place);
      if (copy == nullptr) {
        const auto looked_again = piece.whole(place);
        if (!looked_again) return std::unexpected(looked_again.error());
        copy = *looked_again;
      }
      if (copy == nullptr) {
        ++summary.moving;
      } else if (is_live(*copy)) {
        const bool is_sane = check(*copy, begin + place, allocation);
        ++(is_sane ? summary.visited : summary.damaged);
        if (is_sane) visit(allocation);
      }
    }
  }
  return summary;
}

}  // namespace warden::shm
