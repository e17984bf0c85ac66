// SPDX-License-Identifier: Apache-2.0
// wardend's command line and its start: what is wrong is said in one line, with the right exit status.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "tests/e2e/wardend_stack.h"

namespace warden::test {
namespace {

void expect_one_line(std::vector<std::string> arguments, int status, const std::string& about) {
  arguments.insert(arguments.begin(), WARDEND);
  Process process(std::move(arguments));
  EXPECT_EQ(process.wait(), status) << process.err();
  EXPECT_EQ(std::ranges::count(process.err(), '\n'), 1) << process.err();
  EXPECT_NE(process.err().find(about), std::string::npos) << process.err();
}

// Wrong usage is status 2 and one line naming the option.
TEST(WardendStart, WrongUsage) {
  expect_one_line({"--no-such-option"}, 2, "--no-such-option");
  expect_one_line({"--device", "nonsense"}, 2, "--device");
  expect_one_line({"--log-level", "loud"}, 2, "--log-level");
  expect_one_line({"--operator-group", "no-such-group"}, 2, "no-such-group");
}

// What can't be served is status 1 and one line naming the thing.
TEST(WardendStart, WhatCannotBe) {
  const TemporaryDirectory directory;
  const std::string socket = directory.path() + "/w.sock";
  const std::string state = directory.path() + "/state";
  expect_one_line({"--socket", socket, "--state", "/nowhere/state"}, 1, "/nowhere/state");
  expect_one_line({"--socket", "/nowhere/w.sock", "--state", state}, 1, "/nowhere/w.sock");
  expect_one_line({"--socket", socket, "--state", state, "--device", "vfio-user:/nowhere/chip0.sock"}, 1,
                  "/nowhere/chip0.sock");
  expect_one_line({"--socket", socket, "--state", state, "--device", "vfio-user:/a", "--device", "vfio-user:/a"}, 1,
                  "twice");
  expect_one_line({"--socket", socket, "--state", state, "--device", "0000:01:00.0"}, 1, "0000:01:00.0");
}

// A second daemon on the same socket, state directory or card is refused; the first one does not notice.
TEST(WardendStart, TakenBySomebodyElse) {
  Stack stack;
  const TemporaryDirectory directory;
  const std::string socket = directory.path() + "/w.sock";
  const std::string state = directory.path() + "/state";
  expect_one_line({"--socket", stack.socket_path(), "--state", state}, 1, stack.socket_path());
  expect_one_line({"--socket", socket, "--state", stack.directory() + "/state"}, 1, "state directory");
  expect_one_line({"--socket", socket, "--state", state, "--device", stack.card_name()}, 1, stack.card_name());
  EXPECT_TRUE(stack.attach()->devices());
}

// A clean stop leaves no socket behind, and the next start takes over.
TEST(WardendStart, StopAndStartAgain) {
  Stack stack;
  stack.stop_daemon();
  EXPECT_FALSE(std::filesystem::exists(stack.socket_path()));
  stack.start_daemon();
  EXPECT_TRUE(stack.attach()->devices());
}

// Help shows examples; both end with 0.
TEST(WardendStart, HelpAndVersion) {
  for (const char* option : {"--help", "--version"}) {
    Process process({WARDEND, option});
    const auto first = process.read_line();
    ASSERT_TRUE(first);
    EXPECT_NE(first->find("wardend"), std::string::npos);
    EXPECT_EQ(process.wait(), 0);
  }
}

}  // namespace
}  // namespace warden::test
