// SPDX-License-Identifier: Apache-2.0
// The handshake, wardend's side.
#include "tools/wardend/greeter.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "shm/message.h"
#include "tools/wardend/processes.h"
#include "tools/wardend/replier.h"

namespace warden::daemon {

namespace {

std::string name_of(const shm::Hello& hello, const shm::Peer& peer) {
  const std::size_t length = ::strnlen(hello.name, sizeof(hello.name) - 1);
  std::string name = length > 0 ? std::string(hello.name, length) : peer.name;
  // It goes to logs and terminals: no control characters.
  for (char& letter : name) {
    if (static_cast<unsigned char>(letter) < ' ' || letter == '\x7f') letter = '?';
  }
  return name;
}

// A session may stand for a process that it started, or for one of the same user: nobody else's death is its news,
// and the kill policy must not reach anybody else.
Result<shm::Peer> subject_of(int subject_pid, const shm::Peer& peer) {
  Result<shm::Peer> subject = shm::identify_process(subject_pid);
  if (!subject) return wrap(std::move(subject).error(), fmt::format("subject {}", subject_pid));
  const bool same_user = peer.user_id == 0 || subject->user_id == peer.user_id;
  if (!same_user && !descends_from(subject_pid, peer.pid)) {
    return fail(
        Code::kPermission,
        fmt::format("subject {} is neither a child nor of the same user; name a process of your own", subject_pid));
  }
  return subject;
}

Result<std::array<UniqueFd, 2>> make_notification() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0) {
    return fail_errno("socketpair for notifications");
  }
  return std::array<UniqueFd, 2>{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// The call that shows it was not its cause.
Error explain(Error error) {
  std::array<UniqueFd, 6> as_a_session_takes;
  for (UniqueFd& fd : as_a_session_takes) fd.reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!as_a_session_takes.back()) {
    error.message += "; wardend is at its limit of open files: end other sessions or raise it (LimitNOFILE=)";
  }
  return error;
}

}  // namespace

Result<std::shared_ptr<Session>> Greeter::greet(UniqueFd socket, const shm::Packet& hello) {
  Result<std::shared_ptr<Session>> session = make_session(socket.get(), hello);
  if (!session) {
    session = std::unexpected(explain(std::move(session).error()));
    const auto code = static_cast<std::uint32_t>(session.error().code);
    const std::string& why = session.error().message;
    (void)shm::send_packet(socket.get(), shm::reply_header(hello.header.request, code), {},
                           std::as_bytes(std::span(why)));
    return session;
  }
  (*session)->socket = std::move(socket);
  if (Status kept = keep_session(parts_.keeper, **session); !kept) return std::unexpected(kept.error());
  parts_.sessions.add(*session);
  return session;
}

Result<std::shared_ptr<Session>> Greeter::make_session(int socket, const shm::Packet& packet) {
  const auto hello = shm::body_of<shm::Hello>(packet);
  if (packet.header.kind != static_cast<std::uint16_t>(shm::MessageKind::kHello) || !hello) {
    return fail(Code::kProtocol, "the first message must be a hello");
  }
  Result<shm::Peer> peer = shm::identify_peer(socket);
  if (!peer) return std::unexpected(std::move(peer).error());
  UniqueFd subject_pidfd;
  const Result<int> subject_pid = hello->subject_pid == 0 ? 0 : translate_pid(hello->subject_pid, peer->pid);
  if (!subject_pid) return std::unexpected(subject_pid.error());
  if (*subject_pid != 0 && *subject_pid != peer->pid) {
    Result<shm::Peer> subject = subject_of(*subject_pid, *peer);
    if (!subject) return std::unexpected(std::move(subject).error());
    subject_pidfd = std::move(subject->pidfd);
  }
  const Result<SessionTable::Place> place = parts_.sessions.reserve();
  if (!place) return std::unexpected(place.error());
  Result<shm::LedgerReader> ledger = ledger_for(packet, *place);
  if (!ledger) {
    parts_.sessions.release(*place);
    return std::unexpected(std::move(ledger).error());
  }
  SessionIdentity who{.id = place->id,
                      .slot = place->slot,
                      .pid = peer->pid,
                      .user_id = peer->user_id,
                      .flags = has_operator_right(*peer, socket) ? shm::kSessionOperator : 0U,
                      .start_time_ns = peer->start_time_ns,
                      .name = name_of(*hello, *peer),
                      .subject_pid = subject_pidfd ? *subject_pid : 0,
                      .own_pid = innermost_pid_of(peer->pid),
                      .attach_time_ns = shm::boottime_ns()};
  auto session = std::make_shared<Session>(std::move(who), std::move(*ledger));
  session->pidfd = std::move(peer->pidfd);
  session->subject_pidfd = std::move(subject_pidfd);
  session->hello_request = packet.header.request;
  session->wants_liveness = (hello->flags & shm::kHelloLiveness) != 0;
  if ((hello->flags & shm::kHelloPollable) != 0) {
    auto ends = make_notification();
    if (!ends) {
      parts_.sessions.release(*place);
      return std::unexpected(std::move(ends).error());
    }
    session->notification = std::move((*ends)[0]);
    session->notification_peer = std::move((*ends)[1]);
  }
  return session;
}

