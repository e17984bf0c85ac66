// SPDX-License-Identifier: Apache-2.0
// Binding, accepting, and reading one byte a message.
#include "tools/wardend/umd_inbox.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace warden::daemon {
namespace {

// Who connects and says nothing is dropped when more than this many do so.
constexpr std::size_t kMaxSenders = 64;

Status make_directory(const std::string& directory) {
  if (::mkdir(directory.c_str(), 0777) == 0) {
    // The umask has cut the mode; listeners of every user leave their sockets here.
    if (::chmod(directory.c_str(), 01777) != 0) return fail_errno("open listener directory " + directory);
    return {};
  }
  if (errno != EEXIST) return fail_errno("make listener directory " + directory);
  return {};
}

// The name tt-umd gives its listeners, so that its notifiers find us as they find them.
std::string name_of(int number) { return "client_" + std::to_string(number) + ".sock"; }

Status watch(int epoll, int fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  if (::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) return fail_errno("watch a tt-umd notifier");
  return {};
}

}  // namespace

UmdInbox::UmdInbox(std::string path, std::string name, UniqueFd listener, UniqueFd epoll) noexcept
    : path_(std::move(path)), name_(std::move(name)), listener_(std::move(listener)), epoll_(std::move(epoll)) {}

UmdInbox::~UmdInbox() {
  if (listener_) ::unlink(path_.c_str());
}

Result<UmdInbox> UmdInbox::open(const std::string& directory, int number) {
  if (auto made = make_directory(directory); !made) return std::unexpected(made.error());
  const std::string path = directory + "/" + name_of(number);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return fail(Code::kInvalidArgument, "listener directory " + directory + ": path too long for a socket");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);

  UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!listener) return fail_errno("listen at " + path);
  ::unlink(path.c_str());  // only a dead process can have had this number
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::chmod(path.c_str(), 0777) != 0 || ::listen(listener.get(), SOMAXCONN) != 0) {
    return fail_errno("listen at " + path);
  }
  return adopt(directory, number, std::move(listener));
}

Result<UmdInbox> UmdInbox::adopt(const std::string& directory, int number, UniqueFd listener) {
  std::string name = name_of(number);
  std::string path = directory + "/" + name;
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return fail_errno("listen at " + path);
  if (auto watched = watch(epoll.get(), listener.get()); !watched) return std::unexpected(watched.error());
  return UmdInbox(std::move(path), std::move(name), std::move(listener), std::move(epoll));
}

void UmdInbox::accept_all() {
  for (;;) {
    UniqueFd sender(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!sender) return;
    if (senders_.size() == kMaxSenders) senders_.erase(senders_.begin());
    if (watch(epoll_.get(), sender.get())) senders_.push_back(std::move(sender));
  }
}

std::vector<UmdMessage> UmdInbox::receive(const std::function<bool(int socket)>& may_speak) {
  accept_all();
  std::vector<UmdMessage> messages;
  std::erase_if(senders_, [&](const UniqueFd& sender) {
    std::uint8_t byte = 0;
    const ssize_t got = ::recv(sender.get(), &byte, 1, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return false;
    const bool understood = got == 1 && (byte == 0x01 || byte == 0x02);
    if (!understood || !may_speak(sender.get())) return true;
    messages.push_back(static_cast<UmdMessage>(byte));
    return false;
  });
  return messages;
}

}  // namespace warden::daemon
