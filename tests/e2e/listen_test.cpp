// SPDX-License-Identifier: Apache-2.0
// `warden listen`: any command is stopped or paused around resets, and otherwise runs as if nothing were there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/support/host.h"
#include "tools/warden/proc.h"
#include "tools/warden/process_tree.h"

namespace warden::test {
namespace {

using cli::children_of;
using cli::view_process;
using testing::HasSubstr;

bool stopped(pid_t pid) {
  const auto view = view_process(pid);
  return view && view->living && view->stopped;
}
bool runs(pid_t pid) {
  const auto view = view_process(pid);
  return view && view->living && !view->stopped;
}

class Listen : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    ASSERT_TRUE(host_.start()) << host_.why();
  }

  // Daemons of a command survive the death of its group: whatever a failed test leaves is below us.
  void TearDown() override {
    cli::ProcessTree left(::getpid());
    EXPECT_TRUE(eventually([&] { return left.signal_all(SIGKILL) == 0; }));
  }

  Process listen(const char* on_reset, std::vector<std::string> command, Process::Options options = {}) {
    std::vector<std::string> arguments = {"listen", "--on-reset", on_reset, "--"};
    arguments.insert(arguments.end(), command.begin(), command.end());
    return host_.run("warden", std::move(arguments), std::move(options));
  }

  // A listener that does not answer until release(): a reset stays in its first phase meanwhile.
  void hold_resets() {
    blocker_.emplace(host_.run("listener_example", {"pause"}));
    ASSERT_TRUE(blocker_->wait_for_line("attached")) << blocker_->output();
    blocker_->signal(SIGSTOP);
  }
  void release() const { blocker_->signal(SIGCONT); }

  Process reset() { return host_.run("warden", {"reset", "--timeout", "50s"}); }

  // The pid that a command's shell printed as "pid N".
  static pid_t printed_pid(Process& process) {
    const auto line = process.wait_for_line("pid ");
    return line ? static_cast<pid_t>(std::stol(line->substr(line->find("pid ") + 4))) : 0;
  }

  // A command that goes on until it is killed, found paused by a reset that ends after release().
  struct Paused {
    Process command;
    pid_t pid;
    Process reset;
  };
  Paused pause_loop() {
    hold_resets();
    Process command = listen("pause", kLoop);
    const pid_t pid = printed_pid(command);
    Process reset = this->reset();
    EXPECT_TRUE(command.wait_for_line("reset 1: paused")) << command.output();
    return {std::move(command), pid, std::move(reset)};
  }
  static inline const std::vector<std::string> kLoop = {"sh", "-c", "echo pid $$; while :; do sleep 0.01; done"};

  Host host_;
  std::optional<Process> blocker_;
};

// While a reset waits for others, everything of the command stands still, a daemon of its own session too; after it,
// everything runs, and the report says acknowledged.
TEST_F(Listen, PausesTheWholeTree) {
  hold_resets();
  Process command = listen("pause", {"sh", "-c", "setsid sh -c 'sleep 1000 & echo pid $!; wait' & echo pid $$; wait"});
  const pid_t first = printed_pid(command);
  const pid_t second = printed_pid(command);
  ASSERT_TRUE(runs(first) && runs(second)) << command.output();
  Process reset = this->reset();
  ASSERT_TRUE(command.wait_for_line("reset 1: paused 3 process")) << command.output();
  EXPECT_TRUE(stopped(first));
  EXPECT_TRUE(stopped(second));
  ASSERT_TRUE(reset.wait_for_line("(sh) has acknowledged")) << reset.output();
  release();
  EXPECT_EQ(reset.wait(), 0) << reset.output();
  EXPECT_TRUE(eventually([&] { return runs(first) && runs(second); }));
  ::kill(first, SIGKILL);
  ::kill(second, SIGKILL);
  EXPECT_EQ(command.wait(), 137);
}

