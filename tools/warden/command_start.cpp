// SPDX-License-Identifier: Apache-2.0
// See command_start.h.
#include "tools/warden/command_start.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace warden::cli {
namespace {

constexpr int kNeverExecuted = 127;

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("pipe");
  return Pipe{.read_end = UniqueFd(ends[0]), .write_end = UniqueFd(ends[1])};
}

ssize_t read_all(int fd, void* into, std::size_t count_bytes) {
  ssize_t count = 0;
  do {
    count = ::read(fd, into, count_bytes);
  } while (count < 0 && errno == EINTR);
  return count;
}

[[noreturn]] void wait_and_execute(const std::vector<std::string>& command_line, const sigset_t& signals, int gate,
                                   int failure) {
  char go = 0;
  if (read_all(gate, &go, 1) != 1) ::_exit(kNeverExecuted);
  ::sigprocmask(SIG_SETMASK, &signals, nullptr);
  std::vector<char*> arguments;
  arguments.reserve(command_line.size() + 1);
  for (const std::string& argument : command_line) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  ::execvp(arguments.front(), arguments.data());
  const int error = errno;
  if (::write(failure, &error, sizeof error) < 0) ::_exit(kNeverExecuted);
  ::_exit(kNeverExecuted);
}

}  // namespace

Result<GatedCommand> GatedCommand::fork_now(const std::vector<std::string>& command_line, const sigset_t& signals,
                                            int close_in_child) {
  auto gate = make_pipe();
  if (!gate) return std::unexpected(gate.error());
  auto failure = make_pipe();
  if (!failure) return std::unexpected(failure.error());
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno("fork");
  if (pid == 0) {
    ::close(close_in_child);  // else the command at its gate would keep that open for a dead guard
    gate->write_end.reset();
    failure->read_end.reset();
    wait_and_execute(command_line, signals, gate->read_end.get(), failure->write_end.get());
  }
  return GatedCommand(pid, std::move(gate->write_end), std::move(failure->read_end));
}

int GatedCommand::open_gate() {
  const char go = 1;
  if (::write(gate_.get(), &go, 1) != 1) return errno;
  gate_.reset();
  int error = 0;
  return read_all(failure_.get(), &error, sizeof error) == sizeof error ? error : 0;
}

}  // namespace warden::cli
