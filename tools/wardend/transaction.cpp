// SPDX-License-Identifier: Apache-2.0
// The reset transaction, step by step. Every step is journalled before it is taken and told after.
#include "tools/wardend/transaction.h"

#include <fmt/format.h>

#include <algorithm>

namespace warden::daemon {

namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr std::uint64_t kNsPerUs = 1000;
constexpr std::uint64_t kNsPerMs = 1'000'000;

std::uint64_t ns_of(milliseconds duration) { return static_cast<std::uint64_t>(duration.count()) * kNsPerMs; }

std::uint64_t us_between(std::uint64_t begin_ns, std::uint64_t end_ns) {
  return end_ns > begin_ns ? (end_ns - begin_ns) / kNsPerUs : 0;
}

shm::EventKind event_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::kNotified: return shm::EventKind::kNotified;
    case Outcome::kTimedOut: return shm::EventKind::kTimedOut;
    case Outcome::kDied: return shm::EventKind::kDied;
    default: return shm::EventKind::kAcknowledged;
  }
}

std::string names_of(const Participants& participants) {
  std::string names;
  for (const auto& participant : participants) {
    names += fmt::format("{}pid {} ({})", names.empty() ? "" : ", ", participant->pid(), participant->name());
  }
  return names;
}

std::size_t count_of_answering(const Participants& participants) {
  return static_cast<std::size_t>(
      std::ranges::count_if(participants, [](const auto& participant) { return participant->can_answer(); }));
}

chip::ResetReport verdict_of(std::future<chip::ResetReport>& verdict) {
  try {
    return verdict.get();
  } catch (const std::exception& error) {
    chip::ResetReport lost;
    lost.reason = std::string("no verdict: ") + error.what();
    return lost;
  }
}

}  // namespace

Transaction::Transaction(TransactionParts parts, ResetRecord record, Published published)
    : parts_(std::move(parts)), record_(std::move(record)), published_(std::move(published)) {
  extended_ms_by_session_ = published_.extended_ms_by_session;
}

ResetRecord Transaction::run() {
  if (record_.result == shm::ResetResult::kNone && open_journal()) {
    parts_.host.begin(record_);
    if (announce() && quiesce()) reset();
  }
  settle_fabric();
  conclude();
  return record_;
}

// What can't be journalled is not begun: nobody but the asker has heard of it yet.
bool Transaction::open_journal() {
  if (record_.phase != Phase::kIdle) return true;
  record_.phase = Phase::kAnnounced;
  record_.announced_ns = parts_.host.now_ns();
  record_.deadline_ns = record_.announced_ns + ns_of(record_.timeout);
  Status written = parts_.host.write_journal(record_);
  if (!written) decide(shm::ResetResult::kRefused, written.error().message);
  return written.has_value();
}

bool Transaction::announce() {
  if (record_.phase != Phase::kAnnounced) return true;
  if (published_.announced) {
    for (ParticipantSource* source : parts_.sources)
      std::ranges::move(source->resume(record_), std::back_inserter(pending_));
  } else {
    // The clock starts when listeners can hear of it, not when the journal was asked to sync.
    record_.announced_ns = parts_.host.now_ns();
    record_.deadline_ns = record_.announced_ns + ns_of(record_.timeout);
  }
  phase_began_ns_ = record_.announced_ns;
  const std::uint64_t deadline_ns = record_.deadline_ns;
  {
    const std::scoped_lock lock(extension_mutex_);
    accepts_extensions_ = true;
  }
  if (!published_.announced) {
    for (ParticipantSource* source : parts_.sources)
      std::ranges::move(source->announce(record_), std::back_inserter(pending_));
    shm::EventDraft event = draft(shm::EventKind::kAnnounce);
    event.deadline_ns = deadline_ns;
    event.text = record_.cause;
    parts_.host.publish(event);
  }
  return await_answers();
}