// The wrapper is killed while its command is paused: the command stays paused until the reset has ended, then goes on.
TEST_F(Listen, CommandGoesOnAfterTheWrapperWasKilled) {
  auto [command, pid, reset] = pause_loop();
  command.signal(SIGKILL);
  EXPECT_EQ(command.wait(), 137);
  EXPECT_TRUE(stopped(pid));
  release();
  EXPECT_EQ(reset.wait(), 0) << reset.output();
  EXPECT_TRUE(eventually([&] { return runs(pid); }));
  ::kill(pid, SIGKILL);
}

// The guard behind the wrapper is killed while the command is paused: another one takes over.
TEST_F(Listen, CommandGoesOnAfterTheGuardWasKilled) {
  auto [command, pid, reset] = pause_loop();
  const auto guards = children_of(command.pid());
  ASSERT_EQ(guards.size(), 1U);
  ::kill(guards.front(), SIGKILL);
  ASSERT_TRUE(command.wait_for_line("another takes over")) << command.output();
  EXPECT_TRUE(stopped(pid));
  release();
  EXPECT_EQ(reset.wait(), 0) << reset.output();
  EXPECT_TRUE(eventually([&] { return runs(pid); }));
  // And the second guard guards: the next reset finds the command paused again.
  Process again = this->reset();
  EXPECT_EQ(again.wait(), 0) << again.output();
  EXPECT_TRUE(command.wait_for_line("reset 2: paused")) << command.output();
  ::kill(pid, SIGKILL);
  EXPECT_EQ(command.wait(), 137);
}

// Wrapper and guard are both killed while the command is paused: wardend continues what they had stopped, children
// too, once the reset has ended.
TEST_F(Listen, CommandGoesOnAfterBothWereKilled) {
  hold_resets();
  Process command =
      listen("pause", {"sh", "-c", "sleep 1000 & echo pid $!; echo pid $$; while :; do sleep 0.01; done"});
  const pid_t child = printed_pid(command);
  const pid_t pid = printed_pid(command);
  Process reset = this->reset();
  ASSERT_TRUE(command.wait_for_line("reset 1: paused")) << command.output();
  const auto guards = children_of(command.pid());
  ASSERT_EQ(guards.size(), 1U);
  command.signal(SIGSTOP);  // it must not see its guard die and start another
  ::kill(guards.front(), SIGKILL);
  command.signal(SIGKILL);
  EXPECT_EQ(command.wait(), 137);
  ASSERT_TRUE(host_.daemon().wait_for_line("is stopped")) << host_.daemon().output();
  EXPECT_TRUE(stopped(pid) && stopped(child));
  release();
  EXPECT_EQ(reset.wait(), 0) << reset.output();
  EXPECT_TRUE(eventually([&] { return runs(pid) && runs(child); })) << host_.daemon().output();
  ::kill(child, SIGKILL);
  ::kill(pid, SIGKILL);
}

// The wrapper is killed while nothing is reset: the next reset still finds the command paused.
TEST_F(Listen, GuardsOnAfterTheWrapperWasKilled) {
  Process command = listen("pause", kLoop);
  const pid_t pid = printed_pid(command);
  ASSERT_TRUE(runs(pid)) << command.output();
  command.signal(SIGKILL);
  EXPECT_EQ(command.wait(), 137);
  hold_resets();
  Process reset = this->reset();
  EXPECT_TRUE(eventually([&] { return stopped(pid); }));
  release();
  EXPECT_EQ(reset.wait(), 0) << reset.output();
  EXPECT_TRUE(eventually([&] { return runs(pid); }));
  ::kill(pid, SIGKILL);
}

// Ctrl-Z during a reset stops the job, so the end of the reset does not continue it; who continues the wrapper does.
TEST_F(Listen, StaysStoppedAfterCtrlZ) {
  hold_resets();
  Process command =
      listen("pause", {"sh", "-c", "sleep 1000 & echo pid $!; echo pid $$; while :; do sleep 0.01; done"});
  const pid_t child = printed_pid(command);
  const pid_t pid = printed_pid(command);
  Process reset = this->reset();
  ASSERT_TRUE(command.wait_for_line("reset 1: paused")) << command.output();
  ::kill(-command.pid(), SIGTSTP);  // as a terminal does
  ASSERT_TRUE(eventually([&] { return stopped(command.pid()); }));
  release();
  EXPECT_EQ(reset.wait(), 0) << reset.output();
  ASSERT_TRUE(command.wait_for_line("reset 1 ended")) << command.output();
  EXPECT_TRUE(stopped(pid) && stopped(child));
  command.signal(SIGCONT);
  EXPECT_TRUE(eventually([&] { return runs(pid) && runs(child); }));
  ::kill(child, SIGKILL);
  ::kill(pid, SIGKILL);
  EXPECT_EQ(command.wait(), 137);
}

