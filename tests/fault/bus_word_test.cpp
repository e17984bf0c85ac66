// SPDX-License-Identifier: Apache-2.0
// What the kernel says of a card of its own accord: that it wants the card back, or that the bus reported an error.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <warden/device.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "tests/support/host.h"

namespace warden::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr Tile kTensix{.x = 1, .y = 1};
constexpr CardAddress kSomewhere{0x2'0000};

class BusWord : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(host_.start()) << host_.why();
    auto session = Session::attach({.socket_path = host_.socket_path(), .name = "user"});
    ASSERT_TRUE(session) << session.error().message;
    session_ = *session;
    events_.emplace(host_.run("warden", {"events"}));
    ASSERT_TRUE(host_.daemon().wait_for_line("(warden)")) << host_.daemon().output();  // it follows from here on
  }

  [[nodiscard]] json first_device() const {
    Process warden = host_.run("warden", {"devices", "--json"});
    EXPECT_EQ(warden.wait(), 0) << warden.output();
    return json::parse(warden.out()).at(0);
  }

  Host host_;
  std::shared_ptr<Session> session_;
  std::optional<Process> events_;
};

// Proves that wardend lets go of a card that the kernel wants back, tells everybody, and takes it again when it is
// there again: what was opened before is stale.
TEST_F(BusWord, ACardIsGivenBack) {
  auto before = Device::open(session_, "0");
  ASSERT_TRUE(before) << before.error().message;
  ASSERT_TRUE(before->read32(kTensix, kSomewhere));
  for (int again = 0; again < 2; ++again) {
    ASSERT_TRUE(host_.simulator({"want-back", "0"}));
    ASSERT_TRUE(host_.daemon().wait_for_line("is lost: the kernel wants it back")) << host_.daemon().output();
    ASSERT_TRUE(host_.daemon().wait_for_line("is back")) << host_.daemon().output();
  }
  ASSERT_TRUE(events_->wait_for_line("lost")) << events_->output();
  ASSERT_TRUE(events_->wait_for_line("ready")) << events_->output();
  EXPECT_EQ(before->read32(kTensix, kSomewhere).error().code, Code::kStale);
  auto after = Device::open(session_, "0");
  ASSERT_TRUE(after) << after.error().message;
  EXPECT_TRUE(after->read32(kTensix, kSomewhere));
}

// Proves that a card of which the bus reported an error is refused until a reset has healed it, and that the kernel is
// heard again afterwards.
TEST_F(BusWord, AnErrorFailsTheCardUntilAReset) {
  for (int again = 0; again < 2; ++again) {
    ASSERT_TRUE(host_.simulator({"bus-error", "0"}));
    ASSERT_TRUE(host_.daemon().wait_for_line("does not work: the bus reported an error")) << host_.daemon().output();
    EXPECT_EQ(first_device().at("state"), "failed");
    const auto refused = Device::open(session_, "0");
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, HasSubstr("the bus reported an error"));
    Process reset = host_.run("warden", {"reset"});
    EXPECT_EQ(reset.wait(), 0) << reset.output();
    EXPECT_EQ(first_device().at("state"), "ready");
  }
}

// Proves that wardend says once, in its log and in listings, why a card that it lost can't be had again.
TEST_F(BusWord, WhyItStaysLost) {
  host_.simulator_process().signal(SIGKILL);
  ASSERT_EQ(host_.simulator_process().wait(), 128 + SIGKILL);
  EXPECT_EQ(first_device().at("state"), "lost");  // asking for its telemetry has shown that
  const auto said = host_.daemon().wait_for_line("is still lost: ");
  ASSERT_TRUE(said) << host_.daemon().output();
  EXPECT_THAT(*said, HasSubstr("Connection refused"));
  EXPECT_THAT(std::string(first_device().at("reason")), HasSubstr("Connection refused"));
  ASSERT_TRUE(host_.start_simulator()) << host_.why();
  ASSERT_TRUE(host_.daemon().wait_for_line("is back")) << host_.daemon().output();
  const std::string log = host_.daemon().output();
  EXPECT_EQ(log.find(*said), log.rfind(*said)) << log;
}

// Proves that what the kernel says of a card is still heard when wardend's worker was killed and another goes on.
TEST_F(BusWord, ASuccessorHearsToo) {
  const std::string status = [&] {
    Process warden = host_.run("warden", {"status", "--json"});
    EXPECT_EQ(warden.wait(), 0) << warden.output();
    return warden.out();
  }();
  const int worker = json::parse(status).at("worker_pid");
  ASSERT_EQ(::kill(worker, SIGKILL), 0);
  ASSERT_TRUE(host_.daemon().wait_for_line("worker ")) << host_.daemon().output();
  ASSERT_TRUE(host_.daemon().wait_for_line("worker ")) << host_.daemon().output();
  ASSERT_TRUE(host_.simulator({"want-back", "0"}));
  EXPECT_TRUE(host_.daemon().wait_for_line("is lost: the kernel wants it back")) << host_.daemon().output();
}

}  // namespace
}  // namespace warden::test
