// SPDX-License-Identifier: Apache-2.0
// wardend's side of the directory: laying it out, sealing it, publishing events.
#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/interprocess/managed_external_buffer.hpp>
#include <cassert>
#include <ctime>
#include <memory>

#include "shm/directory.h"
#include "shm/event_words.h"
#include "shm/futex.h"
#include "shm/prefetch.h"

namespace warden::shm {

namespace ipc = boost::interprocess;

namespace {

constexpr std::size_t kPageBytes = 4096;
// For Boost's private index and the gaps that alignment leaves.
constexpr std::size_t kPlacementBytes = 4 * kPageBytes;
constexpr std::size_t kTablesBytes = kDeviceCapacity * sizeof(DeviceRecord) + kSessionCapacity * sizeof(SessionRecord) +
                                     kSessionCapacity * sizeof(ListenerRecord) + kEventCapacity * sizeof(EventRecord);
constexpr std::size_t kDirectoryBytes =
    (sizeof(DirectoryHeader) + kPlacementBytes + kTablesBytes + kPageBytes - 1) / kPageBytes * kPageBytes;

template <typename Record>
TablePlace place_table(ipc::managed_external_buffer& area, const std::byte* start, std::uint32_t count) {
  void* memory = area.allocate_aligned(count * sizeof(Record), alignof(Record));
  std::uninitialized_value_construct_n(static_cast<Record*>(memory), count);
  return {.offset_bytes = static_cast<std::uint64_t>(static_cast<std::byte*>(memory) - start),
          .count = count,
          .record_bytes = sizeof(Record)};
}

Result<std::uint64_t> random_id() {
  std::uint64_t id = 0;
  if (::getrandom(&id, sizeof(id), 0) != static_cast<ssize_t>(sizeof(id))) return fail_errno("getrandom");
  return id != 0 ? id : 1;
}

void lay_out(std::byte* start, std::uint64_t instance_id) {
  auto* header = new (start) DirectoryHeader{};
  // No Boost lock: managed_external_buffer uses none, and it is needed only here.
  ipc::managed_external_buffer area(ipc::create_only, start + sizeof(DirectoryHeader),
                                    kDirectoryBytes - sizeof(DirectoryHeader));
  header->devices = place_table<DeviceRecord>(area, start, kDeviceCapacity);
  header->sessions = place_table<SessionRecord>(area, start, kSessionCapacity);
  header->listeners = place_table<ListenerRecord>(area, start, kSessionCapacity);
  header->events = place_table<EventRecord>(area, start, kEventCapacity);
  header->version = kDirectoryVersion;
  header->header_bytes = sizeof(DirectoryHeader);
  header->total_bytes = kDirectoryBytes;
  header->instance_id = instance_id;
  header->keeper_pid = ::getpid();
  header->coarse_time_ns.store(boottime_ns(), std::memory_order_relaxed);  // nobody else sees it yet
  header->magic = kDirectoryMagic;
}

template <typename Record>
Record& record_at(std::byte* start, const TablePlace& place, std::uint32_t index) noexcept {
  assert(index < place.count);
  return reinterpret_cast<Record*>(start + place.offset_bytes)[index];
}

std::byte* start_of(ipc::mapped_region& region) noexcept { return static_cast<std::byte*>(region.get_address()); }

EventRecord& event_slot(ipc::mapped_region& region, const DirectoryHeader& header, std::uint64_t number) noexcept {
  return record_at<EventRecord>(start_of(region), header.events,
                                static_cast<std::uint32_t>(number & (kEventCapacity - 1)));
}

std::uint32_t wakes_for(EventKind kind) noexcept {
  switch (kind) {
    case EventKind::kAnnounce: return kWakeListeners;
    case EventKind::kResult:
    case EventKind::kDevice:
    case EventKind::kWorker: return kAllWakes;
    default: return kWakeFollowers;
  }
}

EventHead head_of(const EventDraft& draft) noexcept {
  return {.time_ns = boottime_ns(),
          .reset_id = draft.reset_id,
          .device_mask = draft.device_mask,
          .deadline_ns = draft.deadline_ns,
          .value = draft.value,
          .kind = static_cast<std::uint32_t>(draft.kind),
          .phase = static_cast<std::uint32_t>(draft.phase),
          .result = static_cast<std::uint32_t>(draft.result),
          .pid = draft.pid,
          .session_id = draft.session_id};
}

}  // namespace

std::uint64_t boottime_ns() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(now.tv_nsec);
}