// A paused command that somebody continues is stopped again before the reset goes on.
TEST_F(Listen, StopsAgainWhatSomebodyContinues) {
  auto [command, pid, reset] = pause_loop();
  ::kill(pid, SIGCONT);
  EXPECT_TRUE(eventually([&] { return stopped(pid); }));
  release();
  EXPECT_EQ(reset.wait(), 0) << reset.output();
  EXPECT_TRUE(eventually([&] { return runs(pid); }));
  ::kill(pid, SIGKILL);
  EXPECT_EQ(command.wait(), 137);
}

// A command that is killed while it is paused owes nothing more, and the wrapper ends as it did.
TEST_F(Listen, CommandMayDieWhilePaused) {
  auto [command, pid, reset] = pause_loop();
  ::kill(pid, SIGKILL);
  EXPECT_EQ(command.wait(), 137);
  release();
  EXPECT_EQ(reset.wait(), 0) << reset.output();
}

// wardend dies with the reset: the command is told by its successor, or goes on without it.
TEST_F(Listen, CommandGoesOnAfterWardendDied) {
  auto [command, pid, reset] = pause_loop();
  ::kill(-host_.daemon().pid(), SIGKILL);  // keeper and worker
  ASSERT_TRUE(host_.start_daemon()) << host_.why();
  EXPECT_TRUE(eventually([&] { return runs(pid); })) << command.output();
  ::kill(pid, SIGKILL);
  EXPECT_EQ(command.wait(), 137);
}

// `stop` ends the command with SIGTERM, and the reset goes on when all of it has ended.
TEST_F(Listen, StopsTheCommand) {
  Process command =
      listen("stop", {"sh", "-c", "trap 'echo bye; exit 7' TERM; echo pid $$; while :; do sleep 0.01; done"});
  const pid_t pid = printed_pid(command);
  ASSERT_NE(pid, 0);
  Process reset = this->reset();
  EXPECT_EQ(reset.wait(), 0) << reset.output();
  EXPECT_EQ(command.wait(), 7) << command.output();
  EXPECT_THAT(command.out(), HasSubstr("bye"));
  EXPECT_FALSE(view_process(pid));
}

// A command that does not care about SIGTERM gets SIGKILL after the time that was set; more time is asked for till
// then.
TEST_F(Listen, KillsWhatDoesNotStop) {
  Process command = host_.run("warden", {"listen", "--on-reset", "stop", "--kill-after", "1s", "--", "sh", "-c",
                                         "trap '' TERM; echo ready; while :; do sleep 0.01; done"});
  ASSERT_TRUE(command.wait_for_line("ready")) << command.output();
  Process reset = host_.run("warden", {"reset", "--timeout", "200ms", "--on-timeout", "abort"});
  EXPECT_EQ(reset.wait(), 0) << reset.output();
  EXPECT_EQ(command.wait(), 137);
}

// A command must not be started into a reset that is under way.
TEST_F(Listen, StartsTheCommandAfterTheReset) {
  hold_resets();
  Process reset = this->reset();
  ASSERT_TRUE(reset.wait_for_line("announced")) << reset.output();
  Process command = listen("pause", {"echo", "started"});
  ASSERT_TRUE(command.wait_for_line("the command starts after it")) << command.output();
  EXPECT_EQ(command.out(), "");
  release();
  EXPECT_EQ(reset.wait(), 0) << reset.output();
  EXPECT_EQ(command.wait(), 0) << command.output();
  EXPECT_EQ(command.out(), "started\n");
}

