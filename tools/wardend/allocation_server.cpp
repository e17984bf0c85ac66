// SPDX-License-Identifier: Apache-2.0
// The loop of the bridge: who comes, what is said, who dies. Answers are given in a quiet moment, when everything that
// was said before the question has been heard.
#include "tools/wardend/allocation_server.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "tools/wardend/processes.h"

namespace warden::daemon {
namespace {

constexpr unsigned kSourceShift = 56;

constexpr std::chrono::milliseconds kTurn{5};               // of one call: the worker has others to serve
constexpr std::chrono::milliseconds kQuestionPatience{50};  // a question is answered though others never fall silent
constexpr int kMessagesOfTurn = 64;                         // of one peer, before the others are heard
constexpr int kGuestsOfTurn = 64;

}  // namespace

Status AllocationServer::watch(int fd, Source source, std::uint64_t number, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = (static_cast<std::uint64_t>(source) << kSourceShift) | number;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return fail_errno("epoll_ctl");
  return {};
}

void AllocationServer::hear() {
  const auto end_of_turn = Clock::now() + kTurn;
  bool is_quiet = false;
  std::array<epoll_event, 64> events{};
  while (!is_quiet && Clock::now() < end_of_turn) {
    const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events.at(static_cast<std::size_t>(i));
      dispatch(event.data.u64, event.events);
    }
    reap_noted();
    is_quiet = count <= 0;
  }
  if (questions_.empty()) return;
  if (is_quiet || Clock::now() - oldest_question_ > kQuestionPatience) return answer_questions();
  // The turn was over, perhaps with the last event: nobody else may ever give us another one.
  if (!timer_is_running()) start_timer();
}

void AllocationServer::dispatch(std::uint64_t tag, std::uint32_t events) {
  const std::uint64_t number = tag & ((std::uint64_t{1} << kSourceShift) - 1);
  switch (static_cast<Source>(tag >> kSourceShift)) {
    case Source::kListener: return accept_all();
    case Source::kTimer: return hear_timer();
    case Source::kConnection: return hear_peer(number, events);
    case Source::kPidfd: dead_.push_back(number); return;
  }
}

void AllocationServer::start_timer() {
  const itimerspec schedule{{}, {0, std::chrono::nanoseconds(kSizePatience).count()}};
  (void)::timerfd_settime(timer_.get(), 0, &schedule, nullptr);
}

bool AllocationServer::timer_is_running() const {
  itimerspec schedule{};
  return ::timerfd_gettime(timer_.get(), &schedule) == 0 &&
         (schedule.it_value.tv_sec != 0 || schedule.it_value.tv_nsec != 0);
}

void AllocationServer::hear_timer() {
  std::uint64_t count = 0;
  (void)!::read(timer_.get(), &count, sizeof(count));
  if (paused_) {
    paused_ = false;
    if (!watch(listener_.get(), Source::kListener, 0, EPOLLIN)) paused_ = true;
  }
  const auto silent_since = Clock::now() - kSizePatience;
  for (const auto& [id, since] : std::exchange(undecided_, {})) {
    const auto peer = peers_.find(id);
    if (peer == peers_.end()) continue;
    if (since > silent_since) {
      undecided_.emplace_back(id, since);
      continue;
    }
    peer->second.size_by_silence = true;
    hear_peer(id, 0);
  }
  if (paused_ || !undecided_.empty()) start_timer();
}

void AllocationServer::accept_all() {
  for (int i = 0; i < kGuestsOfTurn; ++i) {
    UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) {
      if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
        spdlog::warn("allocation server: accept: {}; raise the limit of open files", std::strerror(errno));
        ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, listener_.get(), nullptr);
        paused_ = true;
        start_timer();
      }
      return;
    }
    if (Status admitted = admit(std::move(socket)); !admitted && admitted.error().code != Code::kDisconnected) {
      spdlog::warn("allocation server: a client is dropped: {}", admitted.error().message);
    }
  }
}

