// SPDX-License-Identifier: Apache-2.0
// Answers from pidfds and /proc.
#include "tools/wardend/processes.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <sstream>

#include "tools/wardend/files.h"

namespace warden::daemon {

namespace {

struct ProcessState {
  char state = 'X';
  int parent = 0;
};

// Fields 3 and 4 of /proc/PID/stat (proc(5)); the name before them may hold anything, brackets too.
ProcessState state_of(int pid) {
  ProcessState answer;
  const Result<std::string> text = read_file(fmt::format("/proc/{}/stat", pid));
  if (!text) return answer;
  const std::size_t name_end = text->rfind(')');
  if (name_end == std::string::npos) return answer;
  std::istringstream fields(text->substr(name_end + 1));
  fields >> answer.state >> answer.parent;
  return answer;
}

}  // namespace

bool is_dead(int pidfd) {
  pollfd entry{pidfd, POLLIN, 0};
  return ::poll(&entry, 1, 0) > 0;
}

Status kill_process(int pidfd) {
  if (::syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0) == 0 || errno == ESRCH) return {};
  return fail_errno("SIGKILL");
}

bool is_stopped(int pid, int pidfd) {
  const char state = state_of(pid).state;
  return is_dead(pidfd) || state == 'T' || state == 't' || state == 'Z';
}

bool descends_from(int pid, int ancestor) {
  // Bounded: a chain that changes while it is walked must not keep us.
  for (int depth = 0; depth < 256 && pid > 1; ++depth) {
    if (pid == ancestor) return true;
    pid = state_of(pid).parent;
  }
  return false;
}

std::vector<std::uint32_t> groups_of_peer(int socket) {
  std::vector<std::uint32_t> groups(64);
  for (;;) {
    auto len_bytes = static_cast<socklen_t>(groups.size() * sizeof(std::uint32_t));
    const int answer = ::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &len_bytes);
    groups.resize(len_bytes / sizeof(std::uint32_t));  // on ERANGE: how many there are
    if (answer == 0) return groups;
    if (errno != ERANGE) return {};
  }
}

}  // namespace warden::daemon
