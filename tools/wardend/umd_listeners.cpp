// SPDX-License-Identifier: Apache-2.0
// Listing, connecting and sending, none of which may block on a stranger's socket.
#include "tools/wardend/umd_listeners.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "shm/peer.h"

namespace warden::daemon {
namespace {

using Clock = std::chrono::steady_clock;

// Anybody may fill the directory; this many sockets are tried, the rest is passed over.
constexpr std::size_t kMaxListeners = 1024;

struct DirectoryCloser {
  void operator()(DIR* directory) const noexcept { ::closedir(directory); }
};

// Names of the sockets in the directory, without following links.
Result<std::vector<std::string>> socket_names(const std::string& path, int directory_fd) {
  const int duplicate = ::fcntl(directory_fd, F_DUPFD_CLOEXEC, 3);
  if (duplicate < 0) return fail_errno("read directory " + path);
  std::unique_ptr<DIR, DirectoryCloser> directory(::fdopendir(duplicate));
  if (!directory) {
    ::close(duplicate);
    return fail_errno("read directory " + path);
  }
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(directory.get())) {
    struct stat status{};
    if (::fstatat(directory_fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISSOCK(status.st_mode)) {
      continue;
    }
    names.emplace_back(entry->d_name);
    if (names.size() == kMaxListeners) break;
  }
  return names;
}

enum class Attempt : std::uint8_t { kTaken, kGone, kFull };

// One connection, one byte. A unix socket either connects at once or says that its queue is full.
Attempt send_one(int directory_fd, const std::string& name, UmdMessage message, UmdListener& listener) {
  // Through the open directory: the path stays short, and a directory swapped meanwhile leads nowhere.
  const std::string path = "/proc/self/fd/" + std::to_string(directory_fd) + "/" + name;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return Attempt::kGone;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);

  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return Attempt::kFull;
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return errno == EAGAIN ? Attempt::kFull : Attempt::kGone;
  }
  const auto byte = static_cast<std::uint8_t>(message);
  if (::send(socket.get(), &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1) return Attempt::kGone;

  // Of a connected unix socket the kernel names the process that listens.
  if (auto peer = shm::identify_peer(socket.get())) {
    listener.pid = peer->pid;
    listener.name = peer->name;
    listener.pidfd = std::move(peer->pidfd);
  }
  if (listener.name.empty()) listener.name = name;
  return Attempt::kTaken;
}

}  // namespace

Result<std::vector<UmdListener>> notify_umd_listeners(const std::string& directory, UmdMessage message,
                                                      const std::string& own_name, std::chrono::milliseconds bound) {
  const auto deadline = Clock::now() + bound;
  const UniqueFd directory_fd(::open(directory.c_str(), O_DIRECTORY | O_RDONLY | O_CLOEXEC));
  if (!directory_fd) return fail_errno("open listener directory " + directory);
  auto names = socket_names(directory, directory_fd.get());
  if (!names) return std::unexpected(names.error());
  std::erase(*names, own_name);

  std::vector<UmdListener> listeners;
  // Whoever has a full queue is tried again after everybody else, until the time is up.
  while (!names->empty()) {
    std::vector<std::string> again;
    for (const std::string& name : *names) {
      UmdListener listener;
      switch (send_one(directory_fd.get(), name, message, listener)) {
        case Attempt::kTaken: listeners.push_back(std::move(listener)); break;
        case Attempt::kFull: again.push_back(name); break;
        case Attempt::kGone: break;
      }
      if (Clock::now() >= deadline) return listeners;
    }
    const bool stuck = again.size() == names->size();
    *names = std::move(again);
    // Nothing tells when a foreign queue has room again; give its owner the processor and look once more.
    if (stuck) ::usleep(1000);
  }
  return listeners;
}

}  // namespace warden::daemon
