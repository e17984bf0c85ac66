// SPDX-License-Identifier: Apache-2.0
// Packets with descriptors over SOCK_SEQPACKET: never blocking to send, bounded to receive, nothing believed.
#include "shm/socket.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>

namespace warden::shm {

namespace {

using Clock = std::chrono::steady_clock;

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return fail(Code::kInvalidArgument,
                "socket path '" + path + "' must have 1 to " + std::to_string(sizeof(address.sun_path) - 1) + " bytes");
  }
  path.copy(address.sun_path, path.size());
  return address;
}

Result<UniqueFd> new_socket(SocketType type) {
  const int kind = type == SocketType::kStream ? SOCK_STREAM : SOCK_SEQPACKET;
  UniqueFd fd(::socket(AF_UNIX, kind | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno("socket");
  return fd;
}

int bind_to(int socket, const sockaddr_un& address) {
  return ::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ? 0 : errno;
}

Result<UniqueFd> connect_as(SocketType type, const std::string& path) {
  const auto address = address_of(path);
  if (!address) return std::unexpected(address.error());
  auto fd = new_socket(type);
  if (!fd) return fd;
  if (::connect(fd->get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) == 0) return fd;
  if (errno == EAGAIN) return fail(Code::kBusy, "connect to " + path + ": too many are waiting to be let in");
  return fail_errno("connect to " + path);
}

// Removes a socket file that nobody answers; anything else stays.
Status remove_stale(const std::string& path, SocketType type) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) return errno == ENOENT ? Status{} : fail_errno("look at " + path);
  if (!S_ISSOCK(status.st_mode)) {
    return fail(Code::kBusy, path + " exists and is not a socket; remove it or choose another path");
  }
  const auto answer = connect_as(type, path);
  if (answer || answer.error().code == Code::kBusy) {
    return fail(Code::kBusy, path + " is in use by a running process; stop it or choose another path");
  }
  if (answer.error().code != Code::kDisconnected && answer.error().code != Code::kNotFound) {
    return std::unexpected(answer.error());
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno("remove stale " + path);
  return {};
}

void attach_fds(msghdr& message, std::span<const int> fds) {
  if (fds.empty()) return;
  message.msg_controllen = CMSG_SPACE(fds.size_bytes());
  cmsghdr* control = CMSG_FIRSTHDR(&message);
  control->cmsg_level = SOL_SOCKET;
  control->cmsg_type = SCM_RIGHTS;
  control->cmsg_len = CMSG_LEN(fds.size_bytes());
  std::memcpy(CMSG_DATA(control), fds.data(), fds.size_bytes());
}

std::vector<UniqueFd> take_fds(msghdr& message) {
  std::vector<UniqueFd> fds;
  for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr; control = CMSG_NXTHDR(&message, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    std::array<int, kMaxMessageFds + 1> numbers{};
    const std::size_t taken = std::min(count, numbers.size());
    std::memcpy(numbers.data(), CMSG_DATA(control), taken * sizeof(int));
    for (std::size_t i = 0; i < taken; ++i) fds.emplace_back(numbers[i]);
  }
  return fds;
}

bool has_hung_up(int socket) {
  pollfd poll_fd{.fd = socket, .events = POLLRDHUP, .revents = 0};
  return ::poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & (POLLRDHUP | POLLHUP)) != 0;
}

std::unexpected<Error> hung_up() { return fail(Code::kDisconnected, "the peer hung up"); }

std::unexpected<Error> receive_failed(int socket, ssize_t got) {
  if (got == 0) return has_hung_up(socket) ? hung_up() : fail(Code::kProtocol, "empty message");
  if (errno == ECONNRESET || errno == EPIPE || errno == ENOTCONN) return hung_up();
  return fail_errno("receive a message");
}

Status check_header(const Header& header, std::size_t len_bytes) {
  if (len_bytes < sizeof(Header)) {
    return fail(Code::kProtocol, "message of " + std::to_string(len_bytes) + " bytes, shorter than its header");
  }
  if (header.magic != kMessageMagic) return fail(Code::kProtocol, "message with a wrong magic");
  if (header.version != kProtocolVersion) {
    return fail(Code::kProtocol, "message of protocol version " + std::to_string(header.version) +
                                     ", this program speaks " + std::to_string(kProtocolVersion));
  }
  return {};
}

