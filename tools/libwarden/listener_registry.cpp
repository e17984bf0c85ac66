// SPDX-License-Identifier: Apache-2.0
// Who listens in this session, and who of them has answered.
#include "tools/libwarden/listener_registry.h"

#include <algorithm>

namespace warden::internal {

Result<ListenerRegistry::Token> ListenerRegistry::add(const Connection& connection,
                                                      const std::vector<std::string>& devices, bool threaded) {
  const auto mask = connection.device_mask(devices);
  if (!mask) return std::unexpected(mask.error());
  const std::lock_guard lock(mutex_);
  const bool taken =
      !threaded && std::ranges::any_of(entries_, [](const auto& entry) { return !entry.second.threaded; });
  if (taken) {
    return fail(Code::kBusy, "this session already has a listener without a thread; attach another session for it");
  }
  const Token token = ++last_token_;
  // A reset already under way is no business of a newcomer.
  entries_.emplace(token, Entry{devices, *mask, connection.active_reset_id(), threaded});
  return token;
}

void ListenerRegistry::remove(Token token, Connection& connection, std::uint64_t reset_id, std::uint64_t reset_mask) {
  const std::lock_guard lock(mutex_);
  if (entries_.erase(token) != 0 && reset_id != 0) answer_if_complete(connection, reset_id, reset_mask);
}

std::uint64_t ListenerRegistry::device_mask() const {
  const std::lock_guard lock(mutex_);
  std::uint64_t mask = 0;
  for (const auto& [token, entry] : entries_) mask |= entry.device_mask;
  return mask;
}

std::uint64_t ListenerRegistry::device_mask(Token token) const {
  const std::lock_guard lock(mutex_);
  const auto entry = entries_.find(token);
  return entry == entries_.end() ? 0 : entry->second.device_mask;
}

std::uint64_t ListenerRegistry::answered_reset_id(Token token) const {
  const std::lock_guard lock(mutex_);
  const auto entry = entries_.find(token);
  return entry == entries_.end() ? 0 : entry->second.answered_reset_id;
}

void ListenerRegistry::answer(Token token, Connection& connection, std::uint64_t reset_id, std::uint64_t reset_mask) {
  const std::lock_guard lock(mutex_);
  const auto entry = entries_.find(token);
  if (entry == entries_.end()) return;
  entry->second.answered_reset_id = reset_id;
  answer_if_complete(connection, reset_id, reset_mask);
}

void ListenerRegistry::repeat_answer(Token token, Connection& connection, std::uint64_t reset_id,
                                     std::uint64_t reset_mask) {
  const std::lock_guard lock(mutex_);
  const auto entry = entries_.find(token);
  const bool has_answered = entry != entries_.end() && entry->second.answered_reset_id == reset_id;
  if (has_answered) answer_if_complete(connection, reset_id, reset_mask);
}

void ListenerRegistry::answer_if_complete(Connection& connection, std::uint64_t reset_id, std::uint64_t reset_mask) {
  for (const auto& [token, entry] : entries_) {
    if ((entry.device_mask & reset_mask) != 0 && entry.answered_reset_id != reset_id) return;
  }
  if (connection.owes(reset_id) && !connection.has_acknowledged(reset_id)) connection.acknowledge(reset_id);
}

void ListenerRegistry::rebind(const Connection& connection) {
  const std::lock_guard lock(mutex_);
  for (auto& [token, entry] : entries_) {
    // A device that is gone: hearing of too much is better than hearing of nothing.
    entry.device_mask = connection.device_mask(entry.devices).value_or(~std::uint64_t{0});
    entry.answered_reset_id = connection.welcome().active_reset_id;
  }
}

}  // namespace warden::internal
