// SPDX-License-Identifier: Apache-2.0
// Ledgers and the doorbell: making them, checking them, and the few words that move in them.
#include "shm/ledger.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "shm/directory.h"
#include "shm/futex.h"

namespace warden::shm {

namespace ipc = boost::interprocess;

namespace {

constexpr int kFixedSize = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

// Written with pwrite before anybody maps it: wardend never has a writable mapping of a ledger.
template <typename Header>
Result<Memory> create_with(const char* name, std::size_t size_bytes, const Header& header) {
  auto memory = Memory::create(name, size_bytes);
  if (!memory) return memory;
  if (::pwrite(memory->fd(), &header, sizeof(header), 0) != static_cast<ssize_t>(sizeof(header))) {
    return fail_errno(std::string("write the header of ") + name);
  }
  if (auto sealed = memory->seal(kFixedSize); !sealed) return std::unexpected(std::move(sealed).error());
  return memory;
}

const LedgerHeader& ledger_of(const ipc::mapped_region& region) noexcept {
  return *static_cast<const LedgerHeader*>(region.get_address());
}

Doorbell& doorbell_of(const ipc::mapped_region& region) noexcept {
  return *static_cast<Doorbell*>(region.get_address());
}

// The client may change these fields at any time, so that they prove only that nobody was mistaken.
Status check_ledger(const LedgerHeader& header) {
  const bool is_known = header.magic == kLedgerMagic && header.version == kLedgerVersion;
  const bool is_complete = header.header_bytes == sizeof(LedgerHeader) && header.total_bytes == kLedgerBytes;
  const bool has_places = header.shards_offset_bytes == kShardsOffsetBytes &&
                          header.blocks_offset_bytes == kBlocksOffsetBytes &&
                          header.records_offset_bytes == kRecordsOffsetBytes &&
                          header.death_actions_offset_bytes == kDeathActionsOffsetBytes;
  const bool has_counts = header.shard_count == kShardCount && header.record_count == kAllocationRecords &&
                          header.death_action_count == kDeathActions;
  if (is_known && is_complete && has_places && has_counts) return {};
  return fail(Code::kProtocol, "ledger: wrong magic, version or layout; use matching wardend and libwarden");
}

// A ledger that could not be written any more, or that lives on huge pages, is none of ours.
Status check_file(const Memory& memory) {
  if (auto ok = memory.check(kLedgerBytes, kFixedSize); !ok) return ok;
  const auto seals = memory.seals();
  if (!seals) return std::unexpected(seals.error());
  if ((*seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) != 0) {
    return fail(Code::kProtocol, "shared memory is sealed against writing (seals " + std::to_string(*seals) + ")");
  }
  struct statfs file_system{};
  if (::fstatfs(memory.fd(), &file_system) != 0) return fail_errno("fstatfs of shared memory");
  if (file_system.f_type != TMPFS_MAGIC) return fail(Code::kProtocol, "shared memory is not on ordinary pages");
  return {};
}

Result<ipc::mapped_region> map_checked(const Memory& memory, std::size_t size_bytes, ipc::mode_t mode) {
  if (auto ok = memory.check(size_bytes, kFixedSize); !ok) return std::unexpected(std::move(ok).error());
  return memory.map(mode);
}

}  // namespace

LedgerReader::LedgerReader(Memory memory, ipc::mapped_region region, Memory::FileId file_id) noexcept
    : memory_(std::move(memory)), region_(std::move(region)), file_id_(file_id) {}

Result<LedgerReader> LedgerReader::map(Memory memory) {
  auto region = memory.map(ipc::read_only, kPageBytes);
  if (!region) return wrap(std::move(region).error(), "ledger");
  const auto file_id = memory.file_id();
  if (!file_id) return wrap(file_id.error(), "ledger");
  return LedgerReader(std::move(memory), std::move(*region), *file_id);
}

Result<LedgerReader> LedgerReader::create(std::uint64_t session_id) {
  LedgerHeader header{};
  header.magic = kLedgerMagic;
  header.version = kLedgerVersion;
  header.header_bytes = sizeof(LedgerHeader);
  header.total_bytes = kLedgerBytes;
  header.session_id.store(session_id, std::memory_order_relaxed);  // nobody else sees it yet
  header.shards_offset_bytes = kShardsOffsetBytes;
  header.blocks_offset_bytes = kBlocksOffsetBytes;
  header.records_offset_bytes = kRecordsOffsetBytes;
  header.shard_count = kShardCount;
  header.record_count = kAllocationRecords;
  header.death_actions_offset_bytes = kDeathActionsOffsetBytes;
  header.death_action_count = kDeathActions;
  auto memory = create_with("warden-ledger", kLedgerBytes, header);
  if (!memory) return std::unexpected(std::move(memory).error());
  return map(std::move(*memory));
}

Result<LedgerReader> LedgerReader::adopt(UniqueFd fd) {
  Memory memory(std::move(fd));
  if (auto ok = check_file(memory); !ok) return wrap(std::move(ok).error(), "ledger");
  auto reader = map(std::move(memory));
  if (!reader) return reader;
  if (auto ok = check_ledger(ledger_of(reader->region_)); !ok) return std::unexpected(std::move(ok).error());
  return reader;
}

std::uint64_t LedgerReader::acknowledged_reset_id() const noexcept {
  return ledger_of(region_).acknowledged_reset_id.load(std::memory_order_acquire);  // sync: ledger.acknowledged
}

std::uint64_t LedgerReader::acknowledged_time_ns() const noexcept {
  // Relaxed: the id, acquired before, brought it along.
  return ledger_of(region_).acknowledged_time_ns.load(std::memory_order_relaxed);
}

LedgerWriter::LedgerWriter(Memory memory, ipc::mapped_region region) noexcept
    : memory_(std::move(memory)), region_(std::move(region)) {}

Result<LedgerWriter> LedgerWriter::open(UniqueFd fd, std::uint64_t session_id) {
  Memory memory(std::move(fd));
  auto region = map_checked(memory, kLedgerBytes, ipc::read_write);
  if (!region) return wrap(std::move(region).error(), "ledger");
  if (auto ok = check_ledger(ledger_of(*region)); !ok) return std::unexpected(std::move(ok).error());
  // Relaxed: written before the hand-over, by wardend or by this process.
  if (ledger_of(*region).session_id.load(std::memory_order_relaxed) != session_id)
    return fail(Code::kProtocol, "ledger: of another session");
  // A forked child is not this session: it must not be able to answer for it.
  if (::madvise(region->get_address(), region->get_size(), MADV_DONTFORK) != 0) {
    return fail_errno("ledger: madvise(MADV_DONTFORK)");
  }
  return LedgerWriter(std::move(memory), std::move(*region));
}

void LedgerWriter::rename(std::uint64_t session_id) noexcept {
  auto& header = *static_cast<LedgerHeader*>(region_.get_address());
  // An answer to the old wardend's resets is none to the new one's, whatever their numbers.
  header.acknowledged_reset_id.store(0, std::memory_order_release);  // sync: ledger.acknowledged
  header.session_id.store(session_id, std::memory_order_relaxed);    // for people who look into it
}

void LedgerWriter::acknowledge(std::uint64_t reset_id) noexcept {
  auto& header = *static_cast<LedgerHeader*>(region_.get_address());
  header.acknowledged_time_ns.store(boottime_ns(), std::memory_order_relaxed);  // published by the id
  header.acknowledged_reset_id.store(reset_id, std::memory_order_release);      // sync: ledger.acknowledged
}

std::uint64_t LedgerWriter::acknowledged_reset_id() const noexcept {
  return ledger_of(region_).acknowledged_reset_id.load(std::memory_order_relaxed);  // written by this process alone
}

DoorbellMemory::DoorbellMemory(Memory memory, ipc::mapped_region region) noexcept
    : memory_(std::move(memory)), region_(std::move(region)) {}

Result<DoorbellMemory> DoorbellMemory::create() {
  Doorbell doorbell{};
  doorbell.magic = kDoorbellMagic;
  doorbell.version = kDoorbellVersion;
  auto memory = create_with("warden-doorbell", kDoorbellBytes, doorbell);
  if (!memory) return std::unexpected(std::move(memory).error());
  auto region = memory->map(ipc::read_write);
  if (!region) return wrap(std::move(region).error(), "doorbell");
  return DoorbellMemory(std::move(*memory), std::move(*region));
}

Result<DoorbellMemory> DoorbellMemory::open(UniqueFd fd) {
  Memory memory(std::move(fd));
  auto region = map_checked(memory, kDoorbellBytes, ipc::read_write);
  if (!region) return wrap(std::move(region).error(), "doorbell");
  // Seals and size are all there is to check: any client may have written over the rest, and must not keep others out.
  return DoorbellMemory(std::move(memory), std::move(*region));
}

std::uint32_t DoorbellMemory::count() const noexcept {
  return doorbell_of(region_).count.load(std::memory_order_acquire);  // sync: doorbell.count
}

void DoorbellMemory::ring(std::uint32_t target) noexcept {
  Word32& word = doorbell_of(region_).count;
  const std::uint32_t sum = word.fetch_add(1, std::memory_order_acq_rel) + 1;  // sync: doorbell.count
  // At or past it: whoever rings without being asked to must not make the last one miss.
  if (static_cast<std::int32_t>(sum - target) >= 0) futex_wake_all(word);
}

void DoorbellMemory::wake() noexcept { futex_wake_all(doorbell_of(region_).count); }

void DoorbellMemory::wait(std::uint32_t seen, std::chrono::nanoseconds bound) const noexcept {
  futex_wait(doorbell_of(region_).count, seen, bound);
}

}  // namespace warden::shm
