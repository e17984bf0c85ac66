// SPDX-License-Identifier: Apache-2.0
// Named stream sockets: binding, cleaning up after the dead, connecting.
#include "tools/sim/listening_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#include <cstring>
#include <utility>

#include <fmt/format.h>

namespace warden::sim {

namespace {

constexpr int kBacklog = 64;

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return fail(Code::kInvalidArgument, fmt::format("{}: longer than the {} bytes a socket's name may have; use a "
                                                    "shorter --dir",
                                                    path, sizeof(address.sun_path) - 1));
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

Status remove_stale(const std::string& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) return {};
  if (!S_ISSOCK(status.st_mode)) {
    return fail(Code::kBusy, path + ": is in the way and no socket; remove it or use another --dir");
  }
  if (const auto peer = connect_to(path); peer || peer.error().code != Code::kDisconnected) {
    return fail(Code::kBusy, path + ": in use by another process; stop that one or use another --dir");
  }
  if (::unlink(path.c_str()) != 0) return fail_errno("remove stale " + path);
  return {};
}

}  // namespace

Result<UniqueFd> connect_to(const std::string& path) {
  const auto address = address_of(path);
  if (!address) return std::unexpected(address.error());
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno("socket");
  constexpr timeval kPatience{.tv_sec = 5, .tv_usec = 0};
  for (const int option : {SO_SNDTIMEO, SO_RCVTIMEO}) {
    if (::setsockopt(socket.get(), SOL_SOCKET, option, &kPatience, sizeof(kPatience)) != 0) {
      return fail_errno("set a socket's timeout");
    }
  }
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) != 0) {
    return fail_errno("connect to " + path);
  }
  return socket;
}

Result<ListeningSocket> ListeningSocket::bind(const std::string& path) {
  const auto address = address_of(path);
  if (!address) return std::unexpected(address.error());
  if (Status free = remove_stale(path); !free) return std::unexpected(free.error());
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return fail_errno("socket");
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) != 0) {
    return fail_errno("bind " + path);
  }
  ListeningSocket bound(path, std::move(socket));
  if (::listen(bound.get(), kBacklog) != 0) return fail_errno("listen on " + path);
  return bound;
}

ListeningSocket::~ListeningSocket() {
  if (socket_) ::unlink(path_.c_str());
}

UniqueFd ListeningSocket::accept() const noexcept {
  return UniqueFd(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
}

}  // namespace warden::sim
