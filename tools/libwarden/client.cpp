// SPDX-License-Identifier: Apache-2.0
// Requests over the session socket, and reattaching when it breaks.
#include "tools/libwarden/client.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

namespace warden::internal {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kSlice{50};          // how soon a new worker is noticed
constexpr milliseconds kHandshake{2500};    // one attempt, when there may be others
constexpr milliseconds kLongestPause{100};  // between two attempts to connect
constexpr std::size_t kLongestTextBytes = std::size_t{64} * 1024 * 1024;

milliseconds left_until(Clock::time_point deadline) {
  return std::max(std::chrono::ceil<milliseconds>(deadline - Clock::now()), milliseconds(0));
}

std::string path_from(const AttachOptions& options) {
  if (!options.socket_path.empty()) return options.socket_path;
  const char* from_environment = std::getenv("WARDEN_SOCKET");
  if (from_environment != nullptr && *from_environment != '\0') return from_environment;
  return shm::kDefaultSocketPath;
}

// What to do about it, on the same line.
Error with_cure(Error error) {
  if (error.code == Code::kNotFound || error.code == Code::kDisconnected) {
    error.message += "; start wardend, or mount its socket's directory in this container";
  }
  if (error.code == Code::kPermission) error.message += "; join the group that owns the socket's directory";
  return error;
}

// Bits of clients' own are all but the two lowest. Sharing one costs a look at the socket, no more.
std::uint32_t pick_wake_bit() {
  static std::atomic<std::uint32_t> count{0};
  const std::uint32_t number = static_cast<std::uint32_t>(::getpid()) + count.fetch_add(1, std::memory_order_relaxed);
  return std::uint32_t{1} << (2 + number % 30);
}

bool may_help_to_retry(Code code) {
  return code == Code::kDisconnected || code == Code::kNotFound || code == Code::kBusy || code == Code::kTimeout;
}

void wait_until_writable(int socket, milliseconds bound) {
  pollfd poll_fd{.fd = socket, .events = POLLOUT, .revents = 0};
  ::poll(&poll_fd, 1, static_cast<int>(std::min(bound, kSlice).count()));
}

Status send_before(const Connection& connection, const shm::Header& header, std::span<const std::byte> body,
                   std::span<const std::byte> tail, Clock::time_point deadline) {
  while (true) {
    auto sent = shm::send_packet(connection.socket(), header, body, tail);
    if (sent || sent.error().code != Code::kBusy) return sent;
    const auto left = left_until(deadline);
    if (left.count() == 0) return fail(Code::kTimeout, "wardend takes no more requests: its queue stayed full");
    wait_until_writable(connection.socket(), left);
  }
}

std::uint32_t worker_starts(const Connection& connection) {
  return connection.directory().header().worker_starts.load(std::memory_order_acquire);
}

Result<Reply> reply_from(shm::Packet packet, std::uint64_t attachment) {
  const std::uint32_t code = packet.header.code;
  if (code == 0) return Reply{std::move(packet), attachment};
  if (code > static_cast<std::uint32_t>(Code::kFailed)) {
    return fail(Code::kProtocol, "reply with the unknown code " + std::to_string(code));
  }
  return fail(static_cast<Code>(code),
              std::string(reinterpret_cast<const char*>(packet.body.data()), packet.body.size()));
}

}  // namespace

Result<std::string> text_of(const shm::Packet& packet) {
  if (packet.fds.empty()) return std::string(reinterpret_cast<const char*>(packet.body.data()), packet.body.size());
  struct stat status{};
  if (::fstat(packet.fds[0].get(), &status) != 0) return fail_errno("fstat of a long reply");
  const auto len_bytes = static_cast<std::size_t>(status.st_size);
  if (len_bytes > kLongestTextBytes) return fail(Code::kProtocol, "long reply of " + std::to_string(len_bytes));
  std::string text(len_bytes, '\0');
  const ssize_t got = ::pread(packet.fds[0].get(), text.data(), len_bytes, 0);
  if (got < 0) return fail_errno("read a long reply");
  text.resize(static_cast<std::size_t>(got));
  return text;
}

