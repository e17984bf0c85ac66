// SPDX-License-Identifier: Apache-2.0
// Dead-process cleanup on the kernel of the guest: that its exit program was what told of the deaths, not the pidfds
// behind it; and what is said where a kernel has no types to load it by.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>

#include <cstdlib>
#include <map>
#include <thread>

#include "bpf/exit_watcher.h"
#include "tests/fault/reaping_victim.h"

namespace warden::test {
namespace {

using testing::HasSubstr;

// The best that each kernel has: before 6.13 its tracepoint does not say whether the whole process is dead.
std::string expected_mechanism() {
  const std::map<std::string, std::string> mechanisms{{"6.1", "fentry"}, {"7", "tp_btf"}, {"cdev", "fentry"}};
  const char* kernel = std::getenv("WARDEN_VM_KERNEL");
  const auto found = mechanisms.find(kernel != nullptr ? kernel : "");
  return found != mechanisms.end() ? found->second : "nothing: $WARDEN_VM_KERNEL is not set; run it in the guest";
}

// Proves that clients of several threads, killed while they hold records, are told of by the exit program of this
// kernel, but for exits that the kernel itself counts as not shown to it, and that nothing of them stays.
TEST(VmCleanup, TheKernelsProgramTellsOfTheDead) {
  constexpr std::uint64_t kVictims = 40;
  constexpr std::uint64_t kRecords = 25;
  Stack stack;
  const auto watcher = stack.attach("watcher");
  const nlohmann::json before = status_of(*watcher)["exit_watcher"];
  ASSERT_EQ(before["mechanism"], expected_mechanism()) << before;
  std::vector<Victim> victims;
  for (std::uint64_t i = 0; i < kVictims; ++i) {
    victims.emplace_back([&] {
      static Holder held;
      std::thread([] { ::pause(); }).detach();
      return (held = hold(stack.socket_path(), kRecords, 4096)).ledger != nullptr;
    });
    ASSERT_TRUE(victims.back().is_ready()) << stack.daemon_log();
  }
  EXPECT_EQ(allocations_of(*watcher)["records"], kVictims * kRecords);
  victims.clear();
  ASSERT_TRUE(eventually([&] { return status_of(*watcher)["sessions"] == 1; })) << *watcher->sessions_json();
  const nlohmann::json after = status_of(*watcher)["exit_watcher"];
  EXPECT_EQ(after["not_by_hook"], after["missed_runs"]) << "by their pidfds, though no exit was passed over";
  // Emulated, an event comes so late now and then that the socket of the dead is found closed before.
  EXPECT_GT(after["marked"].get<std::uint64_t>() - after["not_by_hook"].get<std::uint64_t>(), kVictims / 2) << after;
  EXPECT_EQ(allocations_of(*watcher)["records"], 0);
}

// Hides the kernel's types from this process and those it starts.
bool hide_types() {
  return ::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         ::mount("none", "/sys/kernel/btf", "tmpfs", 0, nullptr) == 0;
}

// Proves that on a kernel without BTF wardend serves by pidfds and says in one line why, and that it refuses in one
// line when the program was asked for by name.
TEST(VmCleanup, WithoutBtfPidfdsServe) {
  // A thread of its own, so that the other tests keep their view.
  std::thread([] {
    ASSERT_TRUE(hide_types()) << std::strerror(errno);
    Stack stack;
    const auto watcher = stack.attach("watcher");
    const nlohmann::json exits = status_of(*watcher)["exit_watcher"];
    EXPECT_EQ(exits["mechanism"], "pidfd") << exits;
    EXPECT_THAT(exits["reason"].get<std::string>(), HasSubstr("BTF")) << exits;
    Victim victim([&] {
      static Holder held;
      return (held = hold(stack.socket_path(), 3, 64)).ledger != nullptr;
    });
    ASSERT_TRUE(victim.is_ready());
    victim.kill();
    EXPECT_TRUE(eventually([&] { return allocations_of(*watcher)["records"] == 0; }));

    const auto refused = bpf::ExitWatcher::open({.mechanisms = {bpf::Mechanism::kFentry}});
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, HasSubstr("BTF"));
    EXPECT_EQ(refused.error().message.find('\n'), std::string::npos);
  }).join();
}

}  // namespace
}  // namespace warden::test