Status AllocationServer::admit(UniqueFd socket) {
  Result<AllocationClient*> client = clients_.admit(socket.get());
  if (!client) return std::unexpected(std::move(client).error());
  AllocationClient& process = **client;
  Status added;
  if (process.connections == 0 && process.pidfd) {
    // Once more for one that is watched already does no harm.
    added = watch(process.pidfd.get(), Source::kPidfd, process.id, EPOLLIN | EPOLLET);
    if (added) parts_.watch(process.id, process.pidfd.get());
    if (!added && errno == EEXIST) added = {};
  }
  if (added) added = add_peer(std::move(socket), process);
  if (!added) idle_.push_back(process.id);
  return added;
}

Status AllocationServer::add_peer(UniqueFd socket, AllocationClient& client) {
  const auto of_user =
      std::ranges::count_if(peers_, [&](const auto& entry) { return entry.second.user_id == client.user_id; });
  const std::uint64_t id = next_connection_;
  const auto row = of_user < kMaxConnectionsOfUser ? desk_.take(id) : std::nullopt;
  if (!row) {
    return fail(Code::kBusy, fmt::format("PID {} ({}), user {}: there are too many connections", client.shown_pid(),
                                         client.name, client.user_id));
  }
  ++next_connection_;
  const int fd = socket.get();
  Status done = keeper_.keep(connection_name(id), connection_blob(client.id, *row, client.user_id), {&fd, 1});
  if (done) done = watch(fd, Source::kConnection, id, kPeerEvents);
  if (!done) {
    (void)keeper_.drop(connection_name(id));
    desk_.give_back(*row);
    return done;
  }
  ++client.connections;
  peers_.emplace(id,
                 Peer{AllocationConnection(id, *row, desk_.row(*row), std::move(socket)), client.id, client.user_id});
  return {};
}

void AllocationServer::hear_peer(std::uint64_t connection_id, std::uint32_t events) {
  const auto found = peers_.find(connection_id);
  if (found == peers_.end()) return;
  Peer& peer = found->second;
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) peer.has_ended = true;
  if ((events & EPOLLOUT) != 0) peer.connection.flush();
  Heard heard = Heard::kMore;
  for (int i = 0; i < kMessagesOfTurn && heard == Heard::kMore; ++i) heard = hear_message(peer);
  if (heard == Heard::kDropped) return;
  if (heard == Heard::kMore) return look_again(peer);
  if (peer.has_ended && !peer.has_question && !peer.connection.has_output()) close(connection_id);
}

AllocationServer::Heard AllocationServer::hear_message(Peer& peer) {
  if (peer.has_question) return Heard::kNothing;
  if (peer.client_id == 0) {
    peer.connection.mark_done();
    peer.connection.discard();
    return Heard::kNothing;
  }
  const auto arrival = peer.connection.fetch(peer.size_by_silence || peer.has_ended);
  if (!arrival) {
    drop(peer, arrival.error().message);
    return Heard::kDropped;
  }
  if (*arrival == AllocationConnection::Arrival::kMessage) return hear_request(peer);
  if (*arrival == AllocationConnection::Arrival::kUndecided) {
    const bool is_known =
        std::ranges::any_of(undecided_, [&](const auto& entry) { return entry.first == peer.connection.id(); });
    if (!is_known) undecided_.emplace_back(peer.connection.id(), Clock::now());
    start_timer();
  }
  return Heard::kNothing;
}

AllocationServer::Heard AllocationServer::hear_request(Peer& peer) {
  const auto request = parse_allocation_request(peer.connection.message());
  if (!request) {
    drop(peer, request.error().message);
    return Heard::kDropped;
  }
  if (request->is_question()) {
    peer.has_question = true;
    if (questions_.empty()) oldest_question_ = Clock::now();
    questions_.push_back(peer.connection.id());
    return Heard::kNothing;
  }
  AllocationClient* client = clients_.find(peer.client_id);
  const Status applied =
      clients_.apply(*client, *request, peer.connection.row_index(), [&] { peer.connection.mark_done(); });
  if (applied) return Heard::kMore;
  drop(peer, applied.error().message);
  return Heard::kDropped;
}

// Edges are told once: whoever stopped reading before the end asks for another.
void AllocationServer::look_again(const Peer& peer) {
  epoll_event event{};
  event.events = kPeerEvents;
  event.data.u64 = (static_cast<std::uint64_t>(Source::kConnection) << kSourceShift) | peer.connection.id();
  (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, peer.connection.socket(), &event);
}

