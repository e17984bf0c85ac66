// SPDX-License-Identifier: Apache-2.0
// warden-vm: boots the virtual machine, runs one command in it, and ends with its status. A guest that does not report
// its end, QEMU's death and the deadline are failures; nothing stays behind on any path.
#include <poll.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "tests/vm/host_requests.h"
#include "tests/vm/machine.h"

namespace warden::vm {
namespace {

constexpr int kExitMachine = 125;  // as of env and timeout: not the command's own
constexpr std::string_view kEndMarker = "GUEST-EXIT-STATUS ";
constexpr char kWayOut = 0x1D;  // ctrl-]

struct Options {
  MachineOptions machine;
  int deadline_s = 600;
  bool shell = false;
};

// Passes the guest's output on as it comes, and finds the line that tells of its end.
class Console {
 public:
  // Nothing until the marker was there.
  std::optional<int> take(std::string_view piece) {
    for (const char letter : piece) {
      if (letter == '\r' && !raw_) continue;
      line_ += letter;
      if (letter == '\n') {
        if (const auto status = finish_line()) return status;
      }
    }
    show_unfinished();
    return std::nullopt;
  }
  void set_raw(bool raw) noexcept { raw_ = raw; }
  [[nodiscard]] const std::string& last_line() const noexcept { return last_; }

 private:
  std::optional<int> finish_line() {
    const std::size_t at = line_.find(kEndMarker);
    int status = 0;
    if (at == 0) {
      const char* begin = line_.data() + kEndMarker.size();
      if (std::from_chars(begin, line_.data() + line_.size(), status).ec == std::errc()) return status;
    }
    std::fwrite(line_.data() + shown_, 1, line_.size() - shown_, stdout);
    std::fflush(stdout);
    if (line_.find_first_not_of("\r\n ") != std::string::npos)
      last_ = line_.substr(0, line_.find_last_not_of("\r\n") + 1);
    line_.clear();
    shown_ = 0;
    return std::nullopt;
  }
  // A prompt has no newline; what may become the marker is held back.
  void show_unfinished() {
    if (kEndMarker.starts_with(std::string_view(line_).substr(0, kEndMarker.size()))) return;
    std::fwrite(line_.data() + shown_, 1, line_.size() - shown_, stdout);
    std::fflush(stdout);
    shown_ = line_.size();
  }

  bool raw_ = false;
  std::string line_;
  std::size_t shown_ = 0;
  std::string last_ = "nothing";
};

// The terminal of an interactive guest: every key is the guest's.
class RawTerminal {
 public:
  RawTerminal() {
    if (::tcgetattr(STDIN_FILENO, &before_) != 0) return;
    termios raw = before_;
    ::cfmakeraw(&raw);
    active_ = ::tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
  }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;
  ~RawTerminal() {
    if (active_) ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }

 private:
  termios before_{};
  bool active_ = false;
};

Result<UniqueFd> stop_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, number);
  if (::pthread_sigmask(SIG_BLOCK, &signals, nullptr) != 0) return fail_errno("block signals");
  UniqueFd descriptor(::signalfd(-1, &signals, SFD_CLOEXEC));
  if (!descriptor) return fail_errno("signalfd");
  return descriptor;
}

// Copies what can be read at once; how many bytes, 0 at the end.
template <typename Take>
ssize_t pass_on(int descriptor, const Take& take) {
  std::array<char, 4096> piece;
  const ssize_t count = ::read(descriptor, piece.data(), piece.size());
  if (count > 0) take(std::string_view(piece.data(), static_cast<std::size_t>(count)));
  return count;
}

