// SPDX-License-Identifier: Apache-2.0
// wardend's command line and its start: what is wrong is said in one line, with the right exit status.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "tests/e2e/wardend_stack.h"

namespace warden::test {
namespace {

struct Outcome {
  int status = 0;
  std::string error;
};

Outcome run(const TemporaryDirectory& directory, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), WARDEND);
  const std::string log = directory.path() + "/stderr";
  std::filesystem::remove(log);
  Process process(arguments, {.stderr_path = log});
  Outcome outcome{process.exit_status(), {}};
  std::ifstream file(log);
  outcome.error.assign(std::istreambuf_iterator<char>(file), {});
  return outcome;
}

void expect_one_line(const Outcome& outcome, int status, const std::string& about) {
  EXPECT_EQ(outcome.status, status) << outcome.error;
  EXPECT_EQ(std::ranges::count(outcome.error, '\n'), 1) << outcome.error;
  EXPECT_NE(outcome.error.find(about), std::string::npos) << outcome.error;
}

// Wrong usage is status 2 and one line naming the option.
TEST(WardendStart, WrongUsage) {
  const TemporaryDirectory directory;
  expect_one_line(run(directory, {"--no-such-option"}), 2, "--no-such-option");
  expect_one_line(run(directory, {"--device", "nonsense"}), 2, "--device");
  expect_one_line(run(directory, {"--log-level", "loud"}), 2, "--log-level");
  expect_one_line(run(directory, {"--operator-group", "no-such-group"}), 2, "no-such-group");
}

// What can't be served is status 1 and one line naming the thing.
TEST(WardendStart, WhatCannotBe) {
  const TemporaryDirectory directory;
  const std::string socket = directory.path() + "/w.sock";
  const std::string state = directory.path() + "/state";
  expect_one_line(run(directory, {"--socket", socket, "--state", "/nowhere/state"}), 1, "/nowhere/state");
  expect_one_line(run(directory, {"--socket", "/nowhere/w.sock", "--state", state}), 1, "/nowhere/w.sock");
  expect_one_line(run(directory, {"--socket", socket, "--state", state, "--device", "vfio-user:/nowhere/chip0.sock"}),
                  1, "/nowhere/chip0.sock");
  expect_one_line(
      run(directory, {"--socket", socket, "--state", state, "--device", "vfio-user:/a", "--device", "vfio-user:/a"}), 1,
      "twice");
  expect_one_line(run(directory, {"--socket", socket, "--state", state, "--device", "0000:01:00.0"}), 1,
                  "0000:01:00.0");
}

// A second daemon on the same socket, state directory or card is refused; the first one does not notice.
TEST(WardendStart, TakenBySomebodyElse) {
  Stack stack;
  const TemporaryDirectory directory;
  const std::string socket = directory.path() + "/w.sock";
  const std::string state = directory.path() + "/state";
  expect_one_line(run(directory, {"--socket", stack.socket_path(), "--state", state}), 1, stack.socket_path());
  expect_one_line(run(directory, {"--socket", socket, "--state", stack.path("state")}), 1, "state directory");
  expect_one_line(run(directory, {"--socket", socket, "--state", state, "--device", stack.card_name()}), 1,
                  stack.card_name());
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
    EXPECT_EQ(process.exit_status(), 0);
  }
}

}  // namespace
}  // namespace warden::test
