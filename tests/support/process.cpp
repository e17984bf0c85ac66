// SPDX-License-Identifier: Apache-2.0
// See process.h.
#include "tests/support/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <span>
#include <stdexcept>

namespace warden::test {
namespace {

using Clock = std::chrono::steady_clock;

void execute(const std::vector<std::string>& command_line, const Process::Options& options, int out, int err) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // a test that is killed leaves nothing behind
  if (options.own_group) ::setpgid(0, 0);
  const int in = options.stdin_fd >= 0 ? options.stdin_fd : ::open("/dev/null", O_RDONLY);
  ::dup2(in, STDIN_FILENO);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(err, STDERR_FILENO);
  // A test program may have inherited anything from who started it; the programs must get none of that.
  const long most = ::sysconf(_SC_OPEN_MAX);
  for (int fd = STDERR_FILENO + 1; fd < std::min(most, 4096L); ++fd) {
    if (std::ranges::find(options.keep_fds, fd) == options.keep_fds.end())
      ::close(fd);
    else
      ::fcntl(fd, F_SETFD, 0);
  }
  for (const auto& [name, value] : options.environment) ::setenv(name.c_str(), value.c_str(), 1);
  std::vector<char*> arguments;
  arguments.reserve(command_line.size() + 1);
  for (const std::string& argument : command_line) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  ::execvp(arguments.front(), arguments.data());
}

UniqueFd make_pipe(UniqueFd& write_end) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe2 failed");
  write_end = UniqueFd(ends[1]);
  // A daemon's log must not fill it while the test looks elsewhere; where that is not granted, the usual size does.
  (void)::fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
  return UniqueFd(ends[0]);
}

int milliseconds_until(Clock::time_point deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return static_cast<int>(std::clamp<long>(left, 0, 60'000));
}

}  // namespace

Process::Process(std::vector<std::string> command_line, const Options& options) : own_group_(options.own_group) {
  UniqueFd out;
  UniqueFd err;
  streams_[0].fd = make_pipe(out);
  streams_[1].fd = make_pipe(err);
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error("fork failed");
  if (pid_ == 0) {
    execute(command_line, options, out.get(), err.get());
    ::_exit(127);
  }
  if (own_group_) ::setpgid(pid_, pid_);  // also here: whoever comes first
}

Process::Process(Process&& other) noexcept : pid_(other.pid_), own_group_(other.own_group_), status_(other.status_) {
  for (int i = 0; i < 2; ++i) streams_[i] = std::move(other.streams_[i]);
  other.pid_ = -1;
}

Process::~Process() {
  if (pid_ < 0) return;
  if (own_group_) ::kill(-pid_, SIGKILL);
  if (status_) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) continue;
}

void Process::signal(int number) const {
  if (!status_) ::kill(pid_, number);
}

// False: nothing can come any more, or nothing came in time.
bool Process::read_some(Clock::time_point deadline) {
  pollfd readable[2];
  for (int i = 0; i < 2; ++i) readable[i] = {.fd = streams_[i].fd.get(), .events = POLLIN, .revents = 0};
  if (!streams_[0].fd && !streams_[1].fd) return false;
  if (::poll(readable, 2, milliseconds_until(deadline)) <= 0) return false;
  for (int i = 0; i < 2; ++i) {
    if (readable[i].revents == 0) continue;
    char buffer[4096];
    const ssize_t count = ::read(streams_[i].fd.get(), buffer, sizeof buffer);
    if (count > 0) streams_[i].text.append(buffer, static_cast<std::size_t>(count));
    if (count <= 0) streams_[i].fd.reset();
  }
  return true;
}

std::optional<std::string> Process::find_line(std::string_view text, std::size_t stream_count) {
  for (Stream& stream : std::span(streams_).first(stream_count)) {
    for (std::size_t begin = stream.looked_bytes;;) {
      const std::size_t end = stream.text.find('\n', begin);
      if (end == std::string::npos) break;
      std::string line = stream.text.substr(begin, end - begin);
      begin = end + 1;
      if (line.find(text) == std::string::npos) continue;
      stream.looked_bytes = begin;
      return line;
    }
  }
  return std::nullopt;
}

std::optional<std::string> Process::wait_for_line(std::string_view text) {
  return wait_for_line(text, std::size(streams_));
}

std::optional<std::string> Process::read_line() { return wait_for_line("", 1); }

std::optional<std::string> Process::wait_for_line(std::string_view text, std::size_t stream_count) {
  const auto deadline = Clock::now() + kDeadline;
  for (;;) {
    if (auto line = find_line(text, stream_count)) return line;
    if (!read_some(deadline)) return std::nullopt;
  }
}

std::optional<int> Process::wait() {
  const auto deadline = Clock::now() + kDeadline;
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  while (!status_) {
    // Others may hold the streams open after it has ended: its own end is what counts.
    pollfd events[] = {{.fd = process.get(), .events = POLLIN, .revents = 0},
                       {.fd = streams_[0].fd.get(), .events = POLLIN, .revents = 0},
                       {.fd = streams_[1].fd.get(), .events = POLLIN, .revents = 0}};
    if (::poll(events, 3, milliseconds_until(deadline)) == 0) return std::nullopt;
    if (events[1].revents != 0 || events[2].revents != 0) (void)read_some(deadline);
    if (events[0].revents == 0) continue;
    int wait_status = 0;
    if (::waitpid(pid_, &wait_status, 0) != pid_) return std::nullopt;
    status_ = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
  }
  while (read_some(Clock::now())) continue;
  return status_;
}

bool Process::has_ended() const {
  if (status_) return true;
  siginfo_t info{};
  return ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid_;
}

std::string Process::output() {
  while (read_some(Clock::now())) continue;
  return "stdout:\n" + out() + "stderr:\n" + err();
}

TemporaryDirectory::TemporaryDirectory() : path_("/tmp/wdXXXXXX") {
  if (::mkdtemp(path_.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace warden::test
