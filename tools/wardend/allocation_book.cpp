// SPDX-License-Identifier: Apache-2.0
// Applying requests through the journal.
#include "tools/wardend/allocation_book.h"

#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "tools/wardend/kill_point.h"

namespace warden::daemon {
namespace {

constexpr std::uint64_t kBookMagic = 0x4b4f'4f42'434f'4c41;  // "ALOCBOOK"
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

AllocationSpace space_of(AllocationMessageType type) {
  switch (type) {
    case AllocationMessageType::kCbAlloc:
    case AllocationMessageType::kCbFree: return AllocationSpace::kCb;
    case AllocationMessageType::kKernelLoad:
    case AllocationMessageType::kKernelUnload: return AllocationSpace::kKernel;
    default: return AllocationSpace::kBuffer;
  }
}

bool adds(AllocationMessageType type) {
  return type == AllocationMessageType::kAlloc || type == AllocationMessageType::kCbAlloc ||
         type == AllocationMessageType::kKernelLoad;
}

}  // namespace

// The places below `used` were written at least once.
struct AllocationBook::Header {
  std::uint64_t magic;
  std::uint32_t used;
  std::uint32_t journal_valid;
  std::uint32_t journal_place;
  std::uint32_t journal_tag;
  std::uint64_t reserved[5];
  AllocationRecord journal;
};

namespace {
constexpr std::size_t kHeaderBytes = 128;
constexpr std::size_t kBookBytes = kHeaderBytes + sizeof(AllocationRecord) * AllocationBook::kCapacity;
}  // namespace

std::uint64_t AllocationRecord::bytes() const noexcept {
  return space == static_cast<std::uint8_t>(AllocationSpace::kBuffer) ? size_bytes : size_bytes * references;
}

std::size_t AllocationBook::KeyHash::operator()(const Key& key) const noexcept {
  // Addresses end in zeros and clients choose them: every bit counts (the finaliser of splitmix64).
  std::uint64_t mix = key.buffer_id ^ (key.size_bytes << 20) ^ (static_cast<std::uint64_t>(key.device) << 52) ^
                      (static_cast<std::uint64_t>(key.space) << 62);
  mix = (mix ^ (mix >> 30)) * 0xbf58'476d'1ce4'e5b9;
  mix = (mix ^ (mix >> 27)) * 0x94d0'49bb'1331'11eb;
  return mix ^ (mix >> 31);
}

AllocationBook::Header& AllocationBook::header() const noexcept {
  static_assert(sizeof(Header) == kHeaderBytes);
  return *static_cast<Header*>(region_.get_address());
}

AllocationRecord* AllocationBook::records() const noexcept {
  return reinterpret_cast<AllocationRecord*>(static_cast<std::byte*>(region_.get_address()) + kHeaderBytes);
}

Result<AllocationBook> AllocationBook::create() {
  Result<shm::Memory> memory = shm::Memory::create("warden-allocations", kBookBytes);
  if (!memory) return std::unexpected(std::move(memory).error());
  if (Status sealed = memory->seal(kSeals); !sealed) return std::unexpected(sealed.error());
  auto region = memory->map(boost::interprocess::read_write);
  if (!region) return std::unexpected(std::move(region).error());
  AllocationBook book(std::move(*memory), std::move(*region));
  book.header().magic = kBookMagic;
  return book;
}

Result<AllocationBook> AllocationBook::adopt(UniqueFd fd, const std::function<void(std::uint32_t tag)>& mark_done) {
  shm::Memory memory(std::move(fd));
  if (Status checked = memory.check(kBookBytes, kSeals); !checked) return std::unexpected(checked.error());
  auto region = memory.map(boost::interprocess::read_write);
  if (!region) return std::unexpected(std::move(region).error());
  AllocationBook book(std::move(memory), std::move(*region));
  if (book.header().magic != kBookMagic || book.header().used > kCapacity) {
    return fail(Code::kProtocol, "memory that is no allocation book");
  }
  book.finish_journal(mark_done);
  if (Status read = book.read_all(); !read) return std::unexpected(read.error());
  return book;
}

void AllocationBook::finish_journal(const std::function<void(std::uint32_t tag)>& mark_done) {
  Header& head = header();
  if (head.journal_valid == 0 || head.journal_place >= kCapacity) return;
  records()[head.journal_place] = head.journal;
  head.used = std::max(head.used, head.journal_place + 1);
  kill_point();
  mark_done(head.journal_tag);
  kill_point();
  head.journal_valid = 0;
}

Status AllocationBook::read_all() {
  for (std::uint32_t place = 0; place < header().used; ++place) {
    const AllocationRecord& record = records()[place];
    if (record.live == 0) {
      free_places_.push_back(place);
      continue;
    }
    if (!places_.emplace(key_of(record), place).second) {
      return fail(Code::kProtocol, "an allocation book that holds one id twice");
    }
    count(record, true);
  }
  return {};
}

AllocationBook::Key AllocationBook::key_of(const AllocationRequest& request) noexcept {
  const AllocationSpace space = space_of(request.type);
  // Who frees a buffer does not say its size; circular buffers of other sizes under one id are others.
  return {request.buffer_id, space == AllocationSpace::kBuffer ? 0 : request.size_bytes, request.device, space};
}

AllocationBook::Key AllocationBook::key_of(const AllocationRecord& record) noexcept {
  const auto space = static_cast<AllocationSpace>(record.space);
  return {record.buffer_id, space == AllocationSpace::kBuffer ? 0 : record.size_bytes, record.device, space};
}

AllocationBook::Outcome AllocationBook::apply(const AllocationRequest& request, std::uint32_t tag, bool may_add,
                                              const std::function<void()>& mark_done) {
  std::uint32_t place = 0;
  AllocationRecord record{};
  const Outcome outcome = adds(request.type) ? allocate(request, may_add, place, record) : free(request, place, record);
  if (outcome == Outcome::kChanged) {
    commit(place, record, tag, mark_done);
  } else {
    mark_done();
  }
  return outcome;
}

AllocationBook::Outcome AllocationBook::allocate(const AllocationRequest& request, bool may_add, std::uint32_t& place,
                                                 AllocationRecord& record) {
  const auto known = places_.find(key_of(request));
  const bool is_new = known == places_.end();
  if (is_new) {
    if (!may_add || (free_places_.empty() && header().used == kCapacity)) return Outcome::kFull;
    place = free_places_.empty() ? header().used : free_places_.back();
    record = {.live = 1,
              .space = static_cast<std::uint8_t>(space_of(request.type)),
              .kind = static_cast<std::uint8_t>(request.kind),
              .kernel_type = static_cast<std::uint8_t>(request.kernel_type),
              .reserved0 = 0,
              .device = request.device,
              .references = 1,
              .buffer_id = request.buffer_id,
              .size_bytes = request.size_bytes,
              .timestamp = request.timestamp,
              .reported_pid = request.process_id,
              .reserved1 = 0,
              .reserved2 = {}};
  } else {
    place = known->second;
    record = records()[place];
    if (record.references >= kMaxReferences) return Outcome::kNonsense;
    ++record.references;
  }
  const std::uint64_t before_bytes = is_new ? 0 : records()[place].bytes();
  if (record.bytes() > kMaxBytes || sums_.bytes - before_bytes > kMaxBytes - record.bytes()) return Outcome::kNonsense;
  return Outcome::kChanged;
}

AllocationBook::Outcome AllocationBook::free(const AllocationRequest& request, std::uint32_t& place,
                                             AllocationRecord& record) {
  const auto known = places_.find(key_of(request));
  if (known == places_.end()) return Outcome::kUnknown;
  place = known->second;
  record = records()[place];
  if (--record.references == 0) record.live = 0;
  return Outcome::kChanged;
}

void AllocationBook::commit(std::uint32_t place, const AllocationRecord& record, std::uint32_t tag,
                            const std::function<void()>& mark_done) {
  Header& head = header();
  const bool is_used = place < head.used;
  const AllocationRecord before = is_used ? records()[place] : AllocationRecord{};
  head.journal = record;
  head.journal_place = place;
  head.journal_tag = tag;
  kill_point();
  head.journal_valid = 1;
  kill_point();
  records()[place] = record;
  if (!is_used) head.used = place + 1;
  kill_point();
  mark_done();
  kill_point();
  head.journal_valid = 0;
  kill_point();

  if (before.live != 0) count(before, false);
  if (record.live != 0) count(record, true);
  if (before.live == 0) {
    if (is_used) free_places_.pop_back();
    places_.emplace(key_of(record), place);
  } else if (record.live == 0) {
    free_places_.push_back(place);
    places_.erase(key_of(record));
  }
}

void AllocationBook::count(const AllocationRecord& record, bool add) {
  auto& kinds = sums_.bytes_by_device[record.device];
  std::uint64_t& bytes = kinds.at(record.kind);
  if (add) {
    ++sums_.records;
    sums_.bytes += record.bytes();
    bytes += record.bytes();
  } else {
    --sums_.records;
    sums_.bytes -= record.bytes();
    bytes -= record.bytes();
  }
}

std::optional<AllocationRecord> AllocationBook::next(std::uint32_t& place) const {
  while (place < header().used) {
    const AllocationRecord& record = records()[place++];
    if (record.live != 0) return record;
  }
  return std::nullopt;
}

}  // namespace warden::daemon
