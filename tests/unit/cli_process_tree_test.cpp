// SPDX-License-Identifier: Apache-2.0
// The process tree stopper against real trees: threads, daemons, relays of forks, vfork, and who was stopped before.
#include "tools/warden/process_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <functional>
#include <thread>

#include "tools/warden/proc.h"

namespace warden::cli {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds kDeadline{60};

// Words that the processes of a test and the test share.
struct Shared {
  std::atomic<std::uint64_t> beats[16];
  std::atomic<pid_t> pid;
};

class ProcessTreeTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    void* memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory, MAP_FAILED);
    shared_ = new (memory) Shared;
  }

  void TearDown() override {
    // A relay may fork while it is being killed: again until nobody is left.
    for (;;) {
      (void)tree_.signal_all(SIGKILL);
      pid_t reaped = 0;
      do {  // all there are: a relay leaves more in each round than could be waited for one by one
        reaped = ::waitpid(-1, nullptr, WNOHANG);
      } while (reaped > 0);
      if (reaped < 0 && errno == ECHILD) break;
    }
    ::munmap(shared_, sizeof(Shared));
  }

  pid_t start(const std::function<void()>& body) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      body();
      ::_exit(0);
    }
    return pid;
  }

  static void beat_for_ever(std::atomic<std::uint64_t>& beat) {
    for (;;) beat.fetch_add(1);
  }

  testing::AssertionResult moves(int index) {
    const std::uint64_t before = shared_->beats[index];
    for (const auto deadline = Clock::now() + kDeadline; Clock::now() < deadline;) {
      if (shared_->beats[index] != before) return testing::AssertionSuccess();
      ::sched_yield();
    }
    return testing::AssertionFailure() << "beat " << index << " stands at " << before;
  }

  testing::AssertionResult stop() {
    for (const auto deadline = Clock::now() + kDeadline; Clock::now() < deadline;) {
      const auto stopped = tree_.stop_step();
      if (!stopped) return testing::AssertionFailure() << stopped.error().message;
      if (*stopped) return testing::AssertionSuccess();
      while (::waitpid(-1, nullptr, WNOHANG) > 0) continue;  // as the guard does
    }
    return testing::AssertionFailure() << "last running: " << tree_.last_running();
  }

  // Nothing has moved although we did a lot meanwhile.
  testing::AssertionResult stand_still(int count) {
    std::uint64_t before[16];
    for (int i = 0; i < count; ++i) before[i] = shared_->beats[i];
    for (int i = 0; i < 200; ++i) (void)tree_.living_count();
    for (int i = 0; i < count; ++i) {
      if (shared_->beats[i] != before[i]) return testing::AssertionFailure() << "beat " << i << " went on";
    }
    return testing::AssertionSuccess();
  }

  Shared* shared_ = nullptr;
  ProcessTree tree_{::getpid()};
};

// All threads stand still once "stopped" is answered, and all go on afterwards.
TEST_F(ProcessTreeTest, StopsEveryThread) {
  constexpr int kThreads = 6;
  start([this] {
    for (int i = 1; i < kThreads; ++i) std::thread([this, i] { beat_for_ever(shared_->beats[i]); }).detach();
    beat_for_ever(shared_->beats[0]);
  });
  for (int i = 0; i < kThreads; ++i) ASSERT_TRUE(moves(i));
  ASSERT_TRUE(stop());
  EXPECT_TRUE(stand_still(kThreads));
  EXPECT_EQ(tree_.stopped_count(), 1U);
  tree_.resume();
  for (int i = 0; i < kThreads; ++i) EXPECT_TRUE(moves(i));
}

// A main thread may end before its process does: its zombie is not the process.
TEST_F(ProcessTreeTest, StopsAProcessWhoseMainThreadHasEnded) {
  start([this] {
    std::thread([this] { beat_for_ever(shared_->beats[0]); }).detach();
    ::syscall(SYS_exit, 0);  // this thread alone, without the unwinding of pthread_exit()
  });
  ASSERT_TRUE(moves(0));
  ASSERT_TRUE(stop());
  EXPECT_TRUE(stand_still(1));
  tree_.resume();
  EXPECT_TRUE(moves(0));
}

// A daemon (own session, parent dead) belongs to the tree although no chain of parents leads to the command any more.
TEST_F(ProcessTreeTest, FindsDaemonsByTheSubreaper) {
  start([this] {
    if (::fork() == 0) {
      ::setsid();
      if (::fork() == 0) beat_for_ever(shared_->beats[0]);
      ::_exit(0);
    }
    ::waitpid(-1, nullptr, 0);
    beat_for_ever(shared_->beats[1]);
  });
  ASSERT_TRUE(moves(0));
  ASSERT_TRUE(moves(1));
  ASSERT_TRUE(stop());
  EXPECT_TRUE(stand_still(2));
  EXPECT_EQ(tree_.stopped_count(), 2U);
  tree_.resume();
  EXPECT_TRUE(moves(0));
  EXPECT_TRUE(moves(1));
}

// A relay: each process forks the next and dies, so that every walk finds another one. It must be caught all the same.
TEST_F(ProcessTreeTest, CatchesARelayOfForks) {
  const auto end = Clock::now() + 2 * kDeadline;  // nobody could stop it if this test were killed
  start([this, end] {
    while (Clock::now() < end && ::fork() == 0) shared_->beats[0].fetch_add(1);
  });
  ASSERT_TRUE(moves(0));
  ASSERT_TRUE(stop());
  EXPECT_TRUE(stand_still(1));
  tree_.resume();
  EXPECT_TRUE(moves(0));
}

