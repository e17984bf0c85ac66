// SPDX-License-Identifier: Apache-2.0
// Reading an allocation table whose writer may be dead, at work, or lying.
#include "shm/allocation_reader.h"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>

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

struct SideCopy {
  std::uint64_t count;
  std::array<std::uint64_t, 2> bytes;
};
struct CellCopy {
  SideCopy recorded, released;
  std::array<std::uint64_t, 2> reserved;
};
static_assert(sizeof(CellCopy) == sizeof(AllocationCell));

struct ShardCopy {
  std::uint64_t head, tail, device_mask;
  std::array<std::uint64_t, 5> reserved;
};
static_assert(sizeof(ShardCopy) == sizeof(AllocationShard));
using ShardCopies = std::array<ShardCopy, kShardCount>;

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

Result<Pending> read_pending(int fd, std::uint32_t index, const ShardCopy& shard) {
  std::array<std::uint32_t, kShardFreeRecords> free;  // NOLINT(cppcoreguidelines-pro-type-member-init): read into
  if (auto ok = read_at(fd, free.data(), sizeof(free), offset_of_block(index)); !ok) {
    return std::unexpected(std::move(ok).error());
  }
  // A number that no record has is nonsense: the cells are taken as they are.
  return Pending{.recording = std::min(free[free_place(shard.head)], Pending::kNone),
                 .releasing = std::min(free[free_place(shard.tail)], Pending::kNone)};
}

Status read_record(int fd, std::uint32_t record, RecordCopy& copy) {
  copy = {};
  if (record == Pending::kNone) return {};
  return read_at(fd, &copy, sizeof(copy), offset_of_record(record));
}

// An operation that has happened, whether or not its cell says so yet.
struct Happened {
  std::uint32_t cell = kCellsPerShard;  // none
  std::uint64_t parity = 0;             // of the count after it

  Happened(const RecordCopy& record, std::uint64_t state_without_parity) {
    if ((record.state & ~kStateParity) != state_without_parity) return;  // sync: allocation.state
    const std::uint64_t device = record.what & 0xff;
    const std::uint64_t kind = record.what >> 8 & 0xff;
    if (device >= kDeviceCapacity || kind >= kCellsPerDevice) return;
    cell = static_cast<std::uint32_t>(device * kCellsPerDevice + kind);
    parity = record.state / kStateParity & 1;
  }
};

AllocationSum sum_of_side(const SideCopy& side, std::uint32_t cell, const Happened& happened) {
  const bool redo = happened.cell == cell && (side.count & 1) != happened.parity;
  const std::uint64_t count = side.count + (redo ? 1 : 0);  // sync: allocation.count
  return {.count = count, .bytes = side.bytes[count & 1]};
}

// Cells, and on both sides of them the records that could be under way. The client's order is bytes, state, count: a
// state that was the same both times tells which bytes were whole while the cells were copied.
struct ShardLook {
  RecordCopy recording, releasing;
  RecordCopy recording_again, releasing_again;
  std::array<CellCopy, kCellsPerShard> cells;

  [[nodiscard]] bool stood_still() const {
    return is_same(recording, recording_again) && is_same(releasing, releasing_again);
  }
};

// False: it went on meanwhile.
Result<bool> add_shard(int fd, std::uint32_t index, const ShardCopy& shard, AllocationTotals& totals) {
  ShardLook look;  // NOLINT(cppcoreguidelines-pro-type-member-init): 32 KiB, read into
  const auto pending = read_pending(fd, index, shard);
  if (!pending) return std::unexpected(pending.error());
  const auto first = static_cast<std::uint32_t>(std::countr_zero(shard.device_mask));
  const auto last = static_cast<std::uint32_t>(63 - std::countl_zero(shard.device_mask));
  const std::size_t len_bytes = std::size_t{last - first + 1} * kCellsPerDevice * sizeof(AllocationCell);
  const std::size_t offset = offset_of_block(index) + offsetof(AllocationShardBlock, cells) +
                             std::size_t{first} * kCellsPerDevice * sizeof(AllocationCell);
  auto ok = read_record(fd, pending->recording, look.recording);
  if (ok) ok = read_record(fd, pending->releasing, look.releasing);
  if (ok) ok = read_at(fd, look.cells.data(), len_bytes, offset);
  if (ok) ok = read_record(fd, pending->recording, look.recording_again);
  if (ok) ok = read_record(fd, pending->releasing, look.releasing_again);
  if (!ok) return std::unexpected(std::move(ok).error());
  const Happened recorded(look.recording_again, shard.head | 1);
  const Happened released(look.releasing_again, shard.tail);
  for (std::uint32_t device = first; device <= last; ++device) {
    for (std::uint32_t kind = 0; kind < kAllocationKinds; ++kind) {
      const std::uint32_t cell = device * kCellsPerDevice + kind;
      const CellCopy& copy = look.cells[cell - first * kCellsPerDevice];
      const AllocationSum in = sum_of_side(copy.recorded, cell, recorded);
      const AllocationSum out = sum_of_side(copy.released, cell, released);
      totals.cells[device][kind].count += in.count - out.count;
      totals.cells[device][kind].bytes += in.bytes - out.bytes;
    }
  }
  return look.stood_still();
}

