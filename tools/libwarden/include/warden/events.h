// SPDX-License-Identifier: Apache-2.0
// Everything that happens on the host, as wardend records it, for who wants to watch.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <warden/result.h>
#include <warden/session.h>

namespace warden {

struct Event {
  std::uint64_t number = 0;    // counts up by one; starts afresh with another wardend
  std::uint64_t time_ns = 0;   // CLOCK_BOOTTIME
  std::string kind;            // "announce", "phase", "acknowledged", "extended", "timed_out", "died", "notified",
                               // "result", "session_opened", "session_closed", "device", "worker"
  std::uint64_t reset_id = 0;  // 0: of no reset
  std::vector<std::string> devices;
  std::string phase;   // of "phase": "announced", "quiesced", "resetting", "verified"
  std::string result;  // of "result": "ok", "failed", "refused", "aborted"
  int pid = 0;         // 0: of no process, or of one that wardend can't see
  std::uint64_t session_id = 0;
  std::uint64_t value = 0;   // "acknowledged": us since the announcement; "extended": ms; "device": its state
  std::string text;          // a reason or a name; text of other processes: print with care
  std::uint64_t missed = 0;  // events lost before this one, because the reader was too slow
};

// Reads the ring of events without disturbing anybody. Threads: one at a time.
class EventStream {
 public:
  // Begins with what happens from now on, or with the oldest event still known.
  [[nodiscard]] static Result<EventStream> open(std::shared_ptr<Session> session, bool from_oldest = false);

  EventStream(EventStream&&) noexcept;
  EventStream& operator=(EventStream&&) noexcept;
  ~EventStream();

  // The next event; nothing when none came within `timeout`. Attaches again when wardend was restarted.
  // Errors: those of attaching.
  [[nodiscard]] Result<std::optional<Event>> next(std::chrono::milliseconds timeout);

 private:
  class Implementation;
  explicit EventStream(std::unique_ptr<Implementation> implementation) noexcept;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace warden
