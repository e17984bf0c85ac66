// SPDX-License-Identifier: Apache-2.0
// The worker's dealings with clients: from connection to the end of the session.
#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>

#include "shm/socket.h"
#include "tools/wardend/processes.h"
#include "tools/wardend/worker.h"

namespace warden::daemon {

namespace {

constexpr std::size_t kMaxGuests = 256;
constexpr std::chrono::seconds kHelloPatience{10};

}  // namespace

void Worker::accept_guests() {
  for (;;) {
    UniqueFd socket(::accept4(parts_.listening_socket, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket && (errno == EMFILE || errno == ENFILE)) return accept_last_guest();
    if (!socket) {
      if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) spdlog::warn("accept: {}", std::strerror(errno));
      return;
    }
    admit_guest(std::move(socket));
  }
}

void Worker::admit_guest(UniqueFd socket) {
  // Whoever connects and says nothing makes room for the next.
  if (guests_.size() >= kMaxGuests) guests_.erase(guests_.begin());
  const std::uint64_t number = next_guest_++;
  if (!watch(socket.get(), Source::kGuest, number)) return;
  guests_.emplace(number, Guest{std::move(socket), std::chrono::steady_clock::now()});
}

// Out of descriptors. The one in reserve serves to hear this guest out and to tell it so; the others queue meanwhile.
void Worker::accept_last_guest() {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, parts_.listening_socket, nullptr);
  reserve_.reset();
  UniqueFd socket(::accept4(parts_.listening_socket, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (socket) admit_guest(std::move(socket));
}

void Worker::refill_reserve() {
  if (reserve_ || stopping_) return;
  reserve_.reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (reserve_) (void)watch(parts_.listening_socket, Source::kListener);
}

void Worker::hear_guest(std::uint64_t number) {
  const auto guest = guests_.find(number);
  if (guest == guests_.end()) return;
  Result<shm::Packet> hello = shm::receive_packet(guest->second.socket.get(), std::chrono::milliseconds(0));
  if (!hello && hello.error().code == Code::kTimeout) return;
  UniqueFd socket = std::move(guest->second.socket);
  guests_.erase(guest);
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, socket.get(), nullptr);
  if (!hello) {
    if (hello.error().code != Code::kDisconnected) spdlog::warn("a guest is dropped: {}", hello.error().message);
    return;
  }
  Result<std::shared_ptr<Session>> session = greeter_.greet(std::move(socket), *hello);
  if (!session) {
    spdlog::warn("a guest is dropped: {}", session.error().message);
    return;
  }
  adopt_session(*session);
  if (Status welcomed = greeter_.welcome(**session); !welcomed) return lose_peer(*session, welcomed.error().message);
  board_.add_pollable(*session);
  const SessionIdentity& who = (*session)->identity;
  spdlog::info("session {}: pid {} ({}), user {}{}", who.id, who.pid, who.name, who.user_id,
               (*session)->is_operator() ? ", operator" : "");
  publish_session(shm::EventKind::kSessionOpened, **session);
}

void Worker::adopt_session(const std::shared_ptr<Session>& session) {
  const std::uint64_t id = session->identity.id;
  Status watched = watch(session->socket.get(), Source::kSession, id);
  if (watched) watched = watch(session->pidfd.get(), Source::kPidfd, id);
  if (watched && session->subject_pidfd) watched = watch(session->subject_pidfd.get(), Source::kSubject, id);
  reaper_.watch(*session);
  if (!watched) mailbox_.post([this, session, why = watched.error().message] { end_session(session, why); });
}

void Worker::hear_session(const std::shared_ptr<Session>& session) {
  // What a dying process has asked for and not heard of is not begun: the cards are being cleaned of it.
  if (session->peer_gone.load()) return lose_peer(session, "hung up");
  Result<shm::Packet> packet = shm::receive_packet(session->socket.get(), std::chrono::milliseconds(0));
  if (!packet && packet.error().code == Code::kTimeout) return;
  if (!packet) {
    return lose_peer(session, packet.error().code == Code::kDisconnected ? "hung up" : packet.error().message);
  }
  if (Status handled = requests_->handle(session, std::move(*packet)); !handled) {
    lose_peer(session, handled.error().message);
  }
}

void Worker::lose_process(const std::shared_ptr<Session>& session) {
  reaper_.mark(session);
  lose_peer(session, "died");
}

// A session that stands for another process outlives its own: the command of a killed wrapper still uses the cards, or
// was stopped by the wrapper and has to be continued by somebody.
void Worker::lose_peer(const std::shared_ptr<Session>& session, const std::string& reason) {
  const bool subject_lives =
      session->subject_pidfd && !session->subject_dead.load() && !is_dead(session->subject_pidfd.get());
  if (subject_lives) return orphan(session, reason);
  const SessionIdentity& who = session->identity;
  // Sockets close before all of a process is gone: what is the dying one's stays its own until its pidfd is readable.
  const bool is_dying =
      session->peer_gone.load() || is_exiting(who.pid, session->pidfd.get()) || !reaper_.forget(*session);
  if (is_dying) reaper_.mark(session);
  if (!is_dying || is_dead(session->pidfd.get())) return end_session(session, reason);
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, session->socket.get(), nullptr);
}

