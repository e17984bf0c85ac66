// SPDX-License-Identifier: Apache-2.0
// Waiting on a shared word across processes.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <memory>
#include <vector>

#include "shm/futex.h"
#include "tests/unit/shm_test_support.h"

namespace warden::shm {
namespace {

using Word = std::atomic<std::uint32_t>;

class ShmFutex : public ::testing::Test {
 protected:
  void SetUp() override {
    void* memory = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory, MAP_FAILED);
    words_ = new (memory) Word[3]{};
  }
  void TearDown() override { ::munmap(words_, 4096); }
  Word* words_ = nullptr;
};

// Proves that one wake reaches every waiting process.
TEST_F(ShmFutex, OneWakeReachesAllProcesses) {
  std::vector<std::unique_ptr<test::Child>> waiting;
  for (int i = 0; i < 8; ++i) {
    waiting.push_back(std::make_unique<test::Child>([this] {
      words_[1].fetch_add(1);
      while (words_[0].load() == 0) futex_wait(words_[0], 0, std::chrono::minutes(10));
      return 0;
    }));
  }
  ASSERT_TRUE(test::eventually([this] { return words_[1].load() == 8; }));
  words_[0].store(1);
  futex_wake_all(words_[0]);
  for (const auto& child : waiting) EXPECT_EQ(child->wait(), 0);
}

// Proves that a wait ends by itself: at once when the word has moved on or no time is given, else after its bound.
TEST_F(ShmFutex, WaitIsBounded) {
  futex_wait(words_[0], 1, std::chrono::minutes(10));
  futex_wait(words_[0], 0, std::chrono::nanoseconds(0));
  futex_wait(words_[0], 0, std::chrono::milliseconds(-1));
  const auto before = std::chrono::steady_clock::now();
  futex_wait(words_[0], 0, std::chrono::milliseconds(20));
  EXPECT_GE(std::chrono::steady_clock::now() - before, std::chrono::milliseconds(20));
}

// Proves that a waiter is woken only for what it waits for.
TEST_F(ShmFutex, OtherWakesAreSleptOver) {
  test::Child waiting([this] {
    words_[1].store(1);
    // Ends after the bound, or by a wake for bit 2: then word 2 is set.
    while (words_[2].load() == 0) {
      futex_wait(words_[0], 0, std::chrono::minutes(10), 2);
      if (words_[2].load() == 0) return 1;
    }
    return 0;
  });
  ASSERT_TRUE(test::eventually([this] { return words_[1].load() == 1; }));
  for (int i = 0; i < 100; ++i) futex_wake_all(words_[0], 1);
  words_[2].store(1);
  EXPECT_TRUE(test::eventually([&] {
    futex_wake_all(words_[0], 2);  // again and again, in case it was not waiting yet
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(waiting.pid()), &info, WEXITED | WNOHANG | WNOWAIT);
    return info.si_pid != 0;
  }));
  EXPECT_EQ(waiting.wait(), 0);
}

}  // namespace
}  // namespace warden::shm
