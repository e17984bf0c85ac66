// SPDX-License-Identifier: Apache-2.0
// The two examples behave as their document says: each step is one line, and nothing is left behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "tests/support/host.h"

namespace warden::test {
namespace {

using testing::HasSubstr;

// Bad usage is status 2; without wardend, one line and status 1.
TEST(ExamplesAlone, SayWhatIsMissing) {
  const Host nobody;
  EXPECT_EQ(nobody.run("listener_example").wait(), 2);
  EXPECT_EQ(nobody.run("listener_example", {"dance"}).wait(), 2);
  EXPECT_EQ(nobody.run("notifier_example", {"soon"}).wait(), 2);
  EXPECT_EQ(nobody.run("notifier_example", {"1", "2"}).wait(), 2);
  for (const auto& [name, argument] : {std::pair{"listener_example", "pause"}, {"notifier_example", "1"}}) {
    Process example = nobody.run(name, {argument});
    EXPECT_EQ(example.wait(), 1);
    EXPECT_THAT(example.err(), HasSubstr("start wardend"));
  }
}

// One listener pauses and resumes, one stops; the notifier tells the truth.
TEST(Examples, PauseStopAndNotify) {
  Host host;
  ASSERT_TRUE(host.start()) << host.why();
  Process pausing = host.run("listener_example", {"pause"});
  Process stopping = host.run("listener_example", {"stop"});
  ASSERT_TRUE(pausing.wait_for_line("working")) << pausing.output();
  ASSERT_TRUE(stopping.wait_for_line("working")) << stopping.output();
  Process notifier = host.run("notifier_example", {"30"});
  EXPECT_EQ(notifier.wait(), 0) << notifier.output();
  EXPECT_THAT(notifier.out(), HasSubstr("reset 1: ok"));
  for (const char* line : {"PRE_RESET received", "pausing", "POST_RESET received: reset 1: ok", "resumed", "working"}) {
    EXPECT_TRUE(pausing.wait_for_line(line)) << line << " in " << pausing.output();
  }
  EXPECT_EQ(stopping.wait(), 0);
  EXPECT_TRUE(stopping.wait_for_line("PRE_RESET received"));
  EXPECT_TRUE(stopping.wait_for_line("stopping")) << stopping.output();
}

// A card that ignores its reset: both are told, and the notifier's status says so.
TEST(Examples, TellOfAFailure) {
  Host host;
  ASSERT_TRUE(host.start_simulator({"--fault", "reset-ignored"})) << host.why();
  ASSERT_TRUE(host.start_daemon()) << host.why();
  Process listener = host.run("listener_example", {"pause"});
  ASSERT_TRUE(listener.wait_for_line("working")) << listener.output();
  EXPECT_EQ(host.run("notifier_example").wait(), 1);
  EXPECT_TRUE(listener.wait_for_line("POST_RESET received: reset 1: failed")) << listener.output();
}

// Ctrl+C ends a listener in order, and wardend knows it no more.
TEST(Examples, LeaveNothingBehind) {
  Host host;
  ASSERT_TRUE(host.start()) << host.why();
  Process listener = host.run("listener_example", {"pause"});
  ASSERT_TRUE(listener.wait_for_line("working")) << listener.output();
  Process events = host.run("warden", {"events"});
  listener.signal(SIGINT);
  EXPECT_EQ(listener.wait(), 0);
  // The listener is gone when its session is closed: a reset then waits for nobody.
  Process reset = host.run("warden", {"reset", "--json"});
  EXPECT_EQ(reset.wait(), 0);
  EXPECT_THAT(reset.out(), HasSubstr("\"listeners\":[]"));
}

}  // namespace
}  // namespace warden::test
