// SPDX-License-Identifier: Apache-2.0
// The reset as one transaction, over interfaces: announce, wait for those who owe an answer, quiesce, reset, verify,
// tell the result. Knows no socket, no file and no card, so every branch of it can be tested with fakes.
//
//   idle ─► announced ─► quiesced ─► resetting ─► verified ─► result ok
//               │            │            └─────────────────► result failed
//               └────────────┴──────────────────────────────► result aborted or failed, cards untouched
#pragma once

#include <chrono>
#include <cstdint>
#include <future>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include <warden/result.h>

#include "driver/chip/chip.h"
#include "shm/directory.h"
#include "tools/wardend/external_reset.h"
#include "tools/wardend/fabric_guard.h"
#include "tools/wardend/participant.h"
#include "tools/wardend/reset_record.h"

namespace warden::daemon {

// One card of the reset. Used by the transaction's thread alone.
class ResetTarget {
 public:
  ResetTarget(const ResetTarget&) = delete;
  ResetTarget& operator=(const ResetTarget&) = delete;
  virtual ~ResetTarget() = default;

  // Takes no further access and returns when those under way have ended; kTimeout: they have not, within `bound`.
  [[nodiscard]] virtual Status quiesce(std::chrono::milliseconds bound) = 0;
  // Several cards are reset side by side: starts it and answers the report to come. With `external`, somebody else
  // resets the card until that says so, and this side observes and proves it.
  [[nodiscard]] virtual std::future<chip::ResetReport> start_reset(std::shared_ptr<ExternalReset> external) = 0;

 protected:
  ResetTarget() = default;
};

// The world as the transaction needs it.
class TransactionHost {
 public:
  TransactionHost(const TransactionHost&) = delete;
  TransactionHost& operator=(const TransactionHost&) = delete;
  virtual ~TransactionHost() = default;

  [[nodiscard]] virtual std::uint64_t now_ns() = 0;  // CLOCK_BOOTTIME
  // A number that moves with answers; wait() returns when so many have come since it was `seen`, on any other news, or
  // after `bound`.
  [[nodiscard]] virtual std::uint32_t news() = 0;
  virtual void wait(std::uint32_t seen, std::size_t answers, std::chrono::nanoseconds bound) = 0;

  // On disk when it returns.
  [[nodiscard]] virtual Status write_journal(const ResetRecord& record) = 0;
  // In this order, all told at once.
  virtual void publish(std::span<const shm::EventDraft> drafts) = 0;
  void publish(const shm::EventDraft& draft) { publish(std::span(&draft, 1)); }
  // Those who only follow events are not woken by an announcement: they would take the processor from those who have
  // to answer it.
  virtual void wake_followers() = 0;

  // The cards are resetting from now on, as far as listings and new opens go.
  virtual void begin(const ResetRecord& record) = 0;
  // Everything that must be true before anybody hears the result: epochs and states of cards, the stored report.
  virtual void finish(const ResetRecord& record) = 0;

 protected:
  TransactionHost() = default;
};

// What the event ring of the directory tells about a reset that another worker began.
struct Published {
  bool announced = false;
  bool result = false;
  std::uint32_t phases = 0;  // bit N: phase N
  std::map<std::uint64_t, std::uint64_t> extended_ms_by_session = {};
  [[nodiscard]] bool has(shm::ResetPhase phase) const noexcept {
    return ((phases >> static_cast<unsigned>(phase)) & 1U) != 0;
  }
};

struct TransactionParts {
  TransactionHost& host;
  std::vector<ParticipantSource*> sources;
  std::vector<ResetTarget*> targets;             // one for each of record.devices
  std::shared_ptr<ExternalReset> external = {};  // with record.external
  FabricGuard* fabric = nullptr;                 // none: nothing is known of a fabric
};

// Bound on what a wait may sleep without looking again: a hint that was swallowed costs no more than this.
inline constexpr std::chrono::milliseconds kRescanInterval{5};
inline constexpr std::chrono::milliseconds kKillDeadline{2000};
inline constexpr std::chrono::milliseconds kQuiesceDeadline{15000};

class Transaction {
 public:
  // A record of phase kIdle is a new reset; any other one is gone on with.
  Transaction(TransactionParts parts, ResetRecord record, Published published = {});

  // From any thread, when wardend is asked to stop: nobody is waited for longer than `bound` from now, and no more
  // time is given.
  void hurry(std::chrono::milliseconds bound);

  // Runs it to its result, whatever that is. Called once.
  ResetRecord run();
  // From any thread: more time for everybody because this listener asks. Answers what was granted, at most what is
  // left of the cap.
  [[nodiscard]] std::chrono::milliseconds extend(const ListenerRecord& asking, std::chrono::milliseconds wanted);

 private:
  using Phase = shm::ResetPhase;

  // The steps: false when the result is decided and the cards stay as they are.
  [[nodiscard]] bool announce();
  [[nodiscard]] bool await_answers();
  [[nodiscard]] bool quiesce();
  [[nodiscard]] bool close_gates();
  void reset();
  void settle_fabric();
  void conclude();

  [[nodiscard]] bool open_journal();
  [[nodiscard]] bool enter(Phase phase);
  void publish_phase();
  void close_phase();
  void collect_answers();
  void tell_answers();
  [[nodiscard]] bool close_deadline();
  [[nodiscard]] Participants take_late();
  [[nodiscard]] bool apply_timeout_policy(Participants late);
  [[nodiscard]] bool kill_and_await(Participants& late);
  void judge(std::vector<std::future<chip::ResetReport>>& verdicts);
  void decide(shm::ResetResult result, std::string reason);
  [[nodiscard]] ListenerRecord outcome_of(const Participant& participant, Outcome outcome, std::uint64_t now_ns);
  [[nodiscard]] shm::EventDraft draft_of(const ListenerRecord& listener) const;
  [[nodiscard]] shm::EventDraft draft(shm::EventKind kind) const;

  TransactionParts parts_;
  ResetRecord record_;
  Published published_;
  struct Answer {
    ListenerRecord listener;
    std::unique_ptr<Participant> participant;
  };
  Participants pending_;
  std::vector<Answer> untold_;  // answered, not told of yet
  std::uint64_t phase_began_ns_ = 0;

  // Guards record_.deadline_ns, record_.extended_ms and what follows: extend() comes from other threads.
  std::mutex extension_mutex_;
  bool accepts_extensions_ = false;
  bool hurried_ = false;
  std::map<std::uint64_t, std::uint64_t> extended_ms_by_session_;
};

}  // namespace warden::daemon