// The command's status, or why there is none.
Result<int> watch(const Machine& machine, const Options& options, int signals) {
  const auto deadline = Clock::now() + std::chrono::seconds(options.deadline_s);
  Console console;
  console.set_raw(options.shell);
  std::optional<int> status;
  bool way_out = false;
  std::array<pollfd, 3> awaited = {
      {{machine.console(), POLLIN, 0}, {signals, POLLIN, 0}, {options.shell ? STDIN_FILENO : -1, POLLIN, 0}}};
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0 && !options.shell) {
      return fail(Code::kTimeout, fmt::format("the guest has not reported its end after {} s; last seen: {}",
                                              options.deadline_s, console.last_line()));
    }
    if (::poll(awaited.data(), awaited.size(), options.shell ? -1 : static_cast<int>(left)) < 0) continue;
    if (awaited[1].revents != 0) return fail(Code::kFailed, "interrupted; the machine is gone");
    if (awaited[2].revents != 0) {
      const ssize_t count = pass_on(STDIN_FILENO, [&](std::string_view keys) {
        way_out = keys.find(kWayOut) != std::string_view::npos;
        (void)!::write(machine.console(), keys.data(), keys.size());
      });
      if (way_out) return 0;
      if (count <= 0) awaited[2].fd = -1;
    }
    if (awaited[0].revents != 0) {
      const ssize_t count = pass_on(machine.console(), [&](std::string_view piece) { status = console.take(piece); });
      if (status) return *status;
      if (count <= 0) {
        return fail(
            Code::kDisconnected,
            fmt::format("the machine ended without reporting the command's end; last seen: {}", console.last_line()));
      }
    }
  }
}

int run(const Options& options) {
  const Result<UniqueFd> signals = stop_signals();
  if (!signals) {
    fmt::print(stderr, "warden-vm: {}\n", signals.error().message);
    return kExitMachine;
  }
  Machine machine;
  if (const Status started = machine.start(options.machine); !started) {
    fmt::print(stderr, "warden-vm: {}\n", started.error().message);
    return kExitMachine;
  }
  std::optional<HostRequests> requests;
  requests.emplace(machine.take_request_line(), machine.take_monitor(), machine.simulator_directory());
  std::optional<RawTerminal> terminal;
  if (options.shell) {
    fmt::print(stderr, "warden-vm: kernel {}; `exit` ends it, ctrl-] pulls the plug\n", options.machine.kernel);
    terminal.emplace();
  }
  const Result<int> status = watch(machine, options, signals->get());
  terminal.reset();
  if (status) return *status;
  fmt::print(stderr, "warden-vm: {}\n{}", status.error().message, machine.last_words());
  return kExitMachine;
}

}  // namespace
}  // namespace warden::vm

int main(int count, char** arguments) {
  warden::vm::Options options;
  CLI::App app{"Boots a Debian kernel with an IOMMU and simulated cards, and runs a command in it", "warden-vm"};
  app.add_option("--kernel", options.machine.kernel, "6.1, 7, or cdev (built by make vm-kernel)")
      ->check(CLI::IsMember({"6.1", "7", "cdev"}))
      ->capture_default_str();
  app.add_option("--board", options.machine.board, "As for warden-sim")->capture_default_str();
  app.add_flag("!--no-bind", options.machine.bind, "Leave the cards to no driver, instead of vfio-pci");
  app.add_flag("!--no-iommu", options.machine.iommu, "A machine without an IOMMU; it needs --no-bind");
  app.add_option("--env", options.machine.environment, "Environment of the command")->type_name("NAME=VALUE");
  app.add_option("--deadline", options.deadline_s, "Seconds after which a command has failed")->capture_default_str();
  app.add_option("COMMAND", options.machine.command, "What to run, and its arguments; none: a shell");
  app.footer(
      "Status: the command's own, or 125 if the machine failed. Examples:\n"
      "  warden-vm --kernel 6.1 -- uname -a\n"
      "  warden-vm -- sh -c 'lspci -s $WARDEN_VM_CARD'");
  app.positionals_at_end();
  CLI11_PARSE(app, count, arguments);
  options.shell = options.machine.command.empty();
  return warden::vm::run(options);
}
