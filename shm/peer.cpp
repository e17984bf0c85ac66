// SPDX-License-Identifier: Apache-2.0
// Telling processes apart for good: a pidfd first, then what /proc says about its number.
#include "shm/peer.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77  // <asm-generic/socket.h> of Linux 6.5
#endif

namespace warden::shm {

namespace {

std::string proc_path(int pid, const char* file) { return "/proc/" + std::to_string(pid) + "/" + file; }

// Field 22 of /proc/PID/stat (proc(5)), in clock ticks since boot; 0 when it can't be read.
std::uint64_t start_time_ns_of(int pid) {
  std::ifstream file(proc_path(pid, "stat"));
  // Reading fails when the process dies behind the open, and stream iterators would throw; a line up to a NUL is all.
  std::string text;
  std::getline(file, text, '\0');
  const auto name_end = text.rfind(')');  // the name may hold anything, also spaces and brackets
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(text.substr(name_end + 1));
  std::string field;
  for (int number = 3; number <= 22; ++number) {
    if (!(fields >> field)) return 0;
  }
  const auto ticks = std::strtoull(field.c_str(), nullptr, 10);
  return ticks * (1'000'000'000U / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK)));
}

std::string name_of(int pid) {
  std::ifstream file(proc_path(pid, "comm"));
  std::string name;
  std::getline(file, name);
  return name;
}

struct Owner {
  std::uint32_t user_id = 0;
  std::uint32_t group_id = 0;
};

// The effective ids of /proc/PID/status.
Result<Owner> owner_of(int pid) {
  std::ifstream file(proc_path(pid, "status"));
  Owner owner;
  bool has_user = false;
  bool has_group = false;
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string key;
    std::uint32_t real = 0;
    if (line.starts_with("Uid:")) has_user = static_cast<bool>(fields >> key >> real >> owner.user_id);
    if (line.starts_with("Gid:")) has_group = static_cast<bool>(fields >> key >> real >> owner.group_id);
  }
  if (!has_user || !has_group) return fail(Code::kNotFound, "no owner in " + proc_path(pid, "status"));
  return owner;
}

bool is_dead(int pidfd) {
  pollfd poll_fd{.fd = pidfd, .events = POLLIN, .revents = 0};
  return ::poll(&poll_fd, 1, 0) > 0;
}

Result<UniqueFd> open_pidfd(int pid) {
  UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (fd) return fd;
  if (errno == ESRCH) return fail(Code::kNotFound, "no process " + std::to_string(pid));
  return fail_errno("pidfd_open of process " + std::to_string(pid));
}

// Opens by number, and makes sure that the number meant one process the whole time.
Result<UniqueFd> open_confirmed_pidfd(int pid) {
  const std::uint64_t before_ns = start_time_ns_of(pid);
  auto pidfd = open_pidfd(pid);
  if (!pidfd) return pidfd;
  if (before_ns == 0 || start_time_ns_of(pid) != before_ns) {
    return fail(Code::kDisconnected, "process " + std::to_string(pid) + " went away while it was looked at");
  }
  return pidfd;
}

// What /proc says counts only if the process was alive after it was read: a number is used again.
void describe(Peer& peer) {
  if (peer.pid == 0) return;
  const std::uint64_t start_time_ns = start_time_ns_of(peer.pid);
  std::string name = name_of(peer.pid);
  if (is_dead(peer.pidfd.get())) return;
  peer.start_time_ns = start_time_ns;
  peer.name = std::move(name);
}

Result<UniqueFd> pidfd_of_socket(int socket, int pid) {
  int fd = -1;
  socklen_t len_bytes = sizeof(fd);
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &fd, &len_bytes) == 0) return UniqueFd(fd);
  if (errno == ESRCH || errno == ENODATA) return fail(Code::kDisconnected, "the peer is dead and reaped");
  if (errno != ENOPROTOOPT) return fail_errno("getsockopt(SO_PEERPIDFD)");
  if (pid == 0) {
    return fail(Code::kUnsupported,
                "the peer has no number in this PID namespace, and the kernel lacks SO_PEERPIDFD "
                "(Linux 6.5): run wardend in the initial PID namespace");
  }
  return open_confirmed_pidfd(pid);
}

}  // namespace

Result<Peer> identify_peer(int socket) {
  ucred credentials{};
  socklen_t len_bytes = sizeof(credentials);
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &len_bytes) != 0) {
    return fail_errno("getsockopt(SO_PEERCRED)");
  }
  auto pidfd = pidfd_of_socket(socket, credentials.pid);
  if (!pidfd) return wrap(std::move(pidfd).error(), "identify peer");
  Peer peer{.pid = credentials.pid,
            .user_id = credentials.uid,
            .group_id = credentials.gid,
            .pidfd = std::move(*pidfd),
            .start_time_ns = 0,
            .name = {}};
  describe(peer);
  return peer;
}

Result<Peer> identify_process(int pid) {
  if (pid <= 0) return fail(Code::kInvalidArgument, "not a process id: " + std::to_string(pid));
  auto pidfd = open_confirmed_pidfd(pid);
  if (!pidfd) return std::unexpected(std::move(pidfd).error());
  const auto owner = owner_of(pid);
  if (!owner) return std::unexpected(owner.error());
  Peer peer{.pid = pid,
            .user_id = owner->user_id,
            .group_id = owner->group_id,
            .pidfd = std::move(*pidfd),
            .start_time_ns = 0,
            .name = {}};
  describe(peer);
  return peer;
}

}  // namespace warden::shm
