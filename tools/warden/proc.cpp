// SPDX-License-Identifier: Apache-2.0
// Parsing of /proc/PID/task/TID/{stat,children} (proc(5)).
#include "tools/warden/proc.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <memory>
#include <string_view>

#include <warden/unique_fd.h>

namespace warden::cli {
namespace {

std::optional<std::string> read_file(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return std::nullopt;
  std::string text;
  char buffer[4096];
  for (;;) {
    const ssize_t count = ::read(fd.get(), buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return std::nullopt;  // ESRCH: the thread ended between open and read
    if (count == 0) return text;
    text.append(buffer, static_cast<std::size_t>(count));
  }
}

std::vector<pid_t> threads_of(pid_t pid) {
  std::vector<pid_t> threads;
  struct Close {
    void operator()(DIR* directory) const { ::closedir(directory); }
  };
  const std::unique_ptr<DIR, Close> directory(::opendir(fmt::format("/proc/{}/task", pid).c_str()));
  if (!directory) return threads;
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    pid_t thread = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), thread).ec == std::errc{}) threads.push_back(thread);
  }
  return threads;
}

struct Stat {
  char state = 0;
  pid_t parent = 0;
  std::uint64_t start_ticks = 0;
  std::string name;
};

// `pid (name) state ppid ... start`; the name may hold spaces and parentheses, so look for the last one.
std::optional<Stat> read_stat(const std::string& path) {
  const auto text = read_file(path);
  if (!text) return std::nullopt;
  const auto open = text->find('(');
  const auto close = text->rfind(')');
  if (open == std::string::npos || close == std::string::npos || close + 2 >= text->size()) return std::nullopt;
  Stat stat;
  stat.state = (*text)[close + 2];
  stat.name = text->substr(open + 1, close - open - 1);
  constexpr int kParentField = 4;
  constexpr int kStartTimeField = 22;
  std::size_t at = close + 2;
  for (int field = 3; field < kStartTimeField; ++field) {
    if (field == kParentField) std::from_chars(text->data() + at, text->data() + text->size(), stat.parent);
    at = text->find(' ', at);
    if (at == std::string::npos) return std::nullopt;
    ++at;
  }
  std::from_chars(text->data() + at, text->data() + text->size(), stat.start_ticks);
  return stat;
}

bool is_gone(char state) { return state == 'Z' || state == 'X' || state == 'x'; }
bool is_stopped(char state) { return state == 'T' || state == 't'; }

}  // namespace

std::optional<ProcessView> view_process(pid_t pid) {
  const auto leader = read_stat(fmt::format("/proc/{}/stat", pid));
  if (!leader) return std::nullopt;
  ProcessView view;
  view.parent = leader->parent;
  view.start_ticks = leader->start_ticks;
  view.name = leader->name;
  for (const pid_t thread : threads_of(pid)) {
    const auto stat = read_stat(fmt::format("/proc/{}/task/{}/stat", pid, thread));
    if (!stat || is_gone(stat->state)) continue;
    view.living = true;
    if (is_stopped(stat->state) || !view.stopped) continue;
    view.stopped = false;
    view.running_thread = thread;
    view.running_state = stat->state;
  }
  return view;
}

std::vector<pid_t> children_of(pid_t pid) {
  std::vector<pid_t> children;
  for (const pid_t thread : threads_of(pid)) {
    const auto text = read_file(fmt::format("/proc/{}/task/{}/children", pid, thread));
    if (!text) continue;
    const char* at = text->data();
    const char* const end = at + text->size();
    pid_t child = 0;
    while (at < end) {
      const auto parsed = std::from_chars(at, end, child);
      if (parsed.ec == std::errc{}) children.push_back(child);
      at = parsed.ptr + 1;
    }
  }
  return children;
}

// By system call: <sys/pidfd.h> of glibc 2.36 can't be used from C++.
int signal_process(pid_t pid, std::uint64_t start_ticks, int signal_number, std::span<const pid_t> parents) {
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!process) return errno;
  // Looked at after opening: the descriptor can't change its meaning any more, and this says what it means.
  const auto stat = read_stat(fmt::format("/proc/{}/stat", pid));
  if (!stat || stat->start_ticks != start_ticks) return ESRCH;
  if (!parents.empty() && std::ranges::find(parents, stat->parent) == parents.end()) return ESRCH;
  return ::syscall(SYS_pidfd_send_signal, process.get(), signal_number, nullptr, 0) == 0 ? 0 : errno;
}

}  // namespace warden::cli