std::string AllocationServer::name_of(const Peer& peer) {
  const AllocationClient* client = clients_.find(peer.client_id);
  return client == nullptr ? "a dead process" : fmt::format("PID {} ({})", client->shown_pid(), client->name);
}

void AllocationServer::drop(const Peer& peer, const std::string& reason) {
  spdlog::warn("allocation server: {} is dropped: {}", name_of(peer), reason);
  close(peer.connection.id());
}

void AllocationServer::close(std::uint64_t connection_id) {
  const auto found = peers_.find(connection_id);
  if (found == peers_.end()) return;
  const Peer& peer = found->second;
  const std::uint64_t client_id = peer.client_id;
  // The keeper may hold the socket a little longer: it closes for the peer, and for our epoll, now.
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, peer.connection.socket(), nullptr);
  ::shutdown(peer.connection.socket(), SHUT_RDWR);
  (void)keeper_.drop(connection_name(connection_id));  // fails only when the keeper is gone, and we with it
  desk_.give_back(peer.connection.row_index());
  peers_.erase(found);
  if (AllocationClient* client = clients_.find(client_id)) {
    --client->connections;
    idle_.push_back(client_id);
  }
}

// A process that hangs up and lives keeps its records. One whose death can't be seen has none but its connections.
bool AllocationServer::is_idle(const AllocationClient& client) noexcept {
  return client.connections == 0 && (!client.pidfd || client.book.sums().records == 0);
}

void AllocationServer::answer_questions() {
  note_all_dead();
  reap_noted();
  for (const std::uint64_t id : std::exchange(questions_, {})) {
    const auto found = peers_.find(id);
    if (found == peers_.end() || !found->second.has_question) continue;
    Peer& peer = found->second;
    const auto question = parse_allocation_request(peer.connection.message());
    if (!question) continue;  // it was parsed before
    const Status queued = peer.connection.answer(answer_to(*question, peer.connection.answer_bytes()));
    if (!queued) {
      drop(peer, queued.error().message);
      continue;
    }
    peer.connection.mark_done();
    peer.has_question = false;
    peer.connection.flush();
    look_again(peer);
  }
}

AllocationConnection::Producer AllocationServer::answer_to(const AllocationRequest& question,
                                                           std::size_t message_bytes) const {
  switch (question.type) {
    case AllocationMessageType::kDumpRemaining: return dump_producer(clients_, message_bytes);
    case AllocationMessageType::kDeviceInfoQuery:
      return single_producer(answer_device_info(parts_.devices(), question.device), message_bytes);
    default: return single_producer(answer_query(clients_, question.device), message_bytes);
  }
}

// Nobody who was dead when it was asked is counted in the answer, whatever the loop has seen by then.
void AllocationServer::note_all_dead() {
  for (const auto& [id, client] : clients_.all()) {
    if (client.pidfd && is_dead(client.pidfd.get())) dead_.push_back(id);
  }
}

void AllocationServer::client_died(std::uint64_t client_id) {
  dead_.push_back(client_id);
  reap_noted();
}

void AllocationServer::reap_noted() {
  std::vector<ReapedProcess> reaped;
  for (const std::uint64_t id : std::exchange(dead_, {})) reap(id, reaped);
  for (const std::uint64_t id : std::exchange(idle_, {})) {
    // It may have connected again since.
    const AllocationClient* client = clients_.find(id);
    if (client != nullptr && is_idle(*client)) reap(id, reaped);
  }
  log_reaping(reaped);
}

void AllocationServer::reap(std::uint64_t client_id, std::vector<ReapedProcess>& reaped) {
  const AllocationClient* client = clients_.find(client_id);
  if (client == nullptr) return;
  if (client->pidfd) {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, client->pidfd.get(), nullptr);
    parts_.forget(client_id);
  }
  // A child may go on talking on a socket it inherited, and must neither be ended by SIGPIPE nor wait for answers.
  for (auto& [connection_id, peer] : peers_) {
    if (peer.client_id != client_id) continue;
    peer.client_id = 0;
    peer.connection.stop_answering();
    look_again(peer);
  }
  ReapedProcess process = clients_.remove(client_id);
  if (process.buffers != 0) reaped.push_back(std::move(process));
}

}  // namespace warden::daemon
