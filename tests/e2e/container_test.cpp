// SPDX-License-Identifier: Apache-2.0
// Programs in containers: PID, mount, IPC and network namespaces of their own, and nothing of the host but the
// directory of wardend's socket.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <future>
#include <nlohmann/json.hpp>

#include "tests/support/host.h"

namespace warden::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr const char* kNamespaces[] = {"pid", "mnt", "ipc", "net"};

// What a container runtime does, in short: $1 our programs, $2 the directory to share (empty: none), then the command.
// The default socket path must do, so $WARDEN_SOCKET goes.
constexpr const char* kEnter = R"(
set -e
unset WARDEN_SOCKET
mount -t tmpfs none /run
mkdir /run/bin
mount --bind "$1" /run/bin
if [ -n "$2" ]; then
  mkdir /run/warden
  mount --bind "$2" /run/warden
fi
mount -t tmpfs none /dev/shm
mount -t tmpfs none /tmp
shift 2
program=$1
shift
exec "/run/bin/$program" "$@"
)";

std::vector<std::string> unshare_command() {
  std::vector<std::string> command = {"unshare", "--pid",        "--mount",     "--ipc",
                                      "--net",   "--mount-proc", "--kill-child"};  // which implies --fork
  if (::geteuid() != 0) command.insert(command.end(), {"--user", "--map-root-user"});
  return command;
}

Process run_in_container(const std::string& shared_directory, const std::vector<std::string>& command) {
  std::vector<std::string> line = unshare_command();
  line.insert(line.end(), {"sh", "-c", kEnter, "sh", WARDEN_BIN_DIR, shared_directory});
  line.insert(line.end(), command.begin(), command.end());
  return Process(std::move(line));
}

// The numbers in the line `name` of /proc/PID/status.
std::vector<int> status_numbers(int pid, const std::string& name) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with(name + ":")) continue;
    std::istringstream words(line.substr(name.size() + 1));
    return {std::istream_iterator<int>(words), {}};
  }
  return {};
}