Result<AllocationTotals> sum_of(int fd, const ShardCopies& shards) {
  AllocationTotals totals;
  for (std::uint32_t index = 0; index < kShardCount; ++index) {
    if (shards[index].device_mask == 0) continue;
    const auto stood_still = add_shard(fd, index, shards[index], totals);
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
  const auto device = static_cast<std::uint32_t>(copy.what & 0xff);
  const auto kind = static_cast<std::uint32_t>(copy.what >> 8 & 0xff);
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

// Two looks at a piece of the table. A record that is the same in both, every byte of it, is whole: what the first
// look found of it was there before the second began.
class TablePiece {
 public:
  static constexpr std::uint32_t kRecords = 1024;  // 64 KiB: the second look is served from the cache

  // Not filled with zeroes: that would cost as much as reading.
  TablePiece() : first_(new RecordCopy[kRecords]), second_(new RecordCopy[kRecords]) {}

  Status read(int fd, std::uint32_t begin, std::uint32_t count) {
    fd_ = fd;
    begin_ = begin;
    const std::size_t len_bytes = std::size_t{count} * sizeof(RecordCopy);
    const std::size_t offset = offset_of_record(begin);
    if (auto ok = read_at(fd, first_.get(), len_bytes, offset); !ok) return ok;
    return read_at(fd, second_.get(), len_bytes, offset);
  }

  // Nobody saw it live.
  [[nodiscard]] bool is_free(std::uint32_t place) const {
    return ((first_[place].state | second_[place].state) & 1) == 0;
  }
  // The record of the piece at this place; nothing when it changed at every look.
  Result<const RecordCopy*> whole(std::uint32_t place) {
    for (int look = 2; !is_same(first_[place], second_[place]); ++look) {
      if (look == kLooks) return nullptr;
      first_[place] = second_[place];
      if (auto ok = read_record(fd_, begin_ + place, second_[place]); !ok) return std::unexpected(ok.error());
    }
    return &first_[place];
  }

 private:
  std::unique_ptr<RecordCopy[]> first_;
  std::unique_ptr<RecordCopy[]> second_;
  int fd_ = -1;
  std::uint32_t begin_ = 0;
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
  ShardCopies before;  // NOLINT(cppcoreguidelines-pro-type-member-init): read into
  ShardCopies after;   // NOLINT(cppcoreguidelines-pro-type-member-init): read into
  if (auto ok = read_shards(fd_, before); !ok) return std::unexpected(std::move(ok).error());
  for (int look = 1;; ++look) {
    auto totals = sum_of(fd_, before);
    if (!totals) return totals;
    if (auto ok = read_shards(fd_, after); !ok) return std::unexpected(std::move(ok).error());
    totals->settled = totals->settled && same_stamps(before, after);
    if (!totals->settled && look < kLooks) {
      before = after;
      continue;
    }
    if (auto ok = read_at(fd_, &totals->dropped, sizeof(totals->dropped), offsetof(LedgerHeader, dropped)); !ok) {
      return std::unexpected(std::move(ok).error());
    }
    drop_impossible(*totals);
    return totals;
  }
}

Result<SnapshotSummary> AllocationReader::for_each_live(const std::function<void(const Allocation&)>& visit) const {
  std::uint64_t begun = 0;  // sync: ledger.records_begun
  if (auto ok = read_at(fd_, &begun, sizeof(begun), offsetof(LedgerHeader, records_begun)); !ok) {
    return std::unexpected(std::move(ok).error());
  }
  const auto end = static_cast<std::uint32_t>(std::min<std::uint64_t>(begun, kAllocationRecords));
  SnapshotSummary summary;
  TablePiece piece;
  Allocation allocation;
  for (std::uint32_t begin = 0; begin < end; begin += TablePiece::kRecords) {
    const std::uint32_t count = std::min(end - begin, TablePiece::kRecords);
    if (auto ok = piece.read(fd_, begin, count); !ok) return std::unexpected(std::move(ok).error());
    for (std::uint32_t place = 0; place < count; ++place) {
      if (piece.is_free(place)) continue;
      const auto copy = piece.whole(place);
      if (!copy) return std::unexpected(copy.error());
      if (*copy == nullptr) {
        ++summary.moving;
      } else if (is_live(**copy)) {
        const bool is_sane = check(**copy, begin + place, allocation);
        ++(is_sane ? summary.visited : summary.damaged);
        if (is_sane) visit(allocation);
      }
    }
  }
  return summary;
}

}  // namespace warden::shm