DirectoryWriter::DirectoryWriter(Memory memory, ipc::mapped_region region, UniqueFd reader_fd) noexcept
    : memory_(std::move(memory)), region_(std::move(region)), reader_fd_(std::move(reader_fd)) {}

Result<DirectoryWriter> DirectoryWriter::create() {
  const auto instance_id = random_id();
  if (!instance_id) return std::unexpected(instance_id.error());
  auto memory = Memory::create("warden-directory", kDirectoryBytes);
  if (!memory) return std::unexpected(std::move(memory).error());
  auto region = memory->map(ipc::read_write);
  if (!region) return std::unexpected(std::move(region).error());
  try {
    lay_out(start_of(*region), *instance_id);
  } catch (const std::exception& error) {  // Boost's, when the tables do not fit
    return fail(Code::kFailed, std::string("lay out the directory: ") + error.what());
  }
  // The mapping above stays writable; from here on nobody can make another.
  if (auto sealed = memory->seal(F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL); !sealed) {
    return std::unexpected(std::move(sealed).error());
  }
  const std::string path = "/proc/self/fd/" + std::to_string(memory->fd());
  UniqueFd reader_fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!reader_fd) return fail_errno("reopen the directory read-only");
  return DirectoryWriter(std::move(*memory), std::move(*region), std::move(reader_fd));
}

DirectoryHeader& DirectoryWriter::header() noexcept { return *reinterpret_cast<DirectoryHeader*>(start_of(region_)); }
DeviceRecord& DirectoryWriter::device(std::uint32_t index) noexcept {
  return record_at<DeviceRecord>(start_of(region_), header().devices, index);
}
SessionRecord& DirectoryWriter::session(std::uint32_t slot) noexcept {
  return record_at<SessionRecord>(start_of(region_), header().sessions, slot);
}
ListenerRecord& DirectoryWriter::listener(std::uint32_t slot) noexcept {
  return record_at<ListenerRecord>(start_of(region_), header().listeners, slot);
}

void DirectoryWriter::publish(std::span<const EventDraft> drafts) noexcept {
  if (drafts.empty()) return;
  DirectoryHeader& head = header();
  // Relaxed: this thread is the only writer of these words.
  std::uint64_t number = head.event_count.load(std::memory_order_relaxed);
  std::uint32_t wakes = 0;
  for (const EventDraft& draft : drafts) {
    EventRecord& slot = event_slot(region_, head, number);
    prefetch(slot, kEventFirstBytes);                   // while the clock is read
    slot.sequence.store(0, std::memory_order_relaxed);  // ordered before the words: each of them is a release
    store_event_words(slot, head_of(draft), draft.text);
    // One by one: repair() finds at most one that is written and not counted.
    slot.sequence.store(++number, std::memory_order_release);   // sync: event.sequence
    head.event_count.store(number, std::memory_order_release);  // sync: directory.event_count
    wakes |= wakes_for(draft.kind);
  }
  const std::uint32_t generation = head.generation.load(std::memory_order_relaxed);
  head.generation.store(generation + 1, std::memory_order_release);  // sync: directory.generation
  futex_wake_all(head.generation, wakes);
}

void DirectoryWriter::wake_followers() noexcept { futex_wake_all(header().generation, kWakeFollowers); }

void DirectoryWriter::repair() noexcept {
  DirectoryHeader& head = header();
  // Relaxed: the writer before us is dead, and no other one exists.
  const std::uint64_t number = head.event_count.load(std::memory_order_relaxed);
  const bool written = event_slot(region_, head, number).sequence.load(std::memory_order_relaxed) == number + 1;
  if (written) head.event_count.store(number + 1, std::memory_order_release);  // sync: directory.event_count
  // Whether the generation had moved cannot be told; one move too many costs readers one look.
  const std::uint32_t generation = head.generation.load(std::memory_order_relaxed);
  head.generation.store(generation + 1, std::memory_order_release);  // sync: directory.generation
  futex_wake_all(head.generation);
}

}  // namespace warden::shm
