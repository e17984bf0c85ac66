// SPDX-License-Identifier: Apache-2.0
// Resets one after the other on a thread of their own: those that were asked for, and the one a dead worker left.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include <warden/result.h>

#include "tools/wardend/keeper_link.h"
#include "tools/wardend/reset_host.h"
#include "tools/wardend/session_table.h"
#include "tools/wardend/transaction.h"

namespace warden::daemon {

// tt-umd allows its slowest reset, the board controller's, 20 s; then the card itself is asked.
inline constexpr std::chrono::seconds kExternalResetDeadline{60};

// Threads: any.
class ResetQueue {
 public:
  struct Parts {
    ResetHost::Parts world;
    std::vector<ParticipantSource*> sources;
    KeeperLink& keeper;
    SessionTable& sessions;
    FabricGuard& fabric;
  };

  // Goes on with what the journal says was not ended, and with what the keeper kept of the queue. `idle` is called,
  // on the queue's thread, after each reset.
  ResetQueue(Parts parts, const KeptTable& kept, std::function<void()> idle);
  ~ResetQueue();

  // `order` holds what is asked, without a number. Answers the number: from then on the reset has a result, whatever
  // happens to this worker. kBusy when another one is under way or queued and `on_conflict` says so.
  [[nodiscard]] Result<std::uint64_t> submit(const std::shared_ptr<Session>& asker, ResetRecord order,
                                             shm::ConflictPolicy on_conflict);
  // Somebody else is about to reset `order`'s cards by their own means. One at a time: false when one is under way or
  // awaited already, or wardend stops.
  bool begin_external(ResetRecord order);
  // They say that it is done.
  void end_external();
  // More time for the reset under way; zero when it is not `reset_id` or no time is left to give.
  [[nodiscard]] std::chrono::milliseconds extend(std::uint64_t reset_id, const ListenerRecord& asking,
                                                 std::chrono::milliseconds wanted);
  // The stored report; kResetting while it runs, kNotFound.
  [[nodiscard]] Result<ResetRecord> report(std::uint64_t reset_id) const;

  // Takes no more, refuses what is queued, cuts the waiting of the one under way; idle() is called as each ends.
  void stop();
  [[nodiscard]] bool is_idle() const;

 private:
  struct Ticket {
    ResetRecord order;
    std::shared_ptr<Session> asker;  // none: it has begun, so it is everybody's, or it is external
    Published published;
    std::shared_ptr<ExternalReset> external = {};
  };

  void take_over_unfinished();
  void take_over_queue(const KeptTable& kept);
  void end_untouched(ResetRecord record, shm::ResetResult result, std::string reason);
  [[nodiscard]] std::optional<std::uint64_t> id_of_token(std::uint64_t token) const;
  void run();
  [[nodiscard]] bool take_next(Ticket& ticket);
  [[nodiscard]] static bool is_wanted(const Ticket& ticket);
  void begin(const Ticket& ticket);

  Parts parts_;
  ResetHost host_;
  std::function<void()> idle_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Ticket> tickets_;
  std::atomic<bool> stopping_{false};
  std::uint64_t last_id_ = 0;
  std::shared_ptr<Transaction> running_;
  std::weak_ptr<ExternalReset> external_;  // queued or under way
  std::uint64_t running_id_ = 0;
  std::uint64_t running_token_ = 0;

  std::thread thread_;  // last: it uses everything above
};

}  // namespace warden::daemon