Result<shm::LedgerReader> Greeter::ledger_for(const shm::Packet& hello, const SessionTable::Place& place) {
  const auto body = shm::body_of<shm::Hello>(hello);
  const bool hands_back = body && (body->flags & shm::kHelloLedger) != 0 && hello.fds.size() == 1;
  if (!hands_back) return shm::LedgerReader::create(place.id);
  auto taken = take_back(hello.fds[0].get());
  if (taken) return taken;
  spdlog::warn("session {} gets a fresh ledger, its old one is refused: {}", place.id, taken.error().message);
  return shm::LedgerReader::create(place.id);
}

// The memory is the client's, and so is what stands in it: wardend counts what it finds, for this client alone.
Result<shm::LedgerReader> Greeter::take_back(int ledger_fd) {
  UniqueFd fd(::fcntl(ledger_fd, F_DUPFD_CLOEXEC, 0));
  if (!fd) return fail_errno("duplicate the ledger handed back");
  auto ledger = shm::LedgerReader::adopt(std::move(fd));
  if (!ledger) return ledger;
  for (const auto& session : parts_.sessions.all()) {
    if (session->ledger.file_id() != ledger->file_id()) continue;
    if (!session->ended.load()) return fail(Code::kBusy, fmt::format("session {} has it", session->identity.id));
    // Sent away, and back before its cards were clean: its records are this session's, its death actions the old one's.
    if (Status parted = keep_session_apart(parts_.keeper, *session); !parted) {
      return std::unexpected(std::move(parted).error());
    }
  }
  return ledger;
}

Status Greeter::welcome(Session& session) {
  const shm::DirectoryHeader& head = parts_.directory.header();
  const bool with_liveness = session.wants_liveness && liveness_fd_ >= 0;
  const shm::Welcome welcome{session.identity.id, head.instance_id, head.active_reset_id.load(), session.identity.slot,
                             session.identity.flags | (with_liveness ? shm::kWelcomeLiveness : 0)};
  shm::Header header = shm::reply_header(session.hello_request, 0);
  header.kind = static_cast<std::uint16_t>(shm::MessageKind::kWelcome);
  std::vector<int> fds = {parts_.directory.reader_fd(), session.ledger.fd(), parts_.doorbell.fd()};
  if (session.notification_peer) fds.push_back(session.notification_peer.get());
  if (with_liveness) fds.push_back(liveness_fd_);
  const Status sent = shm::send_packet(session.socket.get(), header, bytes_of(welcome), {}, fds);
  if (!sent) return sent;
  session.notification_peer.reset();
  session.welcomed = true;
  return keep_session(parts_.keeper, session);
}

bool Greeter::has_operator_right(const shm::Peer& peer, int socket) const {
  if (peer.user_id == 0 || peer.user_id == ::geteuid()) return true;
  if (!parts_.operator_group) return false;
  const std::vector<std::uint32_t> groups = groups_of_peer(socket);
  return peer.group_id == *parts_.operator_group || std::ranges::find(groups, *parts_.operator_group) != groups.end();
}

}  // namespace warden::daemon
