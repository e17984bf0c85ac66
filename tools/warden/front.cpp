// SPDX-License-Identifier: Apache-2.0
// See front.h.
#include "tools/warden/front.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "tools/warden/process_tree.h"

namespace warden::cli {
namespace {

constexpr std::chrono::seconds kGuardDeadline{5};
constexpr int kForwarded[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM};

class Front {
 public:
  explicit Front(const ListenOptions& options) : options_(options) {}
  int run();

 private:
  Status start_guard();
  Status start_second_guard();
  void read_signals();
  void read_news();
  void reap();
  void guard_ended(int wait_status);
  void await_guard();

  const ListenOptions& options_;
  sigset_t command_signals_{};
  UniqueFd signals_;
  UniqueFd news_;
  pid_t guard_ = 0;
  pid_t command_ = 0;
  bool second_ = false;
  bool guard_stays_ = false;
  std::optional<int> status_;  // to exit with
};

Status make_news(UniqueFd (&ends)[2]) {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) return fail_errno("socketpair");
  ends[0] = UniqueFd(fds[0]);
  ends[1] = UniqueFd(fds[1]);
  return {};
}

Status Front::start_guard() {
  sigset_t taken;
  ::sigemptyset(&taken);
  for (const int number : kForwarded) ::sigaddset(&taken, number);
  ::sigaddset(&taken, SIGCHLD);
  ::sigaddset(&taken, SIGCONT);
  ::sigprocmask(SIG_BLOCK, &taken, &command_signals_);
  signals_ = UniqueFd(::signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) return fail_errno("signalfd");
  (void)::prctl(PR_SET_CHILD_SUBREAPER, 1);  // whatever a killed guard leaves comes to us
  UniqueFd ends[2];
  if (auto status = make_news(ends); !status) return status;
  guard_ = ::fork();
  if (guard_ < 0) return fail_errno("fork");
  if (guard_ == 0) {
    ends[0].reset();
    signals_.reset();
    ::_exit(run_guard(options_, std::move(ends[1]), command_signals_));
  }
  news_ = std::move(ends[0]);
  return {};
}

Status Front::start_second_guard() {
  UniqueFd ends[2];
  if (auto status = make_news(ends); !status) return status;
  const pid_t front = ::getpid();
  const pid_t guard = ::fork();
  if (guard < 0) return fail_errno("fork");
  if (guard == 0) {
    ends[0].reset();
    signals_.reset();
    news_.reset();
    ::_exit(run_second_guard(options_, std::move(ends[1]), front, command_));
  }
  guard_ = guard;
  second_ = true;
  news_ = std::move(ends[0]);
  return {};
}

// The terminal sends its signals to the whole process group: the command has those already.
void Front::read_signals() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    if (info.ssi_signo == SIGCHLD || info.ssi_code == SI_KERNEL) continue;
    if (info.ssi_signo == SIGCONT) {
      // We had been stopped, and the guard may have left the job's processes stopped with us.
      if (info.ssi_pid != static_cast<std::uint32_t>(::getpid())) (void)::kill(0, SIGCONT);
    } else if (command_ != 0) {
      (void)::kill(command_, static_cast<int>(info.ssi_signo));
    } else {
      status_ = 128 + static_cast<int>(info.ssi_signo);  // nothing was started yet; the guard sees us go
    }
  }
}

void Front::read_news() {
  GuardNews news;
  while (::recv(news_.get(), &news, sizeof news, MSG_DONTWAIT) == static_cast<ssize_t>(sizeof news)) {
    if (news.kind == GuardNews::Kind::kStarted) command_ = news.value;
    if (news.kind != GuardNews::Kind::kExited) continue;
    status_ = news.value;
    guard_stays_ = news.guard_stays;
  }
}

void Front::guard_ended(int wait_status) {
  read_news();  // what it said before it died
  guard_ = 0;
  if (status_) return;
  if (WIFEXITED(wait_status) && !second_) {
    status_ = WEXITSTATUS(wait_status);  // it could not start the command, and has said why
    return;
  }
  if (command_ == 0) {
    fmt::print(stderr, "warden: the guard was killed before the command was started\n");
    status_ = 1;
    return;
  }
  if (!second_ && start_second_guard()) {
    fmt::print(stderr, "warden: the guard of pid {} was killed; another takes over\n", command_);
    return;
  }
  fmt::print(stderr, "warden: pid {} has no guard any more and is not protected from resets\n", command_);
  ProcessTree tree(::getpid());
  tree.adopt_stopped();
  tree.resume();
}

void Front::reap() {
  for (;;) {
    int wait_status = 0;
    const pid_t child = ::waitpid(-1, &wait_status, WNOHANG);
    if (child == 0 || (child < 0 && errno != EINTR)) return;
    if (child == command_) status_ = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
    if (child == guard_) guard_ended(wait_status);
  }
}

int Front::run() {
  if (auto status = start_guard(); !status) {
    fmt::print(stderr, "warden: {}\n", status.error().message);
    return 1;
  }
  while (!status_) {
    pollfd watched[] = {{.fd = signals_.get(), .events = POLLIN, .revents = 0},
                        {.fd = guard_ != 0 && !second_ ? news_.get() : -1, .events = POLLIN, .revents = 0}};
    (void)::poll(watched, std::size(watched), 1000);
    read_news();
    read_signals();
    reap();
  }
  await_guard();
  return *status_;
}

// It has only an answer to give, if anything. With orphans to look after it stays without us.
void Front::await_guard() {
  if (second_) news_.reset();  // tells it that we have no more need for it
  const auto deadline = std::chrono::steady_clock::now() + kGuardDeadline;
  while (guard_ != 0 && !guard_stays_ && std::chrono::steady_clock::now() < deadline) {
    pollfd readable{.fd = signals_.get(), .events = POLLIN, .revents = 0};
    (void)::poll(&readable, 1, 100);
    read_signals();
    reap();
  }
}

}  // namespace

int run_front(const ListenOptions& options) { return Front(options).run(); }

}  // namespace warden::cli
