// SPDX-License-Identifier: Apache-2.0
// Answers from pidfds and /proc.
#include "tools/wardend/processes.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <iterator>
#include <sstream>
#include <string>

#include <warden/unique_fd.h>

#include "tools/wardend/files.h"

namespace warden::daemon {

namespace {

constexpr std::size_t kMostProcesses = 4096;  // of a peer that forks without end

struct ProcessState {
  char state = 'X';
  int parent = 0;
  std::uint32_t flags = 0;
};

constexpr std::uint32_t kExiting = 4;  // PF_EXITING of linux/sched.h

// Fields 3, 4 and 9 of a stat file (proc(5)); the name before them may hold anything, brackets too.
ProcessState state_in(const std::string& directory) {
  ProcessState answer;
  const Result<std::string> text = read_file(directory + "/stat");
  if (!text) return answer;
  const std::size_t name_end = text->rfind(')');
  if (name_end == std::string::npos) return answer;
  std::istringstream fields(text->substr(name_end + 1));
  int skipped = 0;
  fields >> answer.state >> answer.parent >> skipped >> skipped >> skipped >> skipped >> answer.flags;
  return answer;
}

ProcessState state_of(int pid) { return state_in(fmt::format("/proc/{}", pid)); }

bool share_pid_namespace(int pid) {
  std::error_code error;
  const auto theirs = std::filesystem::read_symlink(fmt::format("/proc/{}/ns/pid", pid), error);
  return !error && theirs == std::filesystem::read_symlink("/proc/self/ns/pid", error);
}

std::vector<int> children_of(int pid) {
  std::vector<int> children;
  std::error_code error;
  for (const auto& task : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", pid), error)) {
    std::istringstream numbers(read_file(task.path().string() + "/children").value_or(""));
    for (int child = 0; numbers >> child;) children.push_back(child);
  }
  return children;
}

}  // namespace

// The last number of the line NSpid of /proc/PID/status.
int innermost_pid_of(int pid) {
  const std::string text = read_file(fmt::format("/proc/{}/status", pid)).value_or("");
  const std::size_t begin = text.find("NSpid:");
  if (begin == std::string::npos) return 0;
  std::istringstream numbers(text.substr(begin + 6, text.find('\n', begin) - begin - 6));
  int innermost = 0;
  for (int number = 0; numbers >> number;) innermost = number;
  return innermost;
}

Result<int> translate_pid(int pid, int peer) {
  if (peer == 0 || share_pid_namespace(peer)) return pid;
  std::vector<int> found = {peer};
  for (std::size_t next = 0; next < found.size() && next < kMostProcesses; ++next) {
    if (innermost_pid_of(found[next]) == pid) return found[next];
    std::ranges::copy(children_of(found[next]), std::back_inserter(found));
  }
  return fail(Code::kNotFound, fmt::format("no process {} below process {} of another PID namespace", pid, peer));
}

bool is_dead(int pidfd) {
  pollfd entry{pidfd, POLLIN, 0};
  return ::poll(&entry, 1, 0) > 0;
}

// What can't be read (we may be out of descriptors) is taken for alive.
bool is_exiting(int pid, int pidfd) {
  bool exiting = false;
  std::error_code error;
  std::filesystem::directory_iterator task(fmt::format("/proc/{}/task", pid), error);
  for (; !error && task != std::filesystem::directory_iterator(); task.increment(error)) {
    exiting = (state_in(task->path().string()).flags & kExiting) != 0;
    if (!exiting) break;
  }
  return is_dead(pidfd) || (exiting && !error);
}

Status kill_process(int pidfd) {
  if (::syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0) == 0 || errno == ESRCH) return {};
  return fail_errno("SIGKILL");
}

bool is_stopped(int pid, int pidfd) {
  const char state = state_of(pid).state;
  return is_dead(pidfd) || state == 'T' || state == 't' || state == 'Z';
}

std::size_t continue_stopped(int pid, int pidfd) {
  if (is_dead(pidfd)) return 0;
  std::vector<int> found = {pid};
  std::size_t continued = 0;
  for (std::size_t next = 0; next < found.size() && next < kMostProcesses; ++next) {
    std::ranges::copy(children_of(found[next]), std::back_inserter(found));
    // Held first, looked at then: a number that was used again meanwhile is not a stopped process of ours.
    const UniqueFd held(static_cast<int>(::syscall(SYS_pidfd_open, found[next], 0)));
    if (!held || state_of(found[next]).state != 'T' || !descends_from(found[next], pid)) continue;
    if (::syscall(SYS_pidfd_send_signal, held.get(), SIGCONT, nullptr, 0) == 0) ++continued;
  }
  return continued;
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