bool Transaction::await_answers() {
  for (bool waited = false;; waited = true) {
    const std::uint32_t seen = parts_.host.news();
    const std::size_t untold = untold_.size();
    collect_answers();
    if (pending_.empty()) break;
    if (waited && untold_.size() == untold) {  // a quiet moment
      tell_answers();
      parts_.host.wake_followers();
    }
    if (close_deadline()) {
      tell_answers();
      Participants late = take_late();
      if (!late.empty() && !apply_timeout_policy(std::move(late))) return false;
      if (pending_.empty()) break;
    }
    parts_.host.wait(seen, count_of_answering(pending_), kRescanInterval);
  }
  close_phase();  // the waiting is over; what follows is news of it
  tell_answers();
  const std::scoped_lock lock(extension_mutex_);
  accepts_extensions_ = false;
  return true;
}

// True when the time is over; from then on nobody gets more of it.
bool Transaction::close_deadline() {
  const std::scoped_lock lock(extension_mutex_);
  if (parts_.host.now_ns() < record_.deadline_ns) return false;
  accepts_extensions_ = false;
  return true;
}

// Only looks; telling is for when nothing else is to be done: it wakes the very processes that are waited for.
void Transaction::collect_answers() {
  const std::uint64_t now_ns = parts_.host.now_ns();
  std::erase_if(pending_, [&](std::unique_ptr<Participant>& participant) {
    const Outcome outcome = participant->look();
    if (outcome == Outcome::kPending) return false;
    untold_.push_back({outcome_of(*participant, outcome, now_ns), std::move(participant)});
    return true;
  });
}

// Told first, settled then: killed in between, the successor finds the answer in the event ring.
void Transaction::tell_answers() {
  std::vector<shm::EventDraft> events;
  events.reserve(untold_.size());
  for (const Answer& answer : untold_) events.push_back(draft_of(answer.listener));
  parts_.host.publish(events);
  for (const Answer& answer : untold_) answer.participant->settle();
  untold_.clear();
}

// Those who could have answered and did not. Who can't answer is never late.
Participants Transaction::take_late() {
  Participants late;
  std::erase_if(pending_, [&](std::unique_ptr<Participant>& participant) {
    if (!participant->can_answer()) return false;
    late.push_back(std::move(participant));
    return true;
  });
  return late;
}

bool Transaction::apply_timeout_policy(Participants late) {
  for (const auto& participant : late) {
    const ListenerRecord silent = outcome_of(*participant, Outcome::kTimedOut, parts_.host.now_ns());
    parts_.host.publish(draft_of(silent));
  }
  if (record_.on_timeout == shm::TimeoutPolicy::kKill) return kill_and_await(late);
  for (const auto& participant : late) participant->settle();
  if (record_.on_timeout == shm::TimeoutPolicy::kProceed) return true;
  decide(shm::ResetResult::kAborted,
         fmt::format("no answer within {} ms from {}; the cards were left alone",
                     (record_.timeout + milliseconds(record_.extended_ms)).count(), names_of(late)));
  return false;
}

bool Transaction::kill_and_await(Participants& late) {
  std::string refusals;
  for (const auto& participant : late) {
    if (Status killed = participant->kill(); !killed) refusals += "; " + killed.error().message;
  }
  const std::uint64_t deadline_ns = parts_.host.now_ns() + ns_of(kKillDeadline);
  for (;;) {
    const std::uint32_t seen = parts_.host.news();
    std::erase_if(late, [&](const std::unique_ptr<Participant>& participant) {
      const Outcome outcome = participant->look();
      if (outcome == Outcome::kPending) return false;
      shm::EventDraft event = draft(event_of(outcome));
      event.pid = participant->pid();
      event.session_id = participant->session_id();
      event.text = participant->name();
      parts_.host.publish(event);
      participant->settle();
      return true;
    });
    if (late.empty()) return true;
    if (parts_.host.now_ns() >= deadline_ns) break;
    parts_.host.wait(seen, late.size(), kRescanInterval);
  }
  decide(shm::ResetResult::kAborted, fmt::format("still alive {} ms after SIGKILL: {}{}; the cards were left alone",
                                                 kKillDeadline.count(), names_of(late), refusals));
  for (const auto& participant : late) participant->settle();
  return false;
}

