// SPDX-License-Identifier: Apache-2.0
// Ledgers and the doorbell: making them, checking them, and the few words that move in them.
#include "shm/ledger.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

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
  if (header.magic != kLedgerMagic || header.version != kLedgerVersion || header.total_bytes != kLedgerBytes) {
    return fail(Code::kProtocol, "ledger: wrong magic, version or size");
  }
  return {};
}

Result<ipc::mapped_region> map_checked(const Memory& memory, std::size_t size_bytes, ipc::mode_t mode) {
  if (auto ok = memory.check(size_bytes, kFixedSize); !ok) return std::unexpected(std::move(ok).error());
  return memory.map(mode);
}

}  // namespace

LedgerReader::LedgerReader(Memory memory, ipc::mapped_region region) noexcept
    : memory_(std::move(memory)), region_(std::move(region)) {}

Result<LedgerReader> LedgerReader::create(std::uint64_t session_id) {
  LedgerHeader header{};
  header.magic = kLedgerMagic;
  header.version = kLedgerVersion;
  header.header_bytes = sizeof(LedgerHeader);
  header.total_bytes = kLedgerBytes;
  header.session_id = session_id;
  auto memory = create_with("warden-ledger", kLedgerBytes, header);
  if (!memory) return std::unexpected(std::move(memory).error());
  auto region = memory->map(ipc::read_only);
  if (!region) return wrap(std::move(region).error(), "ledger");
  return LedgerReader(std::move(*memory), std::move(*region));
}

Result<LedgerReader> LedgerReader::adopt(UniqueFd fd) {
  Memory memory(std::move(fd));
  auto region = map_checked(memory, kLedgerBytes, ipc::read_only);
  if (!region) return wrap(std::move(region).error(), "ledger");
  if (auto ok = check_ledger(ledger_of(*region)); !ok) return std::unexpected(std::move(ok).error());
  return LedgerReader(std::move(memory), std::move(*region));
}

std::uint64_t LedgerReader::acknowledged_reset_id() const noexcept {
  return ledger_of(region_).acknowledged_reset_id.load(std::memory_order_acquire);  // sync: ledger.acknowledged
}

LedgerWriter::LedgerWriter(Memory memory, ipc::mapped_region region) noexcept
    : memory_(std::move(memory)), region_(std::move(region)) {}

Result<LedgerWriter> LedgerWriter::open(UniqueFd fd, std::uint64_t session_id) {
  Memory memory(std::move(fd));
  auto region = map_checked(memory, kLedgerBytes, ipc::read_write);
  if (!region) return wrap(std::move(region).error(), "ledger");
  if (auto ok = check_ledger(ledger_of(*region)); !ok) return std::unexpected(std::move(ok).error());
  if (ledger_of(*region).session_id != session_id) return fail(Code::kProtocol, "ledger: of another session");
  // A forked child is not this session: it must not be able to answer for it.
  if (::madvise(region->get_address(), region->get_size(), MADV_DONTFORK) != 0) {
    return fail_errno("ledger: madvise(MADV_DONTFORK)");
  }
  return LedgerWriter(std::move(memory), std::move(*region));
}

void LedgerWriter::acknowledge(std::uint64_t reset_id) noexcept {
  auto& header = *static_cast<LedgerHeader*>(region_.get_address());
  header.acknowledged_reset_id.store(reset_id, std::memory_order_release);  // sync: ledger.acknowledged
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
