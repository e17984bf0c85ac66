// SPDX-License-Identifier: Apache-2.0
// wardend with a card on vfio-pci: the whole coordinated reset with its listeners, and what the kernel does when
// whoever holds the card is killed. Runs in the guest, on the simulated card.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>

#include "tests/support/host.h"
#include "tests/vm/guest_host.h"

namespace warden::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

std::string card_address() {
  const char* address = std::getenv("WARDEN_VM_CARD");
  return address != nullptr ? address : "";
}

// What the simulator on the host has counted for the card.
json card_stats() {
  const auto text = vm::ask_host({"sim", "stats", "--json"});
  EXPECT_TRUE(text) << text.error().message;
  return text ? json::parse(*text)["chips"][0] : json();
}

class VmReset : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(card_address(), "") << "no $WARDEN_VM_CARD; run it in the guest";
    ASSERT_TRUE(start()) << host_.why();
  }
  [[nodiscard]] bool start() { return host_.start_daemon({"--device", card_address()}); }
  [[nodiscard]] Process listener(const std::string& action) const {
    Process started = host_.run("listener_example", {action});
    EXPECT_TRUE(started.wait_for_line("working")) << started.output();
    return started;
  }
  // Its report, when it succeeded.
  [[nodiscard]] json reset() {
    Process command = host_.run("warden", {"reset", "--json"});
    EXPECT_EQ(command.wait(), 0) << command.output() << host_.daemon().output();
    return json::parse(command.out(), nullptr, false);
  }
  static void expect_proven(const json& report) {
    EXPECT_EQ(report["result"], "ok") << report;
    EXPECT_GE(report["evidence"].size(), 5U) << report;
    for (const json& evidence : report["evidence"]) EXPECT_EQ(evidence["passed"], true) << evidence;
  }

  Host host_;
};

// Proves the main promise on a real kernel, twice over: every listener is told before and after, the reset begins with
// the last acknowledgement, is proven by the card itself, and nobody touches the card meanwhile.
TEST_F(VmReset, WithListeners) {
  const json before = card_stats();
  Process pausing = listener("pause");
  Process stopping = listener("stop");
  for (int round = 1; round <= 2; ++round) {
    SCOPED_TRACE(round);
    const json report = reset();
    expect_proven(report);
    EXPECT_EQ(report["listeners"].size(), round == 1 ? 2U : 1U) << report;
    for (const json& heard : report["listeners"]) EXPECT_EQ(heard["outcome"], "acknowledged") << heard;
    for (const char* line : {"PRE_RESET received", "pausing", "POST_RESET received", "resumed", "working"}) {
      EXPECT_TRUE(pausing.wait_for_line(line)) << line << " in " << pausing.output();
    }
  }
  EXPECT_EQ(stopping.wait(), 0);
  EXPECT_TRUE(stopping.wait_for_line("stopping")) << stopping.output();
  const json after = card_stats();
  EXPECT_EQ(after["resets"]["asic"], before["resets"]["asic"].get<int>() + 2) << after;
  EXPECT_EQ(after["bar_accesses_during_reset"], before["bar_accesses_during_reset"]) << after;
  EXPECT_GT(after["bar_accesses"], before["bar_accesses"]) << "which goes through the kernel's mapping";
}

// Proves that a listener which dies instead of answering is not waited for: the reset ends well, and says so of it.
TEST_F(VmReset, AListenerThatDies) {
  Process stuck = listener("pause");
  stuck.signal(SIGSTOP);
  Process command = host_.run("warden", {"reset", "--timeout", "50s", "--json"});
  ASSERT_TRUE(command.wait_for_line("listening: pid " + std::to_string(stuck.pid()))) << command.output();
  stuck.signal(SIGKILL);
  EXPECT_EQ(command.wait(), 0) << command.output();
  const json report = json::parse(command.out());
  expect_proven(report);
  ASSERT_EQ(report["listeners"].size(), 1U) << report;
  EXPECT_EQ(report["listeners"][0]["outcome"], "died") << report;
}

// Proves that a reset which the card ignores is told as failed on a real kernel too, and that the next one succeeds.
TEST_F(VmReset, ThatTheCardIgnores) {
  ASSERT_TRUE(vm::ask_host({"sim", "fault", "0", "reset-ignored"}));
  Process ignored = host_.run("warden", {"reset"});
  EXPECT_EQ(ignored.wait(), 1) << ignored.output();
  EXPECT_THAT(ignored.output(), HasSubstr("FAILED"));
  ASSERT_TRUE(vm::ask_host({"sim", "fault", "0", "none"}));
  expect_proven(reset());
}

// Proves that the card is free for the next one as soon as all of wardend was killed while it held it, many times.
TEST_F(VmReset, AHolderThatIsKilled) {
  for (int round = 0; round < 5; ++round) {
    SCOPED_TRACE(round);
    ::kill(-host_.daemon().pid(), SIGKILL);  // its two processes at once
    (void)host_.daemon().wait();
    ASSERT_TRUE(start()) << host_.why();
  }
  expect_proven(reset());
}

// Proves that a second wardend is refused in one line that names the card, and does the first one no harm.
TEST_F(VmReset, ACardHasOneHolder) {
  const TemporaryDirectory folder;
  Process second = host_.run("wardend", {"--device", card_address(), "--socket", folder.path() + "/warden.sock",
                                         "--state", folder.path() + "/state"});
  EXPECT_EQ(second.wait(), 1);
  EXPECT_THAT(second.err(), HasSubstr("open " + card_address()));
  EXPECT_THAT(second.err(), HasSubstr("in another process; end that one"));
  expect_proven(reset());
}

}  // namespace
}  // namespace warden::test