// One packet if there is one; kTimeout if not.
Result<Packet> receive_now(int socket) {
  constexpr std::size_t kBodyBytes = kMaxMessageBytes - sizeof(Header);
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(kBodyBytes);  // zeroing 64 KiB would show
  Packet packet;
  std::array<iovec, 2> parts{iovec{&packet.header, sizeof(Header)}, iovec{buffer.get(), kBodyBytes}};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxMessageFds)> control;
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t got = 0;
  do {
    got = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return fail(Code::kTimeout, "no message came");
  if (got <= 0) return receive_failed(socket, got);
  packet.fds = take_fds(message);
  if ((message.msg_flags & MSG_TRUNC) != 0) {
    return fail(Code::kProtocol, "message longer than " + std::to_string(kMaxMessageBytes) + " bytes");
  }
  if ((message.msg_flags & MSG_CTRUNC) != 0) return fail(Code::kProtocol, "message with too many descriptors");
  const auto len_bytes = static_cast<std::size_t>(got);
  if (auto ok = check_header(packet.header, len_bytes); !ok) return std::unexpected(std::move(ok).error());
  packet.body.assign(buffer.get(), buffer.get() + (len_bytes - sizeof(Header)));
  return packet;
}

}  // namespace

Result<UniqueFd> listen_at(const std::string& path, SocketType type) {
  const auto address = address_of(path);
  if (!address) return std::unexpected(address.error());
  auto fd = new_socket(type);
  if (!fd) return fd;
  int error_number = bind_to(fd->get(), *address);
  if (error_number == EADDRINUSE) {
    if (auto removed = remove_stale(path, type); !removed) return wrap(std::move(removed).error(), "listen at " + path);
    error_number = bind_to(fd->get(), *address);
  }
  if (error_number != 0) return fail_errno("listen at " + path, error_number);
  if (::chmod(path.c_str(), 0666) != 0) return fail_errno("chmod " + path);
  if (::listen(fd->get(), SOMAXCONN) != 0) return fail_errno("listen at " + path);
  return fd;
}

Result<UniqueFd> connect_to(const std::string& path) { return connect_as(SocketType::kPackets, path); }

Status send_packet(int socket, const Header& header, std::span<const std::byte> body, std::span<const std::byte> tail,
                   std::span<const int> fds) {
  const std::size_t len_bytes = sizeof(header) + body.size() + tail.size();
  if (len_bytes > kMaxMessageBytes || fds.size() > kMaxMessageFds) {
    return fail(Code::kInvalidArgument, "message of " + std::to_string(len_bytes) + " bytes and " +
                                            std::to_string(fds.size()) + " descriptors is too large");
  }
  // sendmsg does not write through these pointers.
  std::array<iovec, 3> parts{iovec{const_cast<Header*>(&header), sizeof(header)},
                             iovec{const_cast<std::byte*>(body.data()), body.size()},
                             iovec{const_cast<std::byte*>(tail.data()), tail.size()}};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxMessageFds)> control{};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  if (!fds.empty()) message.msg_control = control.data();
  attach_fds(message, fds);
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return {};
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS || errno == ETOOMANYREFS) {
    return fail(Code::kBusy, "the peer's queue is full");
  }
  if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN) return hung_up();
  return fail_errno("send a message");
}

Result<Packet> receive_packet(int socket, std::chrono::milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  while (true) {
    auto packet = receive_now(socket);
    if (packet || packet.error().code != Code::kTimeout) return packet;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) return packet;
    pollfd poll_fd{.fd = socket, .events = POLLIN, .revents = 0};
    ::poll(&poll_fd, 1, static_cast<int>(std::min<std::int64_t>(left.count(), 60'000)));
  }
}

Header request_header(MessageKind kind, std::uint32_t request) noexcept {
  return {.magic = kMessageMagic,
          .kind = static_cast<std::uint16_t>(kind),
          .version = kProtocolVersion,
          .request = request,
          .code = 0,
          .reserved = 0};
}

Header reply_header(std::uint32_t request, std::uint32_t code) noexcept {
  Header header = request_header(MessageKind::kReply, request);
  header.code = code;
  return header;
}

}  // namespace warden::shm