bool Transaction::quiesce() {
  if (record_.phase == Phase::kAnnounced && !enter(Phase::kQuiesced)) return false;
  if (record_.phase == Phase::kQuiesced) {
    publish_phase();
    if (parts_.fabric != nullptr) record_.fabric = parts_.fabric->prepare(record_.devices);
  }
  return close_gates();
}

bool Transaction::close_gates() {
  // Also when a predecessor had come further: this worker's gates are still open.
  for (std::size_t i = 0; i < parts_.targets.size(); ++i) {
    if (Status quiet = parts_.targets[i]->quiesce(kQuiesceDeadline); !quiet) {
      decide(shm::ResetResult::kFailed, record_.devices[i].name + ": " + quiet.error().message);
      return false;
    }
  }
  return true;
}

void Transaction::reset() {
  if (record_.phase == Phase::kQuiesced && !enter(Phase::kResetting)) return;
  publish_phase();
  if (record_.external && published_.has(Phase::kResetting)) {
    // What the dead worker had seen of the cards before is gone, and with it every proof.
    parts_.external->wait();
    decide(shm::ResetResult::kFailed, "wardend's worker died while somebody else reset the card, so nothing is proven");
  } else {
    std::vector<std::future<chip::ResetReport>> verdicts;
    for (ResetTarget* target : parts_.targets) verdicts.push_back(target->start_reset(parts_.external));
    judge(verdicts);
  }
  if (record_.result == shm::ResetResult::kOk) {
    // The cards are reset and proven: a journal that fails now changes nothing about that.
    if (enter(Phase::kVerified)) publish_phase();
    return;
  }
  (void)parts_.host.write_journal(record_);
}

void Transaction::judge(std::vector<std::future<chip::ResetReport>>& verdicts) {
  std::string reasons;
  record_.evidence.clear();
  for (std::size_t i = 0; i < verdicts.size(); ++i) {
    const chip::ResetReport report = verdict_of(verdicts[i]);
    const std::string& device = record_.devices[i].name;
    bool proven = report.ok;
    for (const chip::Evidence& piece : report.evidence) {
      record_.evidence.push_back({device, piece.name, piece.before, piece.after, piece.passed});
      proven = proven && piece.passed;
    }
    if (!proven) {
      reasons += fmt::format("{}{}: {}", reasons.empty() ? "" : "; ", device,
                             report.reason.empty() ? "the reset could not be proven" : report.reason);
    }
  }
  decide(reasons.empty() ? shm::ResetResult::kOk : shm::ResetResult::kFailed, reasons);
}

// Good, and traffic comes back with the cards; not begun, and it goes on. Behind a card whose reset failed it waits for
// the next one.
void Transaction::settle_fabric() {
  if (parts_.fabric == nullptr || !record_.fabric || record_.fabric->restored) return;
  if (record_.result == shm::ResetResult::kOk) {
    parts_.fabric->restore(record_.devices, *record_.fabric);
  } else if (record_.phase == Phase::kQuiesced) {
    parts_.fabric->undo(record_.devices, *record_.fabric);
  }
}

void Transaction::conclude() {
  close_phase();
  for (const auto& participant : pending_) participant->settle();
  pending_.clear();
  parts_.host.finish(record_);
  if (!published_.result) {
    for (ParticipantSource* source : parts_.sources) source->finish(record_);
    shm::EventDraft event = draft(shm::EventKind::kResult);
    event.result = record_.result;
    event.text = record_.reason;
    parts_.host.publish(event);
  }
  record_.phase = Phase::kIdle;
  (void)parts_.host.write_journal(record_);  // at worst the successor finds that the result was published
}

