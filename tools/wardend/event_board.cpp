// SPDX-License-Identifier: Apache-2.0
// One publisher at a time.
#include "tools/wardend/event_board.h"

#include <sys/socket.h>

namespace warden::daemon {

void EventBoard::publish(std::span<const shm::EventDraft> drafts) {
  if (drafts.empty()) return;
  const std::scoped_lock lock(mutex_);
  directory_.publish(drafts);
  for (const auto& [id, session] : pollable_) {
    // A full socket is readable already, a dead one is noticed elsewhere.
    const char byte = 1;
    (void)::send(session->notification.get(), &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
  }
}

void EventBoard::add_pollable(const std::shared_ptr<Session>& session) {
  if (!session->notification) return;
  const std::scoped_lock lock(mutex_);
  pollable_.insert_or_assign(session->identity.id, session);
}

void EventBoard::remove_pollable(std::uint64_t session_id) {
  const std::scoped_lock lock(mutex_);
  pollable_.erase(session_id);
}

}  // namespace warden::daemon
