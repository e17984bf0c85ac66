// SPDX-License-Identifier: Apache-2.0
// Marking, and saying what was removed.
#include "tools/wardend/reaper.h"

#include <spdlog/spdlog.h>

#include "tools/wardend/reaping_log.h"

namespace warden::daemon {
namespace {

// From the counters, so that a million records cost what one costs.
shm::AllocationSum held_by(const Session& session, bool is_gone) {
  const shm::AllocationReader ledger = session.ledger.allocations();
  const auto totals = is_gone ? ledger.totals_of_gone() : ledger.totals();
  if (totals) return totals->all();
  spdlog::error("session {}: its allocations can't be read: {}", session.identity.id, totals.error().message);
  return {};
}

ReapedProcess reaped_of(const Session& session, const shm::AllocationSum& held) {
  const SessionIdentity& who = session.identity;
  return {who.pid, who.name, who.own_pid, held.count, held.bytes};
}

}  // namespace

Status Reaper::open(const Options& options, bool first, KeptTable& kept) {
  auto exits = ExitThread::open({options.exit_watcher, options.exit_ring_bytes, first, kept, parts_.keeper,
                                 [this](std::span<const ToldDeath> told) { hear_deaths(told); }});
  if (!exits) return std::unexpected(std::move(exits).error());
  exits_ = std::move(*exits);
  return {};
}

void Reaper::watch(const Session& session) {
  const SessionIdentity& who = session.identity;
  // The word in the page says that the session is dead. One that stands for another process outlives its own.
  const std::uint32_t slot = session.subject_pidfd ? bpf::kNoSlot : who.slot;
  Status watched = exits_->watch(WatchedAs::kSession, who.id, session.pidfd.get(), slot);
  if (watched && session.subject_pidfd) {
    watched = exits_->watch(WatchedAs::kSubject, who.id, session.subject_pidfd.get());
  }
  if (!watched) spdlog::warn("session {}: its end will be noticed late: {}", who.id, watched.error().message);
}

void Reaper::watch_bridged(std::uint64_t client_id, int pidfd) {
  const Status watched = exits_->watch(WatchedAs::kBridged, client_id, pidfd);
  if (!watched) spdlog::warn("allocation server: an end will be noticed late: {}", watched.error().message);
}

void Reaper::forget_bridged(std::uint64_t client_id) { exits_->forget(WatchedAs::kBridged, client_id); }

bool Reaper::forget(const Session& session) {
  if (session.subject_pidfd) exits_->forget(WatchedAs::kSubject, session.identity.id);
  return exits_->forget(WatchedAs::kSession, session.identity.id) || session.subject_pidfd;
}

bool Reaper::is_void(const Session& session) const noexcept {
  return session.peer_gone.load() || exits_->is_marked(session.identity.slot, session.identity.id);
}

// Everybody is marked, and waiting resets are told, before anything is added up.
void Reaper::hear_deaths(std::span<const ToldDeath> told) {
  std::vector<Removal> removals;
  std::vector<std::uint64_t> bridged;
  for (const ToldDeath& death : told) {
    if (death.watched_as == WatchedAs::kBridged) {
      bridged.push_back(death.number);
      continue;
    }
    auto session = parts_.sessions.find(death.number);
    if (!session) continue;
    if (death.watched_as == WatchedAs::kSubject) {
      session->subject_dead = true;
    } else if (mark_peer(*session)) {
      removals.push_back({std::move(session), {}});
    }
  }
  parts_.doorbell.wake();
  for (Removal& removal : removals) removal.held = held_by(*removal.session, true);
  parts_.mailbox.post([this, removals = std::move(removals), bridged = std::move(bridged)] {
    settle(removals);
    for (const std::uint64_t client : bridged) parts_.on_bridged_death(client);
  });
}

// Answers whether it was not marked before.
bool Reaper::mark_peer(Session& session) {
  if (session.peer_gone.exchange(true)) return false;
  if (!session.subject_pidfd) parts_.sessions.mark_dead(session);
  return true;
}

void Reaper::mark(const std::shared_ptr<Session>& session) {
  if (!mark_peer(*session)) return;  // who marked it says the rest
  parts_.doorbell.wake();
  const Removal removal{session, held_by(*session, true)};
  settle(std::span(&removal, 1));
}

void Reaper::settle(std::span<const Removal> removals) {
  std::vector<ReapedProcess> reaped;
  for (const Removal& removal : removals) {
    removal.session->reaped = true;
    keep(*removal.session);
    if (removal.held.count != 0) reaped.push_back(reaped_of(*removal.session, removal.held));
  }
  log_reaping(reaped);
  for (const Removal& removal : removals) parts_.on_marked(removal.session);
}

void Reaper::dismiss(const std::shared_ptr<Session>& session) {
  if (session->peer_gone.load()) return;
  const shm::AllocationSum held = held_by(*session, false);
  // Before anything else says that it is gone: a successor would take it for a dying process's, and wait for its end.
  session->reaped = true;
  keep(*session);
  if (!mark_peer(*session)) return;  // dying after all, and the rest is said by who saw that
  if (held.count != 0) log_dismissal(reaped_of(*session, held));
  parts_.on_marked(session);
}

// That it is void, and whether it has ended: a successor says nothing again and goes on from there.
void Reaper::keep(const Session& session) {
  (void)keep_session_blob(parts_.keeper, session);  // fails only when the keeper is gone, and we with it
}

}  // namespace warden::daemon