// Journal first: whoever comes after a kill must know at least as much as the card does.
bool Transaction::enter(Phase phase) {
  close_phase();
  const Phase before = record_.phase;
  record_.phase = phase;
  if (Status written = parts_.host.write_journal(record_); !written) {
    if (record_.result != shm::ResetResult::kNone) return true;
    record_.phase = before;
    decide(shm::ResetResult::kFailed, written.error().message + "; the cards were left alone");
    return false;
  }
  return true;
}

void Transaction::publish_phase() {
  phase_began_ns_ = parts_.host.now_ns();
  if (!published_.has(record_.phase)) parts_.host.publish(draft(shm::EventKind::kPhase));
}

void Transaction::close_phase() {
  if (record_.phase == Phase::kIdle || phase_began_ns_ == 0) return;
  record_.phases.push_back({record_.phase, us_between(phase_began_ns_, parts_.host.now_ns())});
  phase_began_ns_ = 0;
}

void Transaction::decide(shm::ResetResult result, std::string reason) {
  record_.result = result;
  record_.reason = std::move(reason);
}

ListenerRecord Transaction::outcome_of(const Participant& participant, Outcome outcome, std::uint64_t now_ns) {
  // One wake may find many answers. What they say of their time is believed as far as it can be true.
  const std::uint64_t said_ns = outcome == Outcome::kAcknowledged ? participant.answered_ns() : 0;
  const std::uint64_t answered_ns = said_ns == 0 ? now_ns : std::clamp(said_ns, record_.announced_ns, now_ns);
  ListenerRecord listener{participant.session_id(),
                          participant.pid(),
                          participant.name(),
                          outcome,
                          0,
                          us_between(record_.announced_ns, answered_ns)};
  const std::scoped_lock lock(extension_mutex_);
  if (listener.session_id != 0) listener.extended_ms = extended_ms_by_session_[listener.session_id];
  record_.listeners.push_back(listener);
  return listener;
}

// Borrows the listener's name.
shm::EventDraft Transaction::draft_of(const ListenerRecord& listener) const {
  shm::EventDraft event = draft(event_of(listener.outcome));
  event.pid = listener.pid;
  event.session_id = listener.session_id;
  event.value = listener.duration_us;
  event.text = listener.name;
  return event;
}

milliseconds Transaction::extend(const ListenerRecord& asking, milliseconds wanted) {
  const std::scoped_lock lock(extension_mutex_);
  if (!accepts_extensions_ || hurried_ || wanted <= milliseconds::zero()) return milliseconds::zero();
  const milliseconds left = record_.extension_cap - milliseconds(record_.extended_ms);
  const milliseconds granted = std::clamp(left, milliseconds::zero(), wanted);
  if (granted == milliseconds::zero()) return granted;
  const auto granted_ms = static_cast<std::uint64_t>(granted.count());
  record_.deadline_ns += ns_of(granted);
  record_.extended_ms += granted_ms;
  extended_ms_by_session_[asking.session_id] += granted_ms;
  shm::EventDraft event = draft(shm::EventKind::kExtended);
  event.pid = asking.pid;
  event.session_id = asking.session_id;
  event.value = granted_ms;
  event.deadline_ns = record_.deadline_ns;
  event.text = asking.name;
  parts_.host.publish(event);
  return granted;
}

void Transaction::hurry(milliseconds bound) {
  const std::scoped_lock lock(extension_mutex_);
  hurried_ = true;
  if (accepts_extensions_) record_.deadline_ns = std::min(record_.deadline_ns, parts_.host.now_ns() + ns_of(bound));
}

shm::EventDraft Transaction::draft(shm::EventKind kind) const {
  shm::EventDraft event;
  event.kind = kind;
  event.reset_id = record_.id;
  event.device_mask = record_.device_mask();
  event.phase = record_.phase;
  return event;
}

}  // namespace warden::daemon
