// SPDX-License-Identifier: Apache-2.0
// Hearing of resets before they happen, answering, and hearing how they ended.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <warden/result.h>
#include <warden/session.h>

namespace warden {

enum class ResetResult : std::uint8_t { kOk = 1, kFailed = 2, kRefused = 3, kAborted = 4, kCardLost = 5 };
[[nodiscard]] std::string_view to_string(ResetResult result) noexcept;  // "ok", "failed", ...

// PRE_RESET, as tt-umd calls it.
struct ResetAnnouncement {
  std::uint64_t reset_id = 0;
  std::vector<std::string> devices;
  std::string reason;
  std::chrono::milliseconds time_left{0};  // until silence counts as an answer
  bool owed = true;  // false: told for information (joined while it was under way); nobody waits for us
};

// POST_RESET, as tt-umd calls it, with the truth about it. After kRefused and kAborted the card was not touched.
struct ResetOutcome {
  std::uint64_t reset_id = 0;
  std::vector<std::string> devices;
  ResetResult result = ResetResult::kFailed;
  std::string reason;
};

struct ListenerCallbacks {
  // announce = PRE_RESET. When it returns, the listener has acknowledged (unless acknowledge_by_hand): the process has
  // stopped touching these devices. Must not block longer than time_left without asking for more time.
  std::function<void(const ResetAnnouncement&)> announce{};
  // finish = POST_RESET. Called once for every announcement heard.
  std::function<void(const ResetOutcome&)> finish{};
};

struct ListenerOptions {
  std::vector<std::string> devices{};  // empty: all
  bool acknowledge_by_hand = false;    // call acknowledge() yourself, from any thread
  // true: callbacks come from a thread of the listener's own, which blocks all signals. false: no thread; poll fd()
  // and call dispatch() when it is readable. That takes a session attached as pollable (else kInvalidArgument) and of
  // its own: a second listener without a thread on the same session is refused with kBusy.
  bool thread = true;
};

// Threads: all calls from any thread, also from inside callbacks. Destroying it stops listening and, with a thread of
// its own, waits for a callback under way (not from inside a callback).
class Listener {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Listener>> start(std::shared_ptr<Session> session,
                                                               ListenerCallbacks callbacks,
                                                               const ListenerOptions& options = {});
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener();

  // "I no longer touch these devices." Harmless when nothing is owed any more.
  [[nodiscard]] Status acknowledge(std::uint64_t reset_id);
  // Asks for more time for this reset; answers what was granted (up to the cap that is left, may be 0).
  [[nodiscard]] Result<std::chrono::milliseconds> need_more_time(std::uint64_t reset_id,
                                                                 std::chrono::milliseconds wanted);

  // Readable when dispatch() has something to do; stays the same for the listener's life. -1 with a thread.
  [[nodiscard]] int fd() const noexcept;
  // Runs the callbacks that are due, on the calling thread. Reattaches if wardend was restarted. kDisconnected while
  // wardend is away: keep polling fd(), which becomes readable again within a second, and dispatch() tries anew; a
  // callback that is due has run all the same. kDisconnected for ever in a child after fork(). kInvalidArgument with a
  // thread.
  [[nodiscard]] Status dispatch();

 private:
  class Implementation;
  explicit Listener(std::unique_ptr<Implementation> implementation);
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace warden
