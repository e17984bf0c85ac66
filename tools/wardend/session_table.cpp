// SPDX-License-Identifier: Apache-2.0
// Rows, slots and numbers of sessions.
#include "tools/wardend/session_table.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace warden::daemon {

namespace {

// The keeper keeps the next number under this name: the directory forgets a session when its slot is freed.
constexpr std::string_view kNextIdName = "next-session";

std::uint64_t number_of(const std::string& text) {
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

Result<SessionTable::Place> SessionTable::reserve() {
  const std::scoped_lock lock(mutex_);
  const auto free = std::ranges::find(taken_, false);
  if (free == taken_.end()) {
    return fail(Code::kBusy, "all " + std::to_string(taken_.size()) + " sessions are taken; end one and try again");
  }
  if (Status kept = keeper_.keep(kNextIdName, std::to_string(next_id_ + 1)); !kept)
    return std::unexpected(kept.error());
  *free = true;
  return Place{next_id_++, static_cast<std::uint32_t>(free - taken_.begin())};
}

void SessionTable::release(const Place& place) {
  const std::scoped_lock lock(mutex_);
  taken_[place.slot] = false;
}

void SessionTable::add(const std::shared_ptr<Session>& session) {
  const std::scoped_lock lock(mutex_);
  taken_[session->identity.slot] = true;
  write_row(*session);
  sessions_.insert_or_assign(session->identity.id, session);
}

void SessionTable::mark_dead(const Session& session) {
  const std::scoped_lock lock(mutex_);
  if (!sessions_.contains(session.identity.id)) return;
  directory_.session(session.identity.slot).state.store(static_cast<std::uint32_t>(shm::SessionState::kDead));
}

bool SessionTable::is_marked_dead(const Session& session) const {
  const std::scoped_lock lock(mutex_);
  const shm::SessionRecord& row = directory_.session(session.identity.slot);
  return row.session_id.load() == session.identity.id &&
         row.state.load() == static_cast<std::uint32_t>(shm::SessionState::kDead);
}

void SessionTable::remove(const Session& session, bool free_slot) {
  const std::scoped_lock lock(mutex_);
  if (sessions_.erase(session.identity.id) == 0) return;
  clear_row(session.identity.slot);
  taken_[session.identity.slot] = !free_slot;
  (void)keeper_.drop(keeper_name_of(session.identity.id));  // fails only when the keeper is gone, and we with it
}

std::shared_ptr<Session> SessionTable::find(std::uint64_t id) const {
  const std::scoped_lock lock(mutex_);
  const auto found = sessions_.find(id);
  return found == sessions_.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<Session>> SessionTable::all() const {
  const std::scoped_lock lock(mutex_);
  std::vector<std::shared_ptr<Session>> list;
  for (const auto& [id, session] : sessions_) list.push_back(session);
  return list;
}

void SessionTable::restore(KeptTable& kept) {
  if (const auto next = kept.find(kNextIdName); next != kept.end()) next_id_ = number_of(next->second.blob);
  for (auto& [name, entry] : kept) {
    if (!is_session_name(name)) continue;
    auto session = restore_session(std::move(entry));
    if (session) {
      add(*session);
    } else {
      spdlog::error("{} is lost: {}", name, session.error().message);
      (void)keeper_.drop(name);
    }
  }
  const std::scoped_lock lock(mutex_);
  for (std::uint32_t slot = 0; slot < shm::kSessionCapacity; ++slot) {
    if (!taken_[slot] && directory_.session(slot).session_id.load() != 0) clear_row(slot);
  }
}

void SessionTable::listen(const Session& session, std::uint64_t device_mask) {
  const std::scoped_lock lock(mutex_);
  if (!sessions_.contains(session.identity.id)) return;
  shm::ListenerRecord& row = directory_.listener(session.identity.slot);
  row.device_mask.store(device_mask);
  if (device_mask == 0) row.owed_reset_id.store(0);
  row.session_id.store(device_mask == 0 ? 0 : session.identity.id);
}

std::uint64_t SessionTable::listens_to(const Session& session) const {
  const std::scoped_lock lock(mutex_);
  const shm::ListenerRecord& row = directory_.listener(session.identity.slot);
  return row.session_id.load() == session.identity.id ? row.device_mask.load() : 0;
}

void SessionTable::for_each_listener(
    std::uint64_t device_mask,
    const std::function<void(const std::shared_ptr<Session>&, shm::ListenerRecord&)>& visit) {
  const std::scoped_lock lock(mutex_);
  for (const auto& [id, session] : sessions_) {
    shm::ListenerRecord& row = directory_.listener(session->identity.slot);
    if (row.session_id.load() == id && (row.device_mask.load() & device_mask) != 0) visit(session, row);
  }
}

// Sequentially consistent stores throughout: rows change seldom, and readers look at session_id first and last.
void SessionTable::write_row(const Session& session) {
  const SessionIdentity& who = session.identity;
  shm::SessionRecord& row = directory_.session(who.slot);
  if (row.session_id.load() == who.id) return;  // a predecessor wrote it; readers may be looking
  row.pid = who.pid;
  row.user_id = who.user_id;
  row.flags = who.flags;
  row.start_time_ns = who.start_time_ns;
  std::memset(row.name, 0, sizeof(row.name));
  std::memcpy(row.name, who.name.data(), std::min(who.name.size(), sizeof(row.name) - 1));
  row.state.store(static_cast<std::uint32_t>(shm::SessionState::kLive));
  row.session_id.store(who.id);
}

void SessionTable::clear_row(std::uint32_t slot) {
  shm::ListenerRecord& listener = directory_.listener(slot);
  listener.session_id.store(0);
  listener.device_mask.store(0);
  listener.owed_reset_id.store(0);
  shm::SessionRecord& row = directory_.session(slot);
  row.state.store(static_cast<std::uint32_t>(shm::SessionState::kDead));
  row.session_id.store(0);
  row.state.store(static_cast<std::uint32_t>(shm::SessionState::kFree));
}

}  // namespace warden::daemon