std::string first_line_of(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::filesystem::path namespace_of(const std::string& process, const std::string& kind) {
  return std::filesystem::read_symlink("/proc/" + process + "/ns/" + kind);
}

class Container : public testing::Test {
 protected:
  void SetUp() override {
    std::vector<std::string> probe = unshare_command();
    probe.push_back("true");
    Process unshare(std::move(probe));
    ASSERT_NE(unshare.wait(), 127) << "unshare is not installed (package util-linux)";
    if (unshare.wait() != 0) GTEST_SKIP() << "no namespaces to be had here: " << unshare.err();
    ASSERT_TRUE(host_.start()) << host_.why();
  }

  [[nodiscard]] std::string socket_directory() const {
    return std::filesystem::path(host_.socket_path()).parent_path().string();
  }

  // `mode` as of wardend_listener: ack or silent.
  [[nodiscard]] Process start_listener(const std::string& name, const std::string& mode) const {
    Process listener =
        run_in_container(socket_directory(), {"wardend_listener", "/run/warden/warden.sock", name, mode});
    EXPECT_TRUE(listener.wait_for_line("listening")) << listener.output();
    return listener;
  }

  // The row of `warden sessions --json` with this name; empty without one.
  [[nodiscard]] json session_named(const std::string& name) const {
    Process warden = host_.run("warden", {"sessions", "--json"});
    EXPECT_EQ(warden.wait(), 0) << warden.output();
    const json sessions = json::parse(warden.out());
    const auto row = std::ranges::find_if(sessions, [&](const json& session) { return session.at("name") == name; });
    return row == sessions.end() ? json::object() : *row;
  }
  [[nodiscard]] int pid_of(const std::string& name) const { return session_named(name).value("pid", 0); }

  // With a timeout that no test could sit out: only answers and deaths let it go on.
  [[nodiscard]] Process start_reset() const { return host_.run("warden", {"reset", "--json", "--timeout", "3600s"}); }

  static json report_of(Process& reset) {
    EXPECT_EQ(reset.wait(), 0) << reset.output();
    const json report = json::parse(reset.out(), nullptr, false);
    EXPECT_EQ(report.value("result", ""), "ok") << reset.output();
    return report;
  }

  static std::string outcome_of(const json& report, int pid) {
    for (const json& listener : report.at("listeners")) {
      if (listener.at("pid") == pid) return listener.at("outcome");
    }
    return "not in the report: " + report.dump();
  }

  Host host_;
};

// Proves that the socket's directory is all it takes: a program that finds wardend at the default path, in namespaces
// of its own, is known to wardend by the host's pid, is waited for and answers, and hears the result.
TEST_F(Container, ListenerAnswersFromItsOwnNamespaces) {
  Process listener = run_in_container(socket_directory(), {"listener_example", "pause"});
  ASSERT_TRUE(listener.wait_for_line("attached")) << listener.output();
  const int pid = pid_of("listener_exampl");  // the kernel keeps 15 letters of a name
  ASSERT_GT(pid, 1);
  EXPECT_EQ(status_numbers(pid, "PPid"), std::vector<int>{listener.pid()});
  EXPECT_EQ(status_numbers(pid, "NSpid").back(), 1);
  for (const char* kind : kNamespaces) {
    EXPECT_NE(namespace_of(std::to_string(pid), kind), namespace_of("self", kind)) << kind;
  }

  Process reset = start_reset();
  const json report = report_of(reset);
  EXPECT_EQ(outcome_of(report, pid), "acknowledged");
  EXPECT_TRUE(listener.wait_for_line("PRE_RESET received: reset 1")) << listener.output();
  EXPECT_TRUE(listener.wait_for_line("POST_RESET received: reset 1: ok")) << listener.output();
}

// Proves that wardend sees the death of a process in a container as it sees any other, and waits for it no longer.
TEST_F(Container, DeathOfTheAwaitedLetsTheResetGoOn) {
  Process listener = start_listener("mute", "silent");
  const int pid = pid_of("mute");
  ASSERT_GT(pid, 1);
  Process reset = start_reset();
  ASSERT_TRUE(listener.wait_for_line("announced 1")) << listener.output();
  ASSERT_FALSE(reset.has_ended()) << reset.output();
  ASSERT_EQ(::kill(pid, SIGKILL), 0);
  EXPECT_EQ(outcome_of(report_of(reset), pid), "died");
  EXPECT_TRUE(session_named("mute").empty());
}

// Proves that processes which call themselves alike are told apart: of two that are both pid 1, one answers and lives
// on, the other one dies, and neither counts for the other.
TEST_F(Container, TwoFirstProcessesAreTwo) {
  Process prompt = start_listener("prompt", "ack");
  Process mute = start_listener("mute", "silent");
  const int prompt_pid = pid_of("prompt");
  const int mute_pid = pid_of("mute");
  ASSERT_GT(prompt_pid, 1);
  ASSERT_GT(mute_pid, 1);
  EXPECT_NE(prompt_pid, mute_pid);
  EXPECT_EQ(status_numbers(prompt_pid, "NSpid").back(), 1);
  EXPECT_EQ(status_numbers(mute_pid, "NSpid").back(), 1);

  Process reset = start_reset();
  ASSERT_TRUE(prompt.wait_for_line("announced 1")) << prompt.output();
  ASSERT_TRUE(mute.wait_for_line("announced 1")) << mute.output();
  ASSERT_FALSE(reset.has_ended()) << reset.output();  // the answer of one is not the other's
  ASSERT_EQ(::kill(mute_pid, SIGKILL), 0);
  const json report = report_of(reset);
  EXPECT_EQ(outcome_of(report, prompt_pid), "acknowledged");
  EXPECT_EQ(outcome_of(report, mute_pid), "died");
  EXPECT_TRUE(prompt.wait_for_line("finished 1 ok")) << prompt.output();

  Process second = start_reset();
  EXPECT_EQ(outcome_of(report_of(second), prompt_pid), "acknowledged");
  EXPECT_TRUE(prompt.wait_for_line("finished 2 ok")) << prompt.output();
}

// Proves that a wardend that was started anew is found again from inside: the directory is shared, not the socket.
TEST_F(Container, AnotherWardendIsFoundAgain) {
  Process listener = start_listener("steady", "ack");
  host_.daemon().signal(SIGTERM);
  ASSERT_EQ(host_.daemon().wait(), 0) << host_.daemon().output();
  ASSERT_TRUE(host_.start_daemon()) << host_.why();
  // Attaching again is the listener's own business: until it has, a reset does not know of it.
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  while (session_named("steady").value("listens", json::array()).empty())
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << host_.daemon().output();
  Process reset = start_reset();
  EXPECT_EQ(outcome_of(report_of(reset), pid_of("steady")), "acknowledged");
}

// Proves that the command behind `warden listen`, named by a pid that means something else on the host, is the one
// wardend watches.
TEST_F(Container, SubjectIsTranslated) {
  Process wrapper = run_in_container(socket_directory(), {"warden", "listen", "--on-reset", "pause", "--", "sh", "-c",
                                                          "echo running; sleep 3600; true"});
  ASSERT_TRUE(wrapper.wait_for_line("running")) << wrapper.output();
  const json session = session_named("sh");
  ASSERT_FALSE(session.empty());
  const int subject = session.at("subject");
  EXPECT_EQ(first_line_of("/proc/" + std::to_string(subject) + "/comm"), "sh") << session;
  EXPECT_NE(status_numbers(subject, "NSpid").back(), subject) << session;
  EXPECT_EQ(namespace_of(std::to_string(subject), "pid"),
            namespace_of(std::to_string(session.at("pid").get<int>()), "pid"));
}

// Proves that a container without the directory is told in one line what to mount.
TEST_F(Container, WithoutTheDirectorySaysWhatToMount) {
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"listener_example", "pause"}, {"warden", "reset"}}) {
    Process program = run_in_container("", command);
    EXPECT_EQ(program.wait(), 1) << program.output();
    EXPECT_EQ(std::ranges::count(program.err(), '\n'), 1) << program.err();
    EXPECT_THAT(program.err(), HasSubstr("mount its socket's directory in this container"));
    EXPECT_THAT(program.err(), HasSubstr("/run/warden/warden.sock"));
  }
}

}  // namespace
}  // namespace warden::test
