// SPDX-License-Identifier: Apache-2.0
// See exit_watcher_fixture.h.
#include "tests/fault/exit_watcher_fixture.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <thread>

#include "bpf/pidfd_set.h"

namespace warden::test {

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds kDeadline{60};

// Where nobody has mounted tracefs, for this test program alone.
void have_tracefs() {
  if (::access("/sys/kernel/tracing/events", F_OK) == 0) return;
  if (::unshare(CLONE_NEWNS) != 0) return;
  ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
  ::mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, nullptr);
}

pid_t fork_into_own_namespace() {
  const UniqueFd ours(::open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC));
  if (::unshare(CLONE_NEWPID) != 0) return -1;
  const pid_t pid = ::fork();
  if (pid != 0) ::setns(ours.get(), CLONE_NEWPID);
  return pid;
}

}  // namespace

Victim::Victim(const std::function<void()>& body, const Options& options) {
  pid_ = options.own_pid_namespace ? fork_into_own_namespace() : ::fork();
  if (pid_ < 0) throw std::runtime_error("fork failed");
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    body();
    ::_exit(0);
  }
  pidfd_ = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  if (!pidfd_) throw std::runtime_error("pidfd_open failed");
}

Victim::~Victim() {
  if (pid_ < 0) return;
  kill();
  reap();
}

void Victim::kill() const { ::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0); }

void Victim::await_end() const {
  pollfd end{.fd = pidfd_.get(), .events = POLLIN, .revents = 0};
  ::poll(&end, 1, std::chrono::milliseconds(kDeadline).count());
}

void Victim::reap() {
  if (pid_ < 0) return;
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) continue;
  pid_ = -1;
}

char Victim::state() const {
  std::ifstream file("/proc/" + std::to_string(pid_) + "/stat");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const auto name_end = text.rfind(')');
  return name_end == std::string::npos ? '?' : text.at(name_end + 2);
}

Gate::Gate() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe2 failed");
  read_ = UniqueFd(ends[0]);
  write_ = UniqueFd(ends[1]);
}

// A byte that nobody reads: readable from then on, for everybody.
void Gate::open() { EXPECT_EQ(::write(write_.get(), "", 1), 1); }

void Gate::wait() const {
  pollfd opened{.fd = read_.get(), .events = POLLIN, .revents = 0};
  while (::poll(&opened, 1, -1) < 0 && errno == EINTR) continue;
}

void Gate::execute_victim(std::vector<std::string> arguments) const {
  ::fcntl(read_.get(), F_SETFD, 0);
  arguments.insert(arguments.begin(), {WARDEN_EXIT_VICTIM, std::to_string(read_.get())});
  std::vector<char*> words;
  for (std::string& argument : arguments) words.push_back(argument.data());
  words.push_back(nullptr);
  ::execv(WARDEN_EXIT_VICTIM, words.data());
  ::_exit(127);
}

void sleep_for_ever() {
  for (;;) ::pause();
}

void sleep_in_threads(int count, const std::function<void()>& ready) {
  std::atomic<int> running{1};
  for (int i = 1; i < count; ++i) {
    std::thread([&] {
      ++running;
      sleep_for_ever();
    }).detach();
  }
  while (running.load() != count) std::this_thread::yield();
  ready();
  sleep_for_ever();
}

void ExitWatcherTest::open(bpf::Options options) {
  if (GetParam() == bpf::Mechanism::kTracepoint) have_tracefs();
  options.mechanisms = {GetParam()};
  auto watcher = bpf::ExitWatcher::open(options);
  if (!watcher) GTEST_SKIP() << watcher.error().message;
  watcher_ = std::move(*watcher);
}

void ExitWatcherTest::watch(std::uint64_t id, int pidfd, std::uint32_t slot) {
  const auto ok = watcher_->watch({.id = id, .slot = slot, .pidfd = pidfd});
  ASSERT_TRUE(ok) << ok.error().message;
}

std::vector<bpf::Death> ExitWatcherTest::take() const {
  std::vector<bpf::Death> deaths;
  const auto ok = watcher_->take(deaths);
  EXPECT_TRUE(ok) << ok.error().message;
  return deaths;
}

std::vector<bpf::Death> ExitWatcherTest::await(std::size_t count) const {
  const auto deadline = Clock::now() + kDeadline;
  std::vector<bpf::Death> deaths;
  while (deaths.size() < count) {
    pollfd ready{.fd = watcher_->fd(), .events = POLLIN, .revents = 0};
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0 || ::poll(&ready, 1, static_cast<int>(left)) <= 0) {
      ADD_FAILURE() << deaths.size() << " deaths told, " << count << " awaited";
      break;
    }
    const auto more = take();
    deaths.insert(deaths.end(), more.begin(), more.end());
  }
  return deaths;
}

bpf::Death ExitWatcherTest::expect_death(std::uint64_t id) const {
  const auto deaths = await(1);
  EXPECT_EQ(deaths.size(), 1U);
  if (deaths.empty()) return {};
  EXPECT_EQ(deaths.front().id, id);
  EXPECT_TRUE(take().empty());
  return deaths.front();
}

void ExitWatcherTest::expect_quiet() const {
  EXPECT_TRUE(take().empty());
  EXPECT_FALSE(bpf::is_readable(watcher_->fd()));
}

void ExitWatcherTest::expect_by_hook(const bpf::Death& death) const {
  if (watcher_->counters().missed_runs > 0) return;
  EXPECT_EQ(death.by_hook, GetParam() != bpf::Mechanism::kPidfd);
}

}  // namespace warden::test