void Worker::orphan(const std::shared_ptr<Session>& session, const std::string& reason) {
  if (session->orphaned.load()) return;
  const SessionIdentity& who = session->identity;
  if (is_exiting(who.pid, session->pidfd.get())) {
    reaper_.mark(session);
  } else {
    reaper_.dismiss(session);
  }
  const bool stopped = is_stopped(who.subject_pid, session->subject_pidfd.get());
  session->owes_continuing = stopped || !resets_->is_idle();
  session->orphaned = true;
  spdlog::warn("session {}: {}; its subject {} {}", who.id, reason, who.subject_pid,
               stopped ? "is stopped" : "runs on");
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, session->socket.get(), nullptr);
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, session->pidfd.get(), nullptr);
  parts_.inheritance.doorbell.wake();
}

void Worker::lose_subject(const std::shared_ptr<Session>& session) {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, session->subject_pidfd.get(), nullptr);
  session->subject_dead = true;
  parts_.inheritance.doorbell.wake();
  if (session->orphaned.load()) end_session(session, "its subject died");
}

void Worker::end_session(const std::shared_ptr<Session>& session, const std::string& reason) {
  if (session->ended.exchange(true)) return;
  parts_.inheritance.doorbell.wake();  // a reset may have been waiting for this one alone
  for (const int fd : {session->socket.get(), session->pidfd.get(), session->subject_pidfd.get()}) {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  }
  reaper_.dismiss(session);                      // its ledger is read before it could be handed to us again
  ::shutdown(session->socket.get(), SHUT_RDWR);  // others may hold it for an answer still to come
  board_.remove_pollable(session->identity.id);
  sessions_.listen(*session, 0);
  cleaner_->begin(session);
  cleaner_->when_clean(*session, [this, session, reason] { free_session(session, reason); });
}

// Its process is gone or has left, and nothing of it runs on a card any more.
void Worker::free_session(const std::shared_ptr<Session>& session, const std::string& reason) {
  const bool free_slot = reaper_.forget(*session) || is_dead(session->pidfd.get());
  sessions_.remove(*session, free_slot);
  const SessionIdentity& who = session->identity;
  spdlog::info("session {}: pid {} ({}) {}", who.id, who.pid, who.name, reason);
  publish_session(shm::EventKind::kSessionClosed, *session);
}

void Worker::publish_session(shm::EventKind kind, const Session& session) {
  shm::EventDraft event;
  event.kind = kind;
  event.pid = session.identity.pid;
  event.session_id = session.identity.id;
  event.text = session.identity.name;
  board_.publish(event);
}

void Worker::expire_guests(std::chrono::steady_clock::time_point now) {
  std::erase_if(guests_, [&](const auto& entry) { return now - entry.second.since > kHelloPatience; });
}

// Somebody else has taken over for the dead wrapper.
bool Worker::has_successor(const Session& orphan) const {
  return std::ranges::any_of(sessions_.all(), [&](const auto& other) {
    return other->identity.subject_pid == orphan.identity.subject_pid && !other->orphaned.load() &&
           other->welcomed.load();
  });
}

void Worker::look_after_orphans() {
  const bool quiet = resets_->is_idle();
  for (const auto& session : sessions_.all()) {
    if (!session->orphaned.load()) continue;
    const int subject = session->identity.subject_pid;
    if (has_successor(*session)) {
      end_session(session, "is gone and another stands for its subject");
    } else if (quiet && is_dead(session->pidfd.get()) && session->owes_continuing.exchange(false)) {
      const std::size_t continued = continue_stopped(subject, session->subject_pidfd.get());
      if (continued > 0)
        spdlog::warn("session {}: {} process(es) of subject {} continued", session->identity.id, continued, subject);
    } else if (!session->owes_continuing.load() && is_stopped(subject, session->subject_pidfd.get())) {
      end_session(session, "is gone and its subject is stopped");
    }
  }
}

}  // namespace warden::daemon
