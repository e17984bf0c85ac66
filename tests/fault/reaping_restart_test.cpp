// SPDX-License-Identifier: Apache-2.0
// wardend's worker killed while its clients die: whoever is dead is counted no more, whoever lives is counted once.
#include <random>

#include "tests/fault/reaping_victim.h"

namespace warden::test {
namespace {

class ReapingRestart : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(By, ReapingRestart, ::testing::Values("auto", "pidfd"),
                         [](const auto& mechanism) { return std::string(mechanism.param); });

TEST_P(ReapingRestart, NothingLostNothingDouble) {
  Stack stack({.daemon_arguments = {"--exit-watcher", GetParam()}});
  const auto watcher = stack.attach("watcher");
  std::mt19937 random(7);
  std::vector<Victim> victims;
  for (int round = 0; round < 8; ++round) {
    const nlohmann::json before = status_of(*watcher);
    while (victims.size() < 6) {
      victims.emplace_back([&] {
        static Holder held;
        return (held = hold(stack.socket_path(), 11, 1000)).ledger != nullptr;
      });
      ASSERT_TRUE(victims.back().is_ready());
    }
    const auto kill_some = [&] {
      for (int i = 0; i < 2; ++i) {
        victims.back().signal(SIGKILL);
        victims.pop_back();
      }
    };
    const bool early = random() % 2 == 0;
    if (early) kill_some();
    ::usleep(static_cast<useconds_t>(random() % 500));
    ASSERT_EQ(::kill(before["worker_pid"].get<pid_t>(), SIGKILL), 0);
    if (!early) kill_some();
    ASSERT_TRUE(eventually([&] { return status_of(*watcher)["worker_starts"] > before["worker_starts"]; }));
    ASSERT_TRUE(eventually([&] { return allocations_of(*watcher)["records"] == victims.size() * 11; }))
        << allocations_of(*watcher);
    EXPECT_EQ(allocations_of(*watcher)["bytes"], victims.size() * 11000);
    ASSERT_TRUE(eventually([&] { return status_of(*watcher)["sessions"] == victims.size() + 1; }));
    EXPECT_EQ(status_of(*watcher)["exit_watcher"]["mechanism"], before["exit_watcher"]["mechanism"]);
    EXPECT_EQ(status_of(*watcher)["exit_watcher"]["reason"], before["exit_watcher"]["reason"]);
  }
}

}  // namespace
}  // namespace warden::test
