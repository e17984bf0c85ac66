// SPDX-License-Identifier: Apache-2.0
// The two sides of a ledger's death actions.
#include "shm/death_actions.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "shm/ledger_layout.h"

namespace warden::shm {

namespace {

// Copies of what the client may be writing.
struct RecordCopy {
  std::uint64_t state, what, epoch, address;
  std::array<std::byte, kDeathActionDataBytes> data;
  bool operator==(const RecordCopy&) const = default;
};
static_assert(sizeof(RecordCopy) == sizeof(DeathActionRecord));

// A ticket: 10 bits of place, then the action's number.
constexpr unsigned kPlaceBits = 10;
static_assert(kDeathActions == 1U << kPlaceBits);

// Never used twice in a process, whichever ledger it is for: a stale ticket names nothing.
std::uint64_t next_number() noexcept {
  static constinit std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;  // only distinctness and order matter
}

Result<std::vector<RecordCopy>> copy_records(int fd) {
  std::uint64_t begun = 0;
  constexpr auto kBegunOffset = static_cast<off_t>(offsetof(LedgerHeader, death_actions_begun));
  const ssize_t got = ::pread(fd, &begun, sizeof(begun), kBegunOffset);  // sync: ledger.death_actions_begun
  if (got != static_cast<ssize_t>(sizeof(begun))) return fail_errno("read a ledger");
  std::vector<RecordCopy> copies(std::min<std::uint64_t>(begun, kDeathActions));
  const std::size_t len_bytes = copies.size() * sizeof(RecordCopy);
  const ssize_t read = ::pread(fd, copies.data(), len_bytes, kDeathActionsOffsetBytes);  // sync: death_action.state
  if (read != static_cast<ssize_t>(len_bytes)) return fail_errno("read a ledger's death actions");
  return copies;
}

bool is_possible(const RecordCopy& record) noexcept {
  const auto kind = static_cast<DeathActionKind>(record.what & 0xff);
  const std::uint64_t device = record.what >> 8 & 0xff;
  const std::uint64_t length_bytes = record.what >> 32 & 0xff;
  if (device >= kDeviceCapacity) return false;
  switch (kind) {
    case DeathActionKind::kWrite: return length_bytes > 0 && length_bytes <= kDeathActionDataBytes;
    case DeathActionKind::kWrite32:
    case DeathActionKind::kResetCores: return length_bytes == sizeof(std::uint32_t);
  }
  return false;
}

DeathAction action_of(const RecordCopy& record) noexcept {
  return {.kind = static_cast<DeathActionKind>(record.what & 0xff),
          .device = static_cast<std::uint32_t>(record.what >> 8 & 0xff),
          .x = static_cast<std::uint8_t>(record.what >> 16),
          .y = static_cast<std::uint8_t>(record.what >> 24),
          .epoch = record.epoch,
          .address = record.address,
          .length_bytes = static_cast<std::uint32_t>(record.what >> 32 & 0xff),
          .data = record.data};
}

}  // namespace

std::uint32_t DeathAction::word() const noexcept {
  std::uint32_t value = 0;
  std::memcpy(&value, data.data(), sizeof(value));
  return value;
}

DeathActionWriter::DeathActionWriter(std::byte* ledger) noexcept
    : header_(*reinterpret_cast<LedgerHeader*>(ledger)),
      records_(reinterpret_cast<DeathActionRecord*>(ledger + kDeathActionsOffsetBytes)) {}

// Relaxed loads, here and below: this process alone writes, one thread at a time.
bool DeathActionWriter::take_free_record(std::uint32_t& index) noexcept {
  if (free_count_ > 0) {
    index = free_[--free_count_];
    return true;
  }
  const std::uint64_t begun = header_.death_actions_begun.load(std::memory_order_relaxed);
  if (begun >= kDeathActions) return false;
  // sync: ledger.death_actions_begun
  header_.death_actions_begun.store(begun + 1, std::memory_order_release);
  index = static_cast<std::uint32_t>(begun);
  return true;
}

std::uint64_t DeathActionWriter::add(const DeathAction& action) noexcept {
  std::uint32_t index = 0;
  if (!take_free_record(index)) return 0;
  DeathActionRecord& record = records_[index];
  const std::uint64_t what = pack_death_action(action.kind, action.device, action.x, action.y, action.length_bytes);
  // Relaxed: nobody believes these before the state. What was cleared before is seen cleared first.
  order_stores();
  record.what.store(what, std::memory_order_relaxed);
  record.epoch.store(action.epoch, std::memory_order_relaxed);
  record.address.store(action.address, std::memory_order_relaxed);
  for (std::size_t i = 0; i < record.data.size(); ++i) {
    std::uint64_t word = 0;
    std::memcpy(&word, action.data.data() + i * sizeof(word), sizeof(word));
    record.data[i].store(word, std::memory_order_relaxed);
  }
  const std::uint64_t number = next_number();
  record.state.store(number, std::memory_order_release);  // sync: death_action.state
  return number << kPlaceBits | index;
}

bool DeathActionWriter::remove(std::uint64_t ticket) noexcept {
  const auto index = static_cast<std::uint32_t>(ticket & (kDeathActions - 1));
  const std::uint64_t number = ticket >> kPlaceBits;
  if (number == 0 || records_[index].state.load(std::memory_order_relaxed) != number) return false;
  give_back(index);
  return true;
}

void DeathActionWriter::remove_all() noexcept {
  const std::uint64_t begun = header_.death_actions_begun.load(std::memory_order_relaxed);
  for (std::uint32_t index = 0; index < begun; ++index) {
    if (records_[index].state.load(std::memory_order_relaxed) != 0) give_back(index);
  }
}

void DeathActionWriter::give_back(std::uint32_t index) noexcept {
  records_[index].state.store(0, std::memory_order_release);  // sync: death_action.state
  free_[free_count_++] = static_cast<std::uint16_t>(index);
}

Result<DeathActionsRead> DeathActionReader::read() const {
  const auto first = copy_records(fd_);
  if (!first) return std::unexpected(first.error());
  const auto second = copy_records(fd_);
  if (!second) return std::unexpected(second.error());
  DeathActionsRead result;
  std::vector<const RecordCopy*> found;
  for (std::size_t i = 0; i < std::min(first->size(), second->size()); ++i) {
    const RecordCopy& record = (*first)[i];
    if (record != (*second)[i]) {
      ++result.moving;
    } else if (record.state != 0 && !is_possible(record)) {
      ++result.damaged;
    } else if (record.state != 0) {
      found.push_back(&record);
    }
  }
  std::ranges::sort(found, {}, [](const RecordCopy* record) { return record->state; });
  for (const RecordCopy* record : found) result.actions.push_back(action_of(*record));
  return result;
}

Result<std::uint32_t> DeathActionReader::count() const {
  const auto copies = copy_records(fd_);
  if (!copies) return std::unexpected(copies.error());
  return static_cast<std::uint32_t>(
      std::ranges::count_if(*copies, [](const RecordCopy& record) { return record.state != 0; }));
}

}  // namespace warden::shm
