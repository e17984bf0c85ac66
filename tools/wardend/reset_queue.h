// SPDX-License-Identifier: Apache-2.0
// Resets one after the other on a thread of their own: those that were asked for, and the one a dead worker left.
#pragma once

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

#include "tools/wardend/replier.h"
#include "tools/wardend/reset_host.h"
#include "tools/wardend/transaction.h"

namespace warden::daemon {

// Somebody to be told the number of the reset once nothing can lose it any more.
struct ResetAsker {
  std::shared_ptr<Session> session;
  std::uint32_t request = 0;
};

// Threads: any.
class ResetQueue {
 public:
  struct Parts {
    ResetHost::Parts world;
    std::vector<ParticipantSource*> sources;
    const Replier& replier;
  };

  // Goes on with what the journal says was not ended. `idle` is called, on the queue's thread, after each reset.
  ResetQueue(Parts parts, std::function<void()> idle);
  ~ResetQueue();

  // `order` holds what is asked, without a number. The asker is answered now or when its turn has come.
  void submit(ResetAsker asker, ResetRecord order, shm::ConflictPolicy on_conflict);
  // More time for the reset under way; zero when it is not `reset_id` or no time is left to give.
  [[nodiscard]] std::chrono::milliseconds extend(std::uint64_t reset_id, const ListenerRecord& asking,
                                                 std::chrono::milliseconds wanted);
  // The stored report; kResetting while it runs, kNotFound.
  [[nodiscard]] Result<ResetRecord> report(std::uint64_t reset_id) const;

  // Takes no more, refuses what is queued, cuts the waiting of the one under way. idle() afterwards says when.
  void stop();
  [[nodiscard]] bool is_idle() const;

 private:
  struct Ticket {
    std::vector<ResetAsker> askers;
    ResetRecord order;
    Published published;
  };

  void take_over_unfinished();
  void end_lost(ResetRecord record);
  [[nodiscard]] bool answer_known_token(const ResetAsker& asker, std::uint64_t token);
  void run();
  void number(Ticket& ticket);
  void perform(Ticket ticket);
  void answer(const ResetAsker& asker, std::uint64_t reset_id) const;
  void started(const std::vector<ResetAsker>& first, const Status& status);

  Parts parts_;
  ResetHost host_;
  std::function<void()> idle_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Ticket> tickets_;
  bool stopping_ = false;
  std::uint64_t last_id_ = 0;
  // The reset under way: known by token from the moment it leaves the queue.
  std::shared_ptr<Transaction> running_;
  std::uint64_t running_id_ = 0;
  std::uint64_t running_token_ = 0;
  bool running_started_ = false;
  std::vector<ResetAsker> late_askers_;

  std::thread thread_;  // last: it uses everything above
};

}  // namespace warden::daemon
