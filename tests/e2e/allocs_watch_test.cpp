// SPDX-License-Identifier: Apache-2.0
// `warden allocs --watch`: follows what happens, ends with Ctrl-C, and leaves the terminal as it was.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>

#include <csignal>

#include "tests/e2e/allocs_host.h"

namespace warden::test {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class AllocsWatch : public AllocsHost {};

// Into a pipe: block after block, without a control character, until SIGINT; status 0, and the session goes.
TEST_F(AllocsWatch, PrintsBlocks) {
  Process watch = host_.run("warden", {"allocs", "--watch", "20ms"});
  ASSERT_TRUE(watch.wait_for_line("no allocations")) << watch.output();
  const auto one = holder(3);
  ASSERT_TRUE(watch.wait_for_line("total: 3 buffers")) << watch.output();
  one->kill();
  ASSERT_TRUE(watch.wait_for_line("no allocations")) << watch.output();
  watch.signal(SIGINT);
  EXPECT_EQ(watch.wait(), 0);
  EXPECT_EQ(watch.err(), "");
  EXPECT_THAT(watch.out(), Not(HasSubstr("\x1b")));
  EXPECT_TRUE(eventually([&] {
    Process sessions = host_.run("warden", {"sessions", "--json"});
    return sessions.wait() == 0 && nlohmann::json::parse(sessions.out()).size() == 1;  // who asks
  }));
}

// With --json an object a line.
TEST_F(AllocsWatch, PrintsJsonLines) {
  Process watch = host_.run("warden", {"allocs", "--watch", "20ms", "--json"});
  for (int i = 0; i < 3; ++i) {
    const auto line = watch.wait_for_line("{");
    ASSERT_TRUE(line) << watch.output();
    EXPECT_TRUE(nlohmann::json::parse(*line).contains("processes"));
  }
  watch.signal(SIGTERM);
  EXPECT_EQ(watch.wait(), 0);
}

// When wardend goes it says so, in one line, and fails.
TEST_F(AllocsWatch, EndsWithWardend) {
  Process watch = host_.run("warden", {"allocs", "--watch", "20ms"});
  ASSERT_TRUE(watch.wait_for_line("no allocations")) << watch.output();
  host_.daemon().signal(SIGTERM);
  EXPECT_EQ(host_.daemon().wait(), 0);
  EXPECT_EQ(watch.wait(), 1);
  EXPECT_EQ(std::ranges::count(watch.err(), '\n'), 1) << watch.err();
}

// On a terminal: drawn on the other screen, which Ctrl-C leaves, with the cursor back.
TEST_F(AllocsWatch, LeavesTheTerminalAsItWas) {
  int terminal = -1;
  const std::string program = std::string(WARDEN_BIN_DIR) + "/warden";
  const std::string socket = host_.socket_path();
  const pid_t pid = ::forkpty(&terminal, nullptr, nullptr, nullptr);
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    ::execl(program.c_str(), "warden", "--socket", socket.c_str(), "allocs", "--watch", "20ms", nullptr);
    ::_exit(127);
  }
  std::string seen;
  bool typed = false;
  for (;;) {
    pollfd readable{.fd = terminal, .events = POLLIN, .revents = 0};
    ASSERT_EQ(::poll(&readable, 1, 60'000), 1) << seen;
    char bytes[4096];
    const ssize_t count = ::read(terminal, bytes, sizeof bytes);
    if (count <= 0) break;  // the program has ended
    seen.append(bytes, static_cast<std::size_t>(count));
    if (!typed && seen.find("no allocations") != std::string::npos) typed = ::write(terminal, "\x03", 1) == 1;
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  ::close(terminal);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_THAT(seen, StartsWith("\x1b[?1049h\x1b[?25l\x1b[?7l"));
  EXPECT_THAT(seen, EndsWith("\x1b[?7h\x1b[?25h\x1b[?1049l"));
}

}  // namespace
}  // namespace warden::test
