// SPDX-License-Identifier: Apache-2.0
// A client's side of the directory: checking what was handed over, and following its events.
#include <fcntl.h>

#include <cassert>
#include <cstring>

#include "shm/directory.h"
#include "shm/event_words.h"
#include "shm/futex.h"
#include "shm/prefetch.h"

namespace warden::shm {

namespace ipc = boost::interprocess;

namespace {

// Without the seals the rest of a check would mean nothing a moment later.
constexpr int kNeededSeals = F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
constexpr std::uint64_t kLargestDirectoryBytes = 64 * 1024 * 1024;

Status check_place(const TablePlace& place, const char* name, std::uint32_t count, std::uint32_t record_bytes,
                   std::uint64_t total_bytes) {
  const bool right_shape = place.count == count && place.record_bytes == record_bytes;
  const bool aligned = place.offset_bytes % 64 == 0 && place.offset_bytes >= sizeof(DirectoryHeader);
  const std::uint64_t table_bytes = std::uint64_t{count} * record_bytes;
  const bool inside = place.offset_bytes <= total_bytes && total_bytes - place.offset_bytes >= table_bytes;
  if (right_shape && aligned && inside) return {};
  return fail(Code::kProtocol, std::string("directory: table of ") + name + " is " + std::to_string(place.count) +
                                   " records of " + std::to_string(place.record_bytes) + " bytes at " +
                                   std::to_string(place.offset_bytes) + " of " + std::to_string(total_bytes));
}

Status check_header(const DirectoryHeader& header, std::uint64_t size_bytes) {
  if (header.magic != kDirectoryMagic) return fail(Code::kProtocol, "directory: wrong magic");
  if (header.version != kDirectoryVersion) {
    return fail(Code::kProtocol, "directory: version " + std::to_string(header.version) + ", this program knows " +
                                     std::to_string(kDirectoryVersion) + "; use matching wardend and libwarden");
  }
  if (header.total_bytes != size_bytes || header.header_bytes != sizeof(DirectoryHeader)) {
    return fail(Code::kProtocol, "directory: header of " + std::to_string(header.header_bytes) + " bytes claims " +
                                     std::to_string(header.total_bytes) + " of " + std::to_string(size_bytes));
  }
  if (auto ok = check_place(header.devices, "devices", kDeviceCapacity, sizeof(DeviceRecord), size_bytes); !ok) {
    return ok;
  }
  if (auto ok = check_place(header.sessions, "sessions", kSessionCapacity, sizeof(SessionRecord), size_bytes); !ok) {
    return ok;
  }
  if (auto ok = check_place(header.listeners, "listeners", kSessionCapacity, sizeof(ListenerRecord), size_bytes); !ok) {
    return ok;
  }
  return check_place(header.events, "events", kEventCapacity, sizeof(EventRecord), size_bytes);
}

const std::byte* start_of(const ipc::mapped_region& region) noexcept {
  return static_cast<const std::byte*>(region.get_address());
}

template <typename Record>
const Record& record_at(const std::byte* start, const TablePlace& place, std::uint32_t index) noexcept {
  assert(index < place.count);
  return reinterpret_cast<const Record*>(start + place.offset_bytes)[index];
}

Event event_of(const RawEvent& raw, std::uint64_t number) {
  const EventHead& head = raw.head;
  return {.number = number,
          .time_ns = head.time_ns,
          .reset_id = head.reset_id,
          .device_mask = head.device_mask,
          .deadline_ns = head.deadline_ns,
          .value = head.value,
          .kind = static_cast<EventKind>(head.kind),
          .phase = static_cast<ResetPhase>(head.phase),
          .result = static_cast<ResetResult>(head.result),
          .pid = head.pid,
          .session_id = head.session_id,
          .text = std::string(raw.text())};
}

}  // namespace

DirectoryReader::DirectoryReader(Memory memory, ipc::mapped_region region) noexcept
    : memory_(std::move(memory)), region_(std::move(region)) {
  const DirectoryHeader& head = header();
  devices_ = head.devices;
  sessions_ = head.sessions;
  listeners_ = head.listeners;
  events_ = head.events;
}

Result<DirectoryReader> DirectoryReader::open(UniqueFd fd) {
  Memory memory(std::move(fd));
  const auto size_bytes = memory.size_bytes();
  if (!size_bytes) return wrap(size_bytes.error(), "directory");
  if (auto ok = memory.check(*size_bytes, kNeededSeals); !ok) return wrap(ok.error(), "directory");
  if (*size_bytes < sizeof(DirectoryHeader) || *size_bytes > kLargestDirectoryBytes) {
    return fail(Code::kProtocol, "directory: of " + std::to_string(*size_bytes) + " bytes");
  }
  auto region = memory.map(ipc::read_only);
  if (!region) return wrap(std::move(region).error(), "directory");
  prefault(*region);
  const auto& header = *static_cast<const DirectoryHeader*>(region->get_address());
  if (auto ok = check_header(header, *size_bytes); !ok) return std::unexpected(ok.error());
  return DirectoryReader(std::move(memory), std::move(*region));
}

const DirectoryHeader& DirectoryReader::header() const noexcept {
  return *reinterpret_cast<const DirectoryHeader*>(start_of(region_));
}
const DeviceRecord& DirectoryReader::device(std::uint32_t index) const noexcept {
  return record_at<DeviceRecord>(start_of(region_), devices_, index);
}
const SessionRecord& DirectoryReader::session(std::uint32_t slot) const noexcept {
  return record_at<SessionRecord>(start_of(region_), sessions_, slot);
}
const ListenerRecord& DirectoryReader::listener(std::uint32_t slot) const noexcept {
  return record_at<ListenerRecord>(start_of(region_), listeners_, slot);
}

std::uint64_t DirectoryReader::event_count() const noexcept {
  return header().event_count.load(std::memory_order_acquire);  // sync: directory.event_count
}

const EventRecord& DirectoryReader::slot_of(std::uint64_t number) const noexcept {
  return record_at<EventRecord>(start_of(region_), events_, static_cast<std::uint32_t>(number & (kEventCapacity - 1)));
}

EventRead DirectoryReader::read_event(std::uint64_t number, RawEvent& into) const noexcept {
  if (number >= event_count()) return EventRead::kNotYet;
  const EventRecord& slot = slot_of(number);
  if (slot.sequence.load(std::memory_order_acquire) != number + 1) return EventRead::kLapped;  // sync: event.sequence
  load_event_words(slot, into);
  // Relaxed: the words were acquired one by one, so this load comes after them.
  return slot.sequence.load(std::memory_order_relaxed) == number + 1 ? EventRead::kRead : EventRead::kLapped;
}

Result<std::optional<Event>> DirectoryReader::event(std::uint64_t number) const {
  RawEvent raw;
  switch (read_event(number, raw)) {
    case EventRead::kRead: return event_of(raw, number);
    case EventRead::kNotYet: return std::nullopt;
    case EventRead::kLapped: break;
  }
  return fail(Code::kStale, "event " + std::to_string(number) + " was overwritten: the reader was lapped");
}

void DirectoryReader::wait_for_event(std::uint64_t number, std::chrono::milliseconds bound,
                                     std::uint32_t wakes) const noexcept {
  // The generation first: an event that comes between the two loads makes the wait return at once.
  const std::uint32_t seen = header().generation.load(std::memory_order_acquire);  // sync: directory.generation
  if (event_count() > number) return;
  const EventRecord& slot = slot_of(number);
  futex_wait(header().generation, seen, bound, wakes);
  prefetch(slot, kEventFirstBytes);
}

void DirectoryReader::wake(std::uint32_t wakes) const noexcept { futex_wake_all(header().generation, wakes); }

}  // namespace warden::shm
