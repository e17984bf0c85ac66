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

struct CellCopy {
  std::array<AllocationSum, 2> versions;
  std::uint64_t active;
  std::array<std::uint64_t, 3> reserved;
};
static_assert(sizeof(CellCopy) == sizeof(AllocationCell));

struct ShardCopy {
  std::uint64_t intent, device_mask;
  std::array<std::uint64_t, 6> reserved;
};
static_assert(sizeof(ShardCopy) == sizeof(AllocationShard));
using ShardCopies = std::array<ShardCopy, kShardCount>;

Status read_at(int fd, void* to, std::size_t len_bytes, std::size_t offset_bytes) {
  const ssize_t got = ::pread(fd, to, len_bytes, static_cast<off_t>(offset_bytes));
  if (got < 0) return fail_errno("read a ledger");
  if (static_cast<std::size_t>(got) != len_bytes) return fail(Code::kProtocol, "read a ledger: it ends too early");
  return {};
}

// sync: allocation.intent, allocation.device_mask: the copies of one system call come before those of the next.
Status read_shards(int fd, ShardCopies& shards) {
  return read_at(fd, shards.data(), sizeof(shards), kShardsOffsetBytes);
}

bool same_intents(const ShardCopies& one, const ShardCopies& other) {
  return std::ranges::equal(one, other, {}, &ShardCopy::intent, &ShardCopy::intent) &&
         std::ranges::equal(one, other, {}, &ShardCopy::device_mask, &ShardCopy::device_mask);
}

// The operation of the intent has happened, whether or not its cell says so yet. sync: allocation.state
Result<bool> has_happened(int fd, const Intent& intent) {
  if (intent.record >= kAllocationRecords) return false;  // nonsense: the cells are taken as they are
  std::uint64_t state = 0;
  const std::size_t offset = kRecordsOffsetBytes + std::size_t{intent.record} * sizeof(AllocationRecord);
  if (auto ok = read_at(fd, &state, sizeof(state), offset); !ok) return std::unexpected(std::move(ok).error());
  return (state & kIntentStateMask) == intent.state;
}

// The state is read before the cells: an operation that ends in between is found in the cells.
Status add_shard(int fd, std::uint32_t index, const ShardCopy& shard, AllocationTotals& totals) {
  const Intent intent = unpack_intent(shard.intent);
  const auto happened = has_happened(fd, intent);
  if (!happened) return std::unexpected(happened.error());
  const auto first = static_cast<std::uint32_t>(std::countr_zero(shard.device_mask));
  const auto last = static_cast<std::uint32_t>(63 - std::countl_zero(shard.device_mask));
  std::array<CellCopy, kCellsPerShard> cells;  // NOLINT(cppcoreguidelines-pro-type-member-init): 32 KiB, read into
  const std::size_t first_cell = std::size_t{index} * kCellsPerShard + std::size_t{first} * kCellsPerDevice;
  const std::size_t len_bytes = std::size_t{last - first + 1} * kCellsPerDevice * sizeof(AllocationCell);
  if (auto ok = read_at(fd, cells.data(), len_bytes, kCellsOffsetBytes + first_cell * sizeof(AllocationCell)); !ok) {
    return ok;
  }
  for (std::uint32_t device = first; device <= last; ++device) {
    for (std::uint32_t kind = 0; kind < kAllocationKinds; ++kind) {
      const CellCopy& cell = cells[(device - first) * kCellsPerDevice + kind];
      const bool redo = *happened && intent.cell == device * kCellsPerDevice + kind;
      const AllocationSum& sum = cell.versions[redo ? intent.version : cell.active & 1];  // sync: allocation.active
      totals.cells[device][kind].count += sum.count;
      totals.cells[device][kind].bytes += sum.bytes;
    }
  }
  return {};
}

Result<AllocationTotals> sum_of(int fd, const ShardCopies& shards) {
  AllocationTotals totals;
  for (std::uint32_t index = 0; index < kShardCount; ++index) {
    if (shards[index].device_mask == 0) continue;
    if (auto ok = add_shard(fd, index, shards[index], totals); !ok) return std::unexpected(std::move(ok).error());
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

bool is_same(const RecordCopy& one, const RecordCopy& other) {
  return std::memcmp(&one, &other, sizeof(RecordCopy)) == 0;
}

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
                .time_ns = copy.time_ns,
                .label_bytes = copy.label};
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
    const std::size_t offset = kRecordsOffsetBytes + std::size_t{begin} * sizeof(RecordCopy);
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
      const std::size_t offset = kRecordsOffsetBytes + std::size_t{begin_ + place} * sizeof(RecordCopy);
      if (auto ok = read_at(fd_, &second_[place], sizeof(RecordCopy), offset); !ok) return std::unexpected(ok.error());
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
    totals->settled = same_intents(before, after);
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