// The exit status is the command's own, or says how it could not be run.
TEST_F(Listen, PassesTheStatusOn) {
  EXPECT_EQ(listen("pause", {"sh", "-c", "exit 42"}).wait(), 42);
  EXPECT_EQ(listen("pause", {"sh", "-c", "kill -USR1 $$"}).wait(), 128 + SIGUSR1);
  Process missing = listen("pause", {"/nonexistent/program"});
  EXPECT_EQ(missing.wait(), 127);
  EXPECT_THAT(missing.err(), HasSubstr("run /nonexistent/program: No such file or directory"));
  EXPECT_EQ(listen("pause", {"/etc/passwd"}).wait(), 126);
}

// A signal sent to the wrapper reaches the command.
TEST_F(Listen, ForwardsSignals) {
  Process command = listen("pause", {"sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.01; done"});
  ASSERT_TRUE(command.wait_for_line("ready")) << command.output();
  command.signal(SIGTERM);
  EXPECT_EQ(command.wait(), 9);
}

// On a terminal, Ctrl+C reaches the command once, not a second time through the wrapper, and the wrapper stays.
TEST_F(Listen, CtrlCReachesTheCommandOnce) {
  int master = -1;
  int slave = -1;
  if (::openpty(&master, &slave, nullptr, nullptr, nullptr) != 0) {
    GTEST_SKIP() << "no terminal to be had here: " << std::strerror(errno);
  }
  Process::Options options;
  options.stdin_fd = slave;
  const std::string script =
      "trap 'n=$((n + 1)); echo interrupted $n' INT; trap 'exit $n' TERM; echo pid $$; while :; do sleep 0.01; done";
  options.environment["WARDEN_SOCKET"] = host_.socket_path();
  Process command({"setsid", "--ctty", "--wait", std::string(WARDEN_BIN_DIR) + "/warden", "listen", "--on-reset",
                   "pause", "--", "sh", "-c", script},
                  options);
  const pid_t pid = printed_pid(command);
  ASSERT_NE(pid, 0) << command.output();
  ASSERT_EQ(::write(master, "\x03", 1), 1);
  EXPECT_TRUE(command.wait_for_line("interrupted 1")) << command.output();
  ::kill(pid, SIGTERM);
  EXPECT_EQ(command.wait(), 1) << command.output();
  ::close(master);
  ::close(slave);
}

// stdin is the command's.
TEST_F(Listen, LeavesStdinToTheCommand) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  Process::Options options;
  options.stdin_fd = ends[0];
  Process command = listen("pause", {"cat"}, options);
  ::close(ends[0]);
  ASSERT_EQ(::write(ends[1], "hello\n", 6), 6);
  EXPECT_TRUE(command.wait_for_line("hello"));
  ::close(ends[1]);
  EXPECT_EQ(command.wait(), 0);
}

// Without a command, resets are printed and acknowledged at once.
TEST_F(Listen, TellsWithoutACommand) {
  Process listener = host_.run("warden", {"listen", "--on-reset", "pause"});
  ASSERT_TRUE(listener.wait_for_line("listening")) << listener.output();
  Process reset = host_.run("warden", {"reset", "--json", "--reason", "because"});
  EXPECT_EQ(reset.wait(), 0) << reset.output();
  EXPECT_THAT(reset.out(), HasSubstr("\"outcome\":\"acknowledged\""));
  EXPECT_THAT(listener.wait_for_line("reset 1 announced").value_or(""), HasSubstr("(because)"));
  EXPECT_TRUE(listener.wait_for_line("reset 1 ended: ok")) << listener.output();
}

// Orphans of a command that has ended are still paused, and the wrapper does not wait for them.
TEST_F(Listen, GuardsWhatTheCommandLeft) {
  Process command = listen("pause", {"sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & echo pid $!"});
  const pid_t pid = printed_pid(command);
  EXPECT_EQ(command.wait(), 0);
  hold_resets();
  Process reset = this->reset();
  EXPECT_TRUE(eventually([&] { return stopped(pid); }));
  release();
  EXPECT_EQ(reset.wait(), 0) << reset.output();
  EXPECT_TRUE(eventually([&] { return runs(pid); }));
  ::kill(pid, SIGKILL);
}

}  // namespace
}  // namespace warden::test