// A tree that grows while it is being stopped (up to a bound) is stopped whole.
TEST_F(ProcessTreeTest, StopsATreeThatGrows) {
  constexpr std::uint64_t kMost = 60;
  start([this] {
    while (shared_->beats[1].fetch_add(1) < kMost) (void)::fork();
    beat_for_ever(shared_->beats[0]);
  });
  ASSERT_TRUE(moves(1));
  ASSERT_TRUE(stop());
  EXPECT_TRUE(stand_still(2));
  tree_.resume();
  EXPECT_TRUE(moves(0));
}

// A parent in vfork() can't stop before its child has called exec. Stopping the child first would be a deadlock.
TEST_F(ProcessTreeTest, DoesNotDeadlockWithVfork) {
  start([this] {
    for (;;) {
      char name[] = "true";
      char* arguments[] = {name, nullptr};
      pid_t child = 0;
      if (::posix_spawnp(&child, name, nullptr, nullptr, arguments, nullptr) == 0) ::waitpid(child, nullptr, 0);
      shared_->beats[0].fetch_add(1);
    }
  });
  ASSERT_TRUE(moves(0));
  for (int round = 0; round < 50; ++round) {
    ASSERT_TRUE(stop()) << "round " << round;
    tree_.resume();
    ASSERT_TRUE(moves(0)) << "round " << round;
  }
}

// Who was stopped by somebody else before is left stopped.
TEST_F(ProcessTreeTest, ContinuesOnlyWhatItStopped) {
  const pid_t pid = start([this] {
    ::raise(SIGSTOP);
    beat_for_ever(shared_->beats[0]);
  });
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid), &info, WSTOPPED), 0);
  start([this] { beat_for_ever(shared_->beats[1]); });
  ASSERT_TRUE(moves(1));
  ASSERT_TRUE(stop());
  EXPECT_EQ(tree_.stopped_count(), 1U);
  tree_.resume();
  EXPECT_TRUE(moves(1));
  EXPECT_TRUE(view_process(pid)->stopped);
  EXPECT_EQ(shared_->beats[0], 0U);
}

// What somebody continues while it should stand still is found running and stopped again.
TEST_F(ProcessTreeTest, NoticesWhenSomebodyContinuesAProcess) {
  const pid_t pid = start([this] { beat_for_ever(shared_->beats[0]); });
  ASSERT_TRUE(moves(0));
  ASSERT_TRUE(stop());
  ASSERT_EQ(::kill(pid, SIGCONT), 0);
  ASSERT_TRUE(moves(0));
  const auto step = tree_.stop_step();
  ASSERT_TRUE(step);
  EXPECT_FALSE(*step);
  EXPECT_THAT(tree_.last_running(), testing::HasSubstr(std::to_string(pid)));
  EXPECT_TRUE(stop());
  EXPECT_TRUE(stand_still(1));
}

// A successor that knows nothing continues what its predecessor stopped.
TEST_F(ProcessTreeTest, AdoptsWhatIsStopped) {
  start([this] { beat_for_ever(shared_->beats[0]); });
  ASSERT_TRUE(moves(0));
  ASSERT_TRUE(stop());
  ProcessTree successor(::getpid());
  successor.adopt_stopped();
  successor.resume();
  EXPECT_TRUE(moves(0));
}

// The helper that does the stopping is itself a child: with all its own it is left out.
TEST_F(ProcessTreeTest, LeavesOutTheException) {
  const pid_t helper = start([this] { beat_for_ever(shared_->beats[0]); });
  start([this] { beat_for_ever(shared_->beats[1]); });
  ASSERT_TRUE(moves(0));
  ASSERT_TRUE(moves(1));
  ProcessTree others(::getpid(), helper);
  for (const auto deadline = Clock::now() + kDeadline; Clock::now() < deadline;) {
    if (others.stop_step().value()) break;
  }
  EXPECT_TRUE(moves(0));
  EXPECT_EQ(others.stopped_count(), 1U);
  EXPECT_EQ(others.living_count(), 1U);
  others.resume();
}

// An empty tree is stopped, and zombies do not live.
TEST_F(ProcessTreeTest, IsStoppedWhenNobodyLives) {
  const pid_t pid = start([] {});
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(tree_.living_count(), 0U);
  EXPECT_TRUE(stop());
  EXPECT_EQ(tree_.stopped_count(), 0U);
}

// A pid that is used again is not the same process: no signal reaches the new owner.
TEST_F(ProcessTreeTest, NeverSignalsALaterOwnerOfThePid) {
  const pid_t pid = start([this] { beat_for_ever(shared_->beats[0]); });
  ASSERT_TRUE(moves(0));
  const auto view = view_process(pid);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->parent, ::getpid());
  EXPECT_EQ(signal_process(pid, view->start_ticks + 1, SIGKILL), ESRCH);
  EXPECT_EQ(signal_process(pid, view->start_ticks, SIGKILL, std::array{::getppid()}), ESRCH) << "born in the same tick";
  EXPECT_TRUE(moves(0));
  EXPECT_EQ(signal_process(pid, view->start_ticks, SIGKILL, std::array{::getppid(), ::getpid()}), 0);
}

}  // namespace
}  // namespace warden::cli
