// SPDX-License-Identifier: Apache-2.0
// Cards that do not work when wardend starts: it serves the others, says what is wrong, and takes them when they do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "tests/support/host.h"

namespace warden::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class Start : public testing::Test {
 protected:
  [[nodiscard]] std::string card(const std::string& path) const { return "vfio-user:" + host_.directory() + path; }

  [[nodiscard]] json device(std::size_t index) const {
    Process warden = host_.run("warden", {"devices", "--json"});
    EXPECT_EQ(warden.wait(), 0) << warden.output();
    return json::parse(warden.out()).at(index);
  }
  void expect_use(const std::string& device, int status, const std::string& about) const {
    Process peek = host_.run("warden", {"peek", device, "1,1", "0x20000"});
    EXPECT_EQ(peek.wait(), status) << peek.output();
    EXPECT_THAT(peek.err(), HasSubstr(about));
  }

  Host host_;
};

// Proves that firmware that hangs keeps nobody from the other card, and that a reset can be tried on the one that has
// it, which heals it.
TEST_F(Start, WithFirmwareThatHangs) {
  ASSERT_TRUE(host_.start_simulator({"--board", "mesh:1x2", "--fault", "0:arc-hung"})) << host_.why();
  ASSERT_TRUE(host_.start_daemon({"--device", card("/sim/chip1.sock")})) << host_.why();
  EXPECT_EQ(device(0).at("state"), "failed");
  EXPECT_THAT(std::string(device(0).at("reason")), HasSubstr("ARC message"));
  EXPECT_EQ(device(1).at("state"), "ready");
  expect_use("0", 1, "reset it");
  expect_use("1", 0, "");
  ASSERT_TRUE(host_.simulator({"fault", "0", "none"}));
  Process reset = host_.run("warden", {"reset", "--device", "0"});
  EXPECT_EQ(reset.wait(), 0) << reset.output() << host_.daemon().output();
  EXPECT_EQ(device(0).at("state"), "ready");
  EXPECT_EQ(device(0).at("board"), device(1).at("board"));
  expect_use("0", 0, "");
}

// Proves that a card that cannot be reached is lost to wardend, not wardend to the others, and is found when it comes.
TEST_F(Start, WithACardThatComesLater) {
  ASSERT_TRUE(host_.start_simulator({})) << host_.why();
  ASSERT_TRUE(host_.start_daemon({"--device", card("/later/chip0.sock")})) << host_.why();
  EXPECT_EQ(device(0).at("state"), "ready");
  EXPECT_EQ(device(1).at("state"), "lost");
  EXPECT_THAT(std::string(device(1).at("reason")), HasSubstr("later/chip0.sock"));
  expect_use("1", 1, "is lost");
  const Process later = host_.run("warden-sim", {"--dir", host_.directory() + "/later"});
  ASSERT_TRUE(host_.daemon().wait_for_line("later/chip0.sock is back")) << host_.daemon().output();
  EXPECT_EQ(device(1).at("state"), "ready");
  expect_use("1", 0, "");
}

// Proves that a worker's death does not make a card work that did not.
TEST_F(Start, AFailedCardStaysFailed) {
  ASSERT_TRUE(host_.start_simulator({"--fault", "arc-hung"})) << host_.why();
  ASSERT_TRUE(host_.start_daemon({"--log-level", "info"})) << host_.why();
  EXPECT_EQ(device(0).at("state"), "failed");
  Process status = host_.run("warden", {"status", "--json"});
  ASSERT_EQ(status.wait(), 0) << status.output();
  ASSERT_EQ(::kill(json::parse(status.out()).at("worker_pid"), SIGKILL), 0);
  EXPECT_TRUE(host_.daemon().wait_for_line("before wardend's worker was restarted")) << host_.daemon().output();
  EXPECT_EQ(device(0).at("state"), "failed");
}

}  // namespace
}  // namespace warden::test
