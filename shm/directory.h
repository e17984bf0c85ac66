// SPDX-License-Identifier: Apache-2.0
// The directory in use: one writer (wardend) and any number of readers.
#pragma once

#include <boost/interprocess/mapped_region.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <warden/result.h>

#include "shm/directory_layout.h"
#include "shm/event_words.h"
#include "shm/futex.h"
#include "shm/memory.h"

namespace warden::shm {

// What an event says, before it has a number and a time.
struct EventDraft {
  EventKind kind{};
  std::uint64_t reset_id = 0;
  std::uint64_t device_mask = 0;
  std::uint64_t deadline_ns = 0;
  std::uint64_t value = 0;
  ResetPhase phase = ResetPhase::kIdle;
  ResetResult result = ResetResult::kNone;
  int pid = 0;
  std::uint64_t session_id = 0;
  std::string_view text{};
};

// A copy of an event, safe to read at leisure; text is always terminated.
struct Event {
  std::uint64_t number = 0;
  std::uint64_t time_ns = 0;
  std::uint64_t reset_id = 0;
  std::uint64_t device_mask = 0;
  std::uint64_t deadline_ns = 0;
  std::uint64_t value = 0;
  EventKind kind{};
  ResetPhase phase{};
  ResetResult result{};
  int pid = 0;
  std::uint64_t session_id = 0;
  std::string text;
};

enum class EventRead : std::uint8_t {
  kRead,
  kNotYet,  // not written yet
  kLapped,  // the ring has gone round since; go on at event_count()
};

// Owner: wardend's keeper, which creates it and forks its workers: they inherit the writable mapping, the only one
// there will ever be, since the file is sealed (FUTURE_WRITE, SHRINK, GROW, SEAL) as soon as it exists.
// Threads: publish() is not: one thread, or a lock of the caller's.
class DirectoryWriter {
 public:
  [[nodiscard]] static Result<DirectoryWriter> create();

  [[nodiscard]] DirectoryHeader& header() noexcept;
  [[nodiscard]] DeviceRecord& device(std::uint32_t index) noexcept;
  [[nodiscard]] SessionRecord& session(std::uint32_t slot) noexcept;
  [[nodiscard]] ListenerRecord& listener(std::uint32_t slot) noexcept;

  // Writes the records, then moves the generation, then wakes everybody concerned in one call for all. An announcement
  // wakes those who have to answer, and them alone: who only follows is woken by the next event of another kind, or by
  // wake_followers() when nothing else is to be done. Results, new workers and devices wake everybody.
  void publish(std::span<const EventDraft> drafts) noexcept;
  void publish(const EventDraft& draft) noexcept { publish(std::span(&draft, 1)); }
  void wake_followers() noexcept;
  // After being killed between two words of publish(): makes counters and ring agree again.
  void repair() noexcept;

  // For clients: read-only, reopened O_RDONLY. Borrowed.
  [[nodiscard]] int reader_fd() const noexcept { return reader_fd_.get(); }
  [[nodiscard]] int fd() const noexcept { return memory_.fd(); }

 private:
  DirectoryWriter(Memory memory, boost::interprocess::mapped_region region, UniqueFd reader_fd) noexcept;
  Memory memory_;
  boost::interprocess::mapped_region region_;
  UniqueFd reader_fd_;
};

// Checks seals, size, magic, version and the place of each table before believing anything. Threads: any.
class DirectoryReader {
 public:
  [[nodiscard]] static Result<DirectoryReader> open(UniqueFd fd);

  [[gnu::hot]] [[nodiscard]] const DirectoryHeader& header() const noexcept;
  [[nodiscard]] const DeviceRecord& device(std::uint32_t index) const noexcept;
  [[nodiscard]] const SessionRecord& session(std::uint32_t slot) const noexcept;
  [[gnu::hot]] [[nodiscard]] const ListenerRecord& listener(std::uint32_t slot) const noexcept;

  [[nodiscard]] int fd() const noexcept { return memory_.fd(); }

  // Number that the next event will get.
  [[gnu::hot]] [[nodiscard]] std::uint64_t event_count() const noexcept;
  // Copies event `number` into `into`; anything but kRead leaves rubbish there.
  [[gnu::hot]] [[nodiscard]] EventRead read_event(std::uint64_t number, RawEvent& into) const noexcept;
  // The same for those in less of a hurry: nothing if not written yet, kStale if lapped.
  [[nodiscard]] Result<std::optional<Event>> event(std::uint64_t number) const;
  // Returns when there may be an event with this number, or after `bound`. `wakes`: kWake... bits; with fewer than all
  // it may sleep over events that do not concern the caller, who finds them in the ring later.
  [[gnu::hot]] void wait_for_event(std::uint64_t number, std::chrono::milliseconds bound,
                                   std::uint32_t wakes = kAllWakes) const noexcept;
  // Wakes who waits here for one of `wakes`: the bits that clients have for themselves.
  void wake(std::uint32_t wakes) const noexcept;

 private:
  DirectoryReader(Memory memory, boost::interprocess::mapped_region region) noexcept;
  [[gnu::hot]] [[nodiscard]] const EventRecord& slot_of(std::uint64_t number) const noexcept;
  Memory memory_;
  boost::interprocess::mapped_region region_;
  TablePlace devices_, sessions_, listeners_, events_;  // copies of what was checked
};

// CLOCK_BOOTTIME, the clock of every time in shared memory.
[[gnu::hot]] [[nodiscard]] std::uint64_t boottime_ns() noexcept;

}  // namespace warden::shm