Client::Client(std::string path, AttachOptions options, shm::CoarseClock clock)
    : path_(std::move(path)),
      options_(std::move(options)),
      fork_generation_(fork_generation()),
      wake_bit_(pick_wake_bit()),
      ledgers_(std::move(clock)) {}

Result<std::unique_ptr<Client>> Client::attach(const AttachOptions& options) {
  auto clock = shm::CoarseClock::create();
  if (!clock) return std::unexpected(std::move(clock).error());
  std::unique_ptr<Client> client(new Client(path_from(options), options, std::move(*clock)));
  const std::lock_guard lock(client->request_mutex_);
  const auto deadline = client->deadline_from_now();
  auto attached = client->attach_once(deadline);
  // A wardend that is there but busy (or whose worker just died) is worth waiting for; no wardend is not.
  const bool is_there = !attached && (attached.error().code == Code::kBusy || attached.error().code == Code::kTimeout);
  if (is_there) attached = client->reattach(deadline);
  if (!attached) return std::unexpected(with_cure(std::move(attached).error()));
  return client;
}

Status Client::check_process() const {
  if (fork_generation() == fork_generation_) return {};
  return fail(Code::kDisconnected, "this process was forked from the one that attached; attach anew");
}

std::shared_ptr<Connection> Client::connection() const {
  const std::lock_guard lock(connection_mutex_);
  return connection_;
}

void Client::install(std::shared_ptr<Connection> connection) {
  session_id_.store(connection->welcome().session_id, std::memory_order_relaxed);  // for information
  is_operator_.store(connection->is_operator(), std::memory_order_relaxed);
  {
    const std::lock_guard lock(connection_mutex_);
    std::swap(connection_, connection);
  }
  attachments_.fetch_add(1, std::memory_order_release);  // sync: client.attachments
  // Listeners that still wait in the old memory: here is something new.
  if (connection) connection->directory().wake(wake_bit_);
}

Status Client::attach_once(Clock::time_point deadline) {
  auto connection = Connection::open(path_, options_, std::min(deadline, Clock::now() + kHandshake), ledgers_);
  if (!connection) return std::unexpected(std::move(connection).error());
  ledgers_.use((*connection)->ledger());
  listeners_.rebind(**connection);
  install(std::move(*connection));
  return listeners_.device_mask() == 0 ? Status{} : tell_listening(deadline);
}

Status Client::reattach(Clock::time_point deadline) {
  milliseconds pause{1};
  while (true) {
    auto attached = attach_once(deadline);
    if (attached || !may_help_to_retry(attached.error().code)) return attached;
    const auto left = left_until(deadline);
    if (left.count() == 0) {
      return fail(Code::kDisconnected, "wardend is gone: " + with_cure(std::move(attached).error()).message);
    }
    // Nothing tells us that a socket has come into being; connecting again is the question.
    ::poll(nullptr, 0, static_cast<int>(std::min(pause, left).count()));
    pause = std::min(pause * 2, kLongestPause);
  }
}

Result<std::shared_ptr<Connection>> Client::live_connection() {
  if (auto ok = check_process(); !ok) return std::unexpected(std::move(ok).error());
  const std::lock_guard lock(request_mutex_);
  if (connection()->has_hung_up()) {
    if (auto ok = reattach(deadline_from_now()); !ok) return std::unexpected(std::move(ok).error());
  }
  return connection();
}

