// SPDX-License-Identifier: Apache-2.0
// Sessions as participants of a reset.
#include "tools/wardend/session_listeners.h"

#include <algorithm>

#include "tools/wardend/processes.h"

namespace warden::daemon {

namespace {

class SessionParticipant final : public Participant {
 public:
  SessionParticipant(std::shared_ptr<Session> session, shm::ListenerRecord& row, std::uint64_t reset_id)
      : session_(std::move(session)), row_(row), reset_id_(reset_id) {}

  [[nodiscard]] std::uint64_t session_id() const noexcept override { return session_->identity.id; }
  [[nodiscard]] int pid() const noexcept override {
    return session_->identity.subject_pid != 0 ? session_->identity.subject_pid : session_->identity.pid;
  }
  [[nodiscard]] const std::string& name() const noexcept override { return session_->identity.name; }

  [[nodiscard]] Outcome look() override {
    if (session_->ledger.acknowledged_reset_id() == reset_id_) return Outcome::kAcknowledged;
    if (session_->owes_nothing()) return Outcome::kDied;
    // Its wrapper is gone, so nobody will ever answer; but a command that is stopped touches nothing.
    if (session_->peer_gone.load() && is_stopped(session_->identity.subject_pid, session_->subject_pidfd.get())) {
      return Outcome::kDied;
    }
    // Listening was given up: nothing is owed. The session's own thread of control said so.
    if (row_.session_id.load() != session_->identity.id) return Outcome::kAcknowledged;
    return Outcome::kPending;
  }

  [[nodiscard]] std::uint64_t answered_ns() const noexcept override {
    return session_->ledger.acknowledged_reset_id() == reset_id_ ? session_->ledger.acknowledged_time_ns() : 0;
  }

  [[nodiscard]] Status kill() override { return kill_process(session_->working_pidfd()); }

  void settle() noexcept override {
    // The slot may be somebody else's by now; that one owes nothing to this reset.
    std::uint64_t owed = reset_id_;
    row_.owed_reset_id.compare_exchange_strong(owed, 0);
  }

 private:
  std::shared_ptr<Session> session_;
  shm::ListenerRecord& row_;
  std::uint64_t reset_id_;
};

}  // namespace

Participants SessionListeners::announce(const ResetRecord& record) {
  Participants participants;
  sessions_.for_each_listener(record.device_mask(), [&](const auto& session, shm::ListenerRecord& row) {
    if (session->owes_nothing()) return;
    row.owed_reset_id.store(record.id, std::memory_order_release);  // read after the event: sync: directory.generation
    participants.push_back(std::make_unique<SessionParticipant>(session, row, record.id));
  });
  expect(participants.size());
  return participants;
}

Participants SessionListeners::resume(const ResetRecord& record) {
  Participants participants;
  sessions_.for_each_listener(record.device_mask(), [&](const auto& session, shm::ListenerRecord& row) {
    const bool answered = std::ranges::any_of(
        record.listeners, [&](const ListenerRecord& one) { return one.session_id == session->identity.id; });
    if (answered || row.owed_reset_id.load() != record.id) return;
    participants.push_back(std::make_unique<SessionParticipant>(session, row, record.id));
  });
  expect(participants.size());
  return participants;
}

void SessionListeners::finish(const ResetRecord& record) noexcept {
  sessions_.for_each_listener(record.device_mask(), [&](const auto&, shm::ListenerRecord& row) {
    std::uint64_t owed = record.id;
    row.owed_reset_id.compare_exchange_strong(owed, 0);
  });
}

// The last of `count` rings wakes us; a wrong guess costs one rescan interval.
void SessionListeners::expect(std::size_t count) {
  const std::uint32_t target = doorbell_.count() + static_cast<std::uint32_t>(count);
  directory_.header().acks_target.store(target, std::memory_order_release);  // sync: directory.generation
}

}  // namespace warden::daemon
