// SPDX-License-Identifier: Apache-2.0
// Every way for a process to die, or to only look like it, with every mechanism that works on this machine: each death
// is told once, and nothing else is.
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <fstream>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "tests/fault/exit_watcher_fixture.h"
#include "tests/support/rounds.h"

namespace warden::test {

namespace {

INSTANTIATE_TEST_SUITE_P(With, ExitWatcherTest, all_mechanisms(),
                         [](const auto& with) { return std::string(to_string(with.param)); });

TEST_P(ExitWatcherTest, AKilledProcess) {
  const Victim victim(sleep_for_ever);
  watch(7, victim.pidfd());
  EXPECT_TRUE(take().empty());
  victim.kill();
  const bpf::Death death = expect_death(7);
  EXPECT_EQ(death.wait_status, death.by_hook ? SIGKILL : -1);
  expect_by_hook(death);
  EXPECT_EQ(death.by_hook ? 0U : 1U, watcher_->counters().not_by_hook);
  victim.await_end();
  expect_quiet();
}

TEST_P(ExitWatcherTest, ItsExitStatusIsTold) {
  Gate gate;
  const Victim whole([&] {
    gate.wait();
    ::_exit(42);
  });
  watch(7, whole.pidfd());
  gate.open();
  const bpf::Death death = expect_death(7);
  EXPECT_EQ(death.wait_status, death.by_hook ? 42 << 8 : -1);
  Gate second;
  const Victim by_thread([&] { second.execute_victim({"thread", "43"}); });
  watch(8, by_thread.pidfd());
  second.open();
  const bpf::Death other = expect_death(8);
  EXPECT_TRUE(other.wait_status == 43 << 8 || !other.by_hook);
}

TEST_P(ExitWatcherTest, AKilledProcessOfEightThreads) {
  Gate running;
  const Victim victim([&] { sleep_in_threads(8, [&] { running.open(); }); });
  running.wait();
  watch(7, victim.pidfd());
  victim.kill();
  expect_death(7);
  victim.await_end();
  EXPECT_TRUE(take().empty());
}

// A leader that has left is a zombie, and its process lives.
TEST_P(ExitWatcherTest, TheMainThreadLeavesFirst) {
  Gate gate;
  const Victim victim([&] {
    std::thread([&] {
      gate.wait();
      ::_exit(44);
    }).detach();
    ::syscall(SYS_exit, 0);
  });
  watch(7, victim.pidfd());
  while (victim.state() != 'Z') std::this_thread::yield();
  EXPECT_TRUE(take().empty());
  gate.open();
  const bpf::Death death = expect_death(7);
  EXPECT_EQ(death.wait_status, death.by_hook ? 44 << 8 : -1) << "not the leader's";
}

// As above, and watched only then.
TEST_P(ExitWatcherTest, WatchedAfterTheMainThreadHasLeft) {
  const Victim victim([] {
    std::thread(sleep_for_ever).detach();
    ::syscall(SYS_exit, 0);
  });
  while (victim.state() != 'Z') std::this_thread::yield();
  watch(7, victim.pidfd());
  EXPECT_TRUE(take().empty());
  victim.kill();
  expect_death(7);
}

// The old leader exits, and the thread that called exec takes its number and its start time.
TEST_P(ExitWatcherTest, ExecFromAnotherThreadIsNoDeath) {
  Gate gate;
  int answer[2];
  ASSERT_EQ(::pipe(answer), 0);
  const Victim victim([&] {
    std::thread([&] {
      gate.wait();
      ::dup2(answer[1], STDOUT_FILENO);
      ::execl("/bin/sh", "sh", "-c", "echo; exec sleep 1000", nullptr);
    }).detach();
    sleep_for_ever();
  });
  watch(7, victim.pidfd());
  gate.open();
  char line = 0;
  ASSERT_EQ(::read(answer[0], &line, 1), 1);
  EXPECT_TRUE(take().empty());
  victim.kill();
  expect_death(7);
  ::close(answer[0]);
  ::close(answer[1]);
}

// Both may believe to be the last.
TEST_P(ExitWatcherTest, TwoThreadsExitAtOnceManyTimes) {
  constexpr auto kRounds = rounds<std::uint64_t>(2000, 400);
  for (std::uint64_t id = 1; id <= kRounds; ++id) {
    Gate gate;
    const Victim victim([&] { gate.execute_victim({"two-threads"}); });
    watch(id, victim.pidfd());
    gate.open();
    const auto deaths = await(1);
    ASSERT_EQ(deaths.size(), 1U);
    ASSERT_EQ(deaths.front().id, id);
    victim.await_end();
    ASSERT_TRUE(take().empty()) << "round " << id;
    watcher_->forget(id);
  }
}

TEST_P(ExitWatcherTest, ForkedChildrenAreNotWatched) {
  Gate ended;
  const Victim victim([&] {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(0);
    ::waitpid(child, nullptr, 0);
    ended.open();
    sleep_for_ever();
  });
  watch(7, victim.pidfd());
  ended.wait();
  EXPECT_TRUE(take().empty());
  victim.kill();
  expect_death(7);
}

// The number is the same; the process is not.
TEST_P(ExitWatcherTest, AProcessNumberThatIsUsedAgain) {
  std::optional<Victim> first(sleep_for_ever);
  const pid_t number = first->pid();
  watch(1, first->pidfd());
  first->kill();
  expect_death(1);
  first->reap();
  std::optional<Victim> second;
  for (int attempt = 0; attempt < 1000 && (!second || second->pid() != number); ++attempt) {
    second.reset();
    std::ofstream last("/proc/sys/kernel/ns_last_pid");
    last << number - 1 << std::flush;
    if (!last) GTEST_SKIP() << "ns_last_pid can't be written: " << std::strerror(errno);
    second.emplace(sleep_for_ever);
  }
  ASSERT_EQ(second->pid(), number);
  EXPECT_TRUE(take().empty());
  watch(2, second->pidfd());
  EXPECT_TRUE(take().empty());
  second->kill();
  expect_death(2);
}

TEST_P(ExitWatcherTest, AProcessInAnotherPidNamespace) {
  if (::geteuid() != 0) GTEST_SKIP() << "making a PID namespace needs root";
  const Victim victim(sleep_for_ever, {.own_pid_namespace = true});
  watch(7, victim.pidfd());
  EXPECT_TRUE(take().empty());
  victim.kill();
  const bpf::Death death = expect_death(7);
  expect_by_hook(death);
}

// Nobody has waited for it, and when somebody does, it is not told again.
TEST_P(ExitWatcherTest, AZombieIsDead) {
  Victim victim(sleep_for_ever);
  watch(7, victim.pidfd());
  victim.kill();
  victim.await_end();
  EXPECT_EQ(victim.state(), 'Z');
  expect_death(7);
  victim.reap();
  EXPECT_TRUE(take().empty());
}

TEST_P(ExitWatcherTest, DeadBeforeItIsWatched) {
  Victim zombie(sleep_for_ever);
  zombie.kill();
  zombie.await_end();
  watch(1, zombie.pidfd());
  expect_death(1);
  Victim reaped(sleep_for_ever);
  reaped.kill();
  reaped.reap();
  watch(2, reaped.pidfd());
  expect_death(2);
}

// Somewhere on its way through the kernel, with memory to give back so that the way is long.
TEST_P(ExitWatcherTest, DyingWhileItBeginsToBeWatched) {
  std::map<std::uint64_t, int> told;
  for (std::uint64_t id = 1; id <= 300; ++id) {
    const Victim victim([] {
      const std::vector<char> memory(1 << 22, 'x');
      ::kill(::getpid(), SIGKILL);
    });
    for (std::uint64_t spin = 0; spin < id * 100; ++spin) std::atomic_signal_fence(std::memory_order_seq_cst);
    watch(id, victim.pidfd());
    for (const auto& death : await(1)) ++told[death.id];
    victim.await_end();
    for (const auto& death : take()) ++told[death.id];
    ASSERT_EQ(told[id], 1) << "round " << id;
    watcher_->forget(id);
  }
}

TEST_P(ExitWatcherTest, WhoIsForgottenIsNotTold) {
  const Victim forgotten(sleep_for_ever);
  const Victim other(sleep_for_ever);
  watch(1, forgotten.pidfd());
  watch(2, other.pidfd());
  EXPECT_TRUE(watcher_->forget(1)) << "alive: nobody will write its slot any more";
  forgotten.kill();
  forgotten.await_end();
  other.kill();
  expect_death(2);
  other.await_end();
  expect_quiet();
}

// A program, and a wrapper that speaks for it.
TEST_P(ExitWatcherTest, OneProcessWatchedForTwoSessions) {
  const Victim victim(sleep_for_ever);
  const UniqueFd other(static_cast<int>(::syscall(SYS_pidfd_open, victim.pid(), 0)));
  const UniqueFd third(static_cast<int>(::syscall(SYS_pidfd_open, victim.pid(), 0)));
  watch(1, victim.pidfd());
  watch(2, other.get());
  watch(3, third.get());
  EXPECT_TRUE(watcher_->forget(1));
  victim.kill();
  std::map<std::uint64_t, int> told;
  for (const auto& death : await(2)) ++told[death.id];
  victim.await_end();
  for (const auto& death : take()) ++told[death.id];
  EXPECT_EQ(told, (std::map<std::uint64_t, int>{{2, 1}, {3, 1}}));
}

TEST_P(ExitWatcherTest, AThousandDieAtOnce) {
  constexpr std::uint64_t kCount = 1024;
  Gate gate;
  std::vector<Victim> victims;
  for (std::uint64_t id = 1; id <= kCount; ++id) {
    victims.emplace_back([&] { gate.wait(); });
    watch(id, victims.back().pidfd());
  }
  EXPECT_TRUE(take().empty());
  gate.open();
  std::map<std::uint64_t, int> told;
  for (const auto& death : await(kCount)) ++told[death.id];
  for (const Victim& victim : victims) victim.await_end();
  for (const auto& death : take()) ++told[death.id];
  EXPECT_EQ(told.size(), kCount);
  for (const auto& [id, times] : told) EXPECT_EQ(times, 1) << id;
}

TEST_P(ExitWatcherTest, AnIdIsWatchedOnce) {
  const Victim victim(sleep_for_ever);
  const UniqueFd again(static_cast<int>(::syscall(SYS_pidfd_open, victim.pid(), 0)));
  watch(7, victim.pidfd());
  EXPECT_FALSE(watcher_->watch({.id = 7, .pidfd = again.get()}));
}

}  // namespace

}  // namespace warden::test