Result<std::shared_ptr<Connection>> Client::try_live_connection() {
  if (auto ok = check_process(); !ok) return std::unexpected(std::move(ok).error());
  auto now = connection();
  if (!now->has_hung_up()) return now;
  const std::unique_lock lock(request_mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return fail(Code::kBusy, "another thread is reattaching");
  if (connection()->has_hung_up()) {
    if (auto ok = attach_once(Clock::now() + kHandshake); !ok) return std::unexpected(std::move(ok).error());
  }
  return connection();
}

Status Client::check_scope(const RequestScope& scope) const {
  const auto current = connection();
  if (scope.instance_id != 0 && scope.instance_id != current->welcome().instance_id) {
    return fail(Code::kDisconnected, "wardend was restarted");
  }
  if (scope.attachment != 0 && scope.attachment != current->number()) {
    return fail(Code::kStale, "wardend was restarted since this device was opened; open it again");
  }
  return {};
}

Result<Reply> Client::request(shm::MessageKind kind, std::span<const std::byte> body, std::span<const std::byte> tail,
                              const RequestScope& scope) {
  if (auto ok = check_process(); !ok) return std::unexpected(std::move(ok).error());
  const std::lock_guard lock(request_mutex_);
  const auto deadline = deadline_from_now();
  if (auto ok = check_scope(scope); !ok) return std::unexpected(std::move(ok).error());
  auto reply = exchange(kind, body, tail, deadline);
  if (reply || !connection()->has_hung_up()) return reply;
  if (auto ok = reattach(deadline); !ok) return std::unexpected(std::move(ok).error());
  if (auto ok = check_scope(scope); !ok) return std::unexpected(std::move(ok).error());
  return exchange(kind, body, tail, deadline);
}

Result<Reply> Client::exchange(shm::MessageKind kind, std::span<const std::byte> body, std::span<const std::byte> tail,
                               Clock::time_point deadline) {
  const shm::Header header = shm::request_header(kind, ++last_request_);
  return await_reply(header, body, tail, deadline);
}

Result<Reply> Client::await_reply(const shm::Header& header, std::span<const std::byte> body,
                                  std::span<const std::byte> tail, Clock::time_point deadline) {
  const auto current = connection();
  std::uint32_t starts = worker_starts(*current);
  if (auto ok = send_before(*current, header, body, tail, deadline); !ok) return std::unexpected(ok.error());
  while (true) {
    auto packet = shm::receive_packet(current->socket(), std::min(kSlice, left_until(deadline)));
    if (packet && packet->header.kind == static_cast<std::uint16_t>(shm::MessageKind::kReply) &&
        packet->header.request == header.request) {
      return reply_from(std::move(*packet), current->number());
    }
    if (!packet && packet.error().code != Code::kTimeout) return std::unexpected(std::move(packet).error());
    if (left_until(deadline).count() == 0) {
      return fail(Code::kTimeout, "wardend did not answer a request of kind " + std::to_string(header.kind) +
                                      " within " + std::to_string(options_.timeout.count()) + " ms (worker pid " +
                                      std::to_string(current->directory().header().worker_pid.load()) + ")");
    }
    // The worker that read the request may be dead: the same number again, so that one answer is enough.
    if (const std::uint32_t now = worker_starts(*current); now != starts) {
      starts = now;
      if (auto ok = send_before(*current, header, body, tail, deadline); !ok) return std::unexpected(ok.error());
    }
  }
}

Status Client::tell_listening(Clock::time_point deadline) {
  const shm::Listen listen{.device_mask = listeners_.device_mask()};
  auto reply = exchange(shm::MessageKind::kListen, bytes_of(listen), {}, deadline);
  if (!reply) return std::unexpected(std::move(reply).error());
  return {};
}

Status Client::update_listening() {
  if (auto ok = check_process(); !ok) return ok;
  const std::lock_guard lock(request_mutex_);
  const auto deadline = deadline_from_now();
  auto told = tell_listening(deadline);
  if (told || !connection()->has_hung_up()) return told;
  return reattach(deadline);  // which tells it too
}

void Client::tell_if_attached(shm::MessageKind kind, std::span<const std::byte> body, const RequestScope& scope) {
  if (!check_process()) return;
  const std::lock_guard lock(request_mutex_);
  if (!check_scope(scope) || connection()->has_hung_up()) return;
  (void)exchange(kind, body, {}, deadline_from_now());
}

void Client::update_listening_if_attached() {
  if (!check_process()) return;
  const std::lock_guard lock(request_mutex_);
  // A failure needs no answer: the session is broken then, and the next one starts from the registry.
  if (!connection()->has_hung_up()) (void)tell_listening(deadline_from_now());
}

}  // namespace warden::internal
