// SPDX-License-Identifier: Apache-2.0
// wardend with nothing but its allocation server: no cards, nothing left behind. For whoever knows it by this name.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <warden/result.h>
#include <warden/unique_fd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>

#include "tools/wardend/allocation_wire.h"

namespace {

constexpr int kUsage = 2;
constexpr int kCannotExecute = 127;

// Beside this program, else where the shell looks.
std::string wardend_path() {
  std::error_code error;
  const auto here = std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / "wardend";
  return !error && ::access(here.c_str(), X_OK) == 0 ? here.string() : "wardend";
}

[[noreturn]] void execute_wardend(const std::string& socket, const std::string& directory, int ready_fd,
                                  const sigset_t& signals) {
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  ::sigprocmask(SIG_UNBLOCK, &signals, nullptr);
  ::fcntl(ready_fd, F_SETFD, 0);
  const std::string program = wardend_path();
  const std::string own_socket = directory + "/warden.sock";
  const std::string state = directory + "/state";
  const std::string ready = std::to_string(ready_fd);
  ::execlp(program.c_str(), "wardend", "--allocation-server", socket.c_str(), "--socket", own_socket.c_str(), "--state",
           state.c_str(), "--ready-fd", ready.c_str(), static_cast<char*>(nullptr));
  fmt::print(stderr, "allocation_server_poc: {}: {}\n", program, std::strerror(errno));
  ::_exit(kCannotExecute);
}

// Signals go to wardend; its end is ours.
int attend(int pid, const sigset_t& signals) {
  for (;;) {
    const int number = ::sigwaitinfo(&signals, nullptr);
    if (number == SIGINT || number == SIGTERM || number == SIGHUP) ::kill(pid, SIGTERM);
    int status = 0;
    if (::waitpid(pid, &status, WNOHANG) == pid) return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
  }
}

int serve(const std::string& socket) {
  std::array<char, 40> directory{"/tmp/allocation-server-XXXXXX"};
  std::array<int, 2> ends{};
  if (::mkdtemp(directory.data()) == nullptr || ::pipe2(ends.data(), O_CLOEXEC) != 0) {
    fmt::print(stderr, "allocation_server_poc: {}\n", std::strerror(errno));
    return 1;
  }
  const warden::UniqueFd ready(ends[0]);
  warden::UniqueFd tell(ends[1]);
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) ::sigaddset(&signals, number);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  const int pid = ::fork();
  if (pid == 0) execute_wardend(socket, directory.data(), tell.get(), signals);
  tell.reset();
  char byte = 0;
  if (pid > 0 && ::read(ready.get(), &byte, 1) == 1) {
    fmt::print("🔄 Background cleanup started (every process is watched, nothing is polled)\n");
    fmt::print("   Listening on: {}\n   Press Ctrl+C to stop\n", socket);
    std::fflush(stdout);
  }
  const int status = pid > 0 ? attend(pid, signals) : 1;
  std::error_code ignored;
  std::filesystem::remove_all(directory.data(), ignored);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view argument = argc > 1 ? argv[1] : "";
  if (argc <= 2 && !argument.starts_with("-")) {
    return serve(argument.empty() ? warden::daemon::kAllocationSocketPath : std::string(argument));
  }
  const bool asked = argument == "--help";
  fmt::print(asked ? stdout : stderr,
             "usage: allocation_server_poc [SOCKET]\nKeeps the allocation records of programs that run with "
             "TT_ALLOC_TRACKING_ENABLED=1, until Ctrl+C.\nSOCKET is {} unless told.\n",
             warden::daemon::kAllocationSocketPath);
  return asked ? 0 : kUsage;
}
