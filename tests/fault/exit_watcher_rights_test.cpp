// SPDX-License-Identifier: Apache-2.0
// Which mechanism is chosen, and what is said about it, for root, for nobody, and inside a PID namespace.
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <string>

#include <gmock/gmock.h>

#include "bpf/realtime.h"
#include "tests/fault/exit_watcher_fixture.h"

namespace warden::test {

namespace {

using testing::HasSubstr;
using testing::StartsWith;

// What `body` has to say, from a process of its own.
std::string told_by_child(const std::function<std::string()>& body, const Victim::Options& options = {}) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  {
    const Victim child(
        [&] {
          const std::string text = body();
          static_cast<void>(::write(ends[1], text.data(), text.size()));
        },
        options);
    child.await_end();
  }
  ::close(ends[1]);
  std::string text(4096, '\0');
  text.resize(static_cast<std::size_t>(std::max(ssize_t{0}, ::read(ends[0], text.data(), text.size()))));
  ::close(ends[0]);
  return text;
}

// Opens as wardend would, and lets a process of its own die.
std::string summary_of_a_working_watcher() {
  auto watcher = bpf::ExitWatcher::open({});
  if (!watcher) return "refused: " + watcher.error().message;
  const Victim victim(sleep_for_ever);
  if (!(*watcher)->watch({.id = 7, .pidfd = victim.pidfd()})) return "can't watch";
  victim.kill();
  victim.await_end();
  std::vector<bpf::Death> deaths;
  if (!(*watcher)->take(deaths) || deaths.size() != 1) return "not told";
  return (*watcher)->summary();
}

void become_nobody() {
  if (::setresgid(65534, 65534, 65534) != 0 || ::setresuid(65534, 65534, 65534) != 0) ::_exit(1);
}

TEST(ExitWatcherChoice, SomethingAlwaysWorks) {
  const std::string summary = summary_of_a_working_watcher();
  EXPECT_THAT(summary, testing::AnyOf("tp_btf", StartsWith("fentry (tp_btf: "), StartsWith("tracepoint (tp_btf: "),
                                      StartsWith("pidfd (tp_btf: ")));
}

TEST(ExitWatcherChoice, WithoutRightsPidfdsServe) {
  const std::string summary = told_by_child([] {
    if (::geteuid() == 0) become_nobody();
    return summary_of_a_working_watcher();
  });
  EXPECT_THAT(summary, StartsWith("pidfd (tp_btf: "));
  EXPECT_THAT(summary, HasSubstr("CAP_BPF"));
}

TEST(ExitWatcherChoice, InAPidNamespacePidfdsServe) {
  if (::geteuid() != 0) GTEST_SKIP() << "making a PID namespace needs root";
  const std::string summary = told_by_child(summary_of_a_working_watcher, {.own_pid_namespace = true});
  EXPECT_THAT(summary, StartsWith("pidfd (tp_btf: not in the initial PID namespace"));
}

TEST(ExitWatcherChoice, NoMechanismIsAnError) {
  const auto watcher = bpf::ExitWatcher::open({.mechanisms = {}});
  ASSERT_FALSE(watcher);
  EXPECT_EQ(watcher.error().code, Code::kInvalidArgument);
}

// Where there is nothing to hand on.
TEST(ExitWatcherChoice, PidfdsHaveNoDescriptors) {
  const auto watcher = bpf::ExitWatcher::open({.mechanisms = {bpf::Mechanism::kPidfd}});
  ASSERT_TRUE(watcher);
  EXPECT_TRUE((*watcher)->descriptors().fds.empty());
  EXPECT_EQ((*watcher)->liveness_fd(), -1);
}

TEST(ExitWatcherRealtime, OrSaysThatItIsNot) {
  const auto policy = [] {
    const auto ok = bpf::make_thread_realtime();
    if (!ok) return ok.error().code == Code::kPermission ? "no right" : ok.error().message;
    return std::string(::sched_getscheduler(0) == (SCHED_FIFO | SCHED_RESET_ON_FORK) ? "real-time" : "ordinary");
  };
  EXPECT_THAT(told_by_child(policy), testing::AnyOf("real-time", "no right"));
  const auto as_nobody = [&] {
    const rlimit none{};
    ::setrlimit(RLIMIT_RTPRIO, &none);
    if (::geteuid() == 0) become_nobody();
    return policy();
  };
  EXPECT_EQ(told_by_child(as_nobody), "no right");
}

}  // namespace

}  // namespace warden::test
