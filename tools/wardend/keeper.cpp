// SPDX-License-Identifier: Apache-2.0
// Forking workers and holding what they leave.
#include "tools/wardend/keeper.h"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

namespace warden::daemon {

namespace {

constexpr std::size_t kMaxDeaths = 10;
constexpr std::chrono::seconds kDeathWindow{10};

sigset_t stop_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&set, number);
  return set;
}

// The worker must not outlive its keeper: nobody would hold what it opens, nor start another one.
void die_with(int keeper_pid) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != keeper_pid) ::_exit(kWorkerCannotStart);  // it died before the line above
}

int reap(int pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace

int Keeper::run() {
  const sigset_t set = stop_signals();
  ::sigprocmask(SIG_BLOCK, &set, nullptr);  // workers inherit it and read their own signalfd
  signals_.reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) {
    spdlog::critical("signalfd: {}", std::strerror(errno));
    return 1;
  }
  for (;;) {
    Result<Worker> worker = start_worker();
    if (!worker) {
      spdlog::critical("{}", worker.error().message);
      return 1;
    }
    const int status = attend(*worker);
    if (WIFEXITED(status) && WEXITSTATUS(status) == kWorkerCannotStart) return 1;
    if (WIFEXITED(status) && WEXITSTATUS(status) == kWorkerStopped) return 0;
    spdlog::error("worker {} died ({} {})", worker->pid, WIFSIGNALED(status) ? "signal" : "status",
                  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    if (stopping_) return 1;
    if (dies_too_often()) {
      spdlog::critical("{} workers died within {} s: giving up; the lines above say why", kMaxDeaths + 1,
                       kDeathWindow.count());
      return 1;
    }
    first_ = false;
  }
}

Result<Keeper::Worker> Keeper::start_worker() {
  Result<KeeperLinkEnds> ends = make_keeper_link();
  if (!ends) return std::unexpected(std::move(ends).error());
  const int keeper_pid = ::getpid();
  const int pid = ::fork();
  if (pid < 0) return fail_errno("fork the worker");
  if (pid == 0) {
    die_with(keeper_pid);
    ends->keeper.reset();
    signals_.reset();
    ::_exit(worker_main_({directory_, doorbell_, kept_, ends->worker, first_}));
  }
  // Not reaped yet, so the number still means our child.
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd) {
    const int cause = errno;
    ::kill(pid, SIGKILL);
    reap(pid);
    return fail_errno("pidfd_open of the worker", cause);
  }
  return Worker{pid, std::move(pidfd), std::move(ends->keeper)};
}

// Until the worker has ended and every message it sent is taken in; answers its wait status.
int Keeper::attend(Worker& worker) {
  bool linked = true;
  for (;;) {
    std::array<pollfd, 3> events{
        {{signals_.get(), POLLIN, 0}, {worker.pidfd.get(), POLLIN, 0}, {linked ? worker.link.get() : -1, POLLIN, 0}}};
    if (::poll(events.data(), events.size(), -1) < 0) continue;
    if (events[0].revents != 0) pass_on_signal(worker);
    if (events[2].revents != 0) linked = drain_keeper_link(worker.link.get(), kept_);
    if (events[1].revents != 0) {
      // Dead, so nothing is added any more: what is queued is all there is.
      (void)drain_keeper_link(worker.link.get(), kept_);
      return reap(worker.pid);
    }
  }
}

void Keeper::pass_on_signal(const Worker& worker) {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info))) {
    stopping_ = true;
    ::syscall(SYS_pidfd_send_signal, worker.pidfd.get(), SIGTERM, nullptr, 0);
  }
}

bool Keeper::dies_too_often() {
  const auto now = std::chrono::steady_clock::now();
  deaths_.push_back(now);
  while (now - deaths_.front() > kDeathWindow) deaths_.pop_front();
  return deaths_.size() > kMaxDeaths;
}

}  // namespace warden::daemon
