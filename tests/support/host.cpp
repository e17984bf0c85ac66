// SPDX-License-Identifier: Apache-2.0
// See host.h. Readiness is told, not guessed: the simulator writes a byte, wardend sends READY=1 (sd_notify(3)).
#include "tests/support/host.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>

namespace warden::test {
namespace {

bool names_a_card_of_the_kernel(const std::vector<std::string>& options) {
  const auto named = std::ranges::adjacent_find(options, [](const std::string& option, const std::string& value) {
    return option == "--device" && !value.starts_with("vfio-user:");
  });
  return named != options.end();
}

constexpr int kDeadlineMs = 60'000;

UniqueFd notification_socket(const std::string& path) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fd.reset();
  return fd;
}

bool wait_until_ready(int fd) {
  for (;;) {
    pollfd readable{.fd = fd, .events = POLLIN, .revents = 0};
    if (::poll(&readable, 1, kDeadlineMs) != 1) return false;
    char text[512];
    const ssize_t count = ::recv(fd, text, sizeof text, 0);
    if (count <= 0) return false;
    if (std::string_view(text, static_cast<std::size_t>(count)).find("READY=1") != std::string_view::npos) return true;
  }
}

}  // namespace

bool Host::start_simulator(const std::vector<std::string>& options) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return false;
  const UniqueFd ready(ends[0]);
  UniqueFd tell(ends[1]);
  std::vector<std::string> arguments = {"--dir", directory() + "/sim", "--ready-fd", std::to_string(tell.get())};
  arguments.insert(arguments.end(), options.begin(), options.end());
  Process::Options process_options;
  process_options.keep_fds = {tell.get()};
  simulator_.emplace(run("warden-sim", arguments, process_options));
  tell.reset();
  pollfd readable{.fd = ready.get(), .events = POLLIN, .revents = 0};
  char byte = 0;
  if (::poll(&readable, 1, kDeadlineMs) == 1 && ::read(ready.get(), &byte, 1) == 1) return true;
  (void)simulator_->wait();
  why_ = "warden-sim did not become ready\n" + simulator_->output();
  return false;
}

bool Host::start_daemon(const std::vector<std::string>& options) {
  const std::string notify_path = directory() + "/ready";
  ::unlink(notify_path.c_str());
  std::filesystem::create_directory(directory() + "/run");
  const UniqueFd ready = notification_socket(notify_path);
  std::vector<std::string> arguments = {"--socket", socket_path(), "--state", directory() + "/state"};
  if (!names_a_card_of_the_kernel(options)) {
    arguments.insert(arguments.end(), {"--device", "vfio-user:" + directory() + "/sim/chip0.sock"});
  }
  arguments.insert(arguments.end(), options.begin(), options.end());
  Process::Options process_options;
  process_options.environment["NOTIFY_SOCKET"] = notify_path;
  daemon_.reset();
  daemon_.emplace(run("wardend", arguments, process_options));
  if (ready && wait_until_ready(ready.get())) return true;
  daemon_->signal(SIGTERM);
  (void)daemon_->wait();
  why_ = "wardend did not become ready\n" + daemon_->output();
  return false;
}

Process Host::run(const std::string& program, std::vector<std::string> arguments, Process::Options options) const {
  arguments.insert(arguments.begin(), std::string(WARDEN_BIN_DIR) + "/" + program);
  options.environment.emplace("WARDEN_SOCKET", socket_path());
  return Process(std::move(arguments), options);
}

std::optional<std::string> Host::simulator(std::vector<std::string> command) const {
  command.insert(command.begin(), {"ctl", "--dir", directory() + "/sim"});
  Process ctl = run("warden-sim", std::move(command));
  if (ctl.wait() != 0) return std::nullopt;
  return ctl.out();
}

}  // namespace warden::test
