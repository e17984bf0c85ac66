// SPDX-License-Identifier: Apache-2.0
// Commands killed with SIGKILL at random points: whatever they left, the next process finds it and ends it, and every
// packet is accounted for.
#include <csignal>
#include <random>

#include "tests/e2e/fabric_host.h"
#include "tests/support/rounds.h"

namespace warden::test {
namespace {

class FabricKill : public FabricHost {
 protected:
  static constexpr std::size_t kRouters = 8;

  // Kills the command after up to `most`; whether it was still running.
  bool run_and_kill(std::vector<std::string> words, std::chrono::microseconds most) {
    words.insert(words.begin(), "fabric");
    Process warden = host_.run("warden", std::move(words));
    std::uniform_int_distribution<std::int64_t> delay(0, most.count());
    ::usleep(static_cast<useconds_t>(delay(random_)));
    warden.signal(SIGKILL);
    return warden.wait() == 128 + SIGKILL;
  }

  std::mt19937 random_{20261121};  // NOLINT: the same points in every run
};

// Pauses, drains and resumes of everything and of parts are killed under traffic. The next one undoes or finishes it;
// in the end all flows have every packet, once and in order.
TEST_F(FabricKill, LosesNothing) {
  ASSERT_EQ(fabric({"up"}).status, 0);
  ASSERT_EQ(fabric({"traffic", "start", "--pattern", "all", "--size", "256"}).status, 0);
  const std::vector<std::vector<std::string>> commands = {{"pause"},
                                                          {"drain"},
                                                          {"resume"},
                                                          {"pause", "--edge", "0,0-1,0"},
                                                          {"drain", "--device", "1,1"},
                                                          {"resume", "--device", "1,1"}};
  constexpr int kRounds = rounds(60, 24);
  int killed = 0;
  for (int round = 0; round < kRounds; ++round) {
    const auto& command = commands[static_cast<std::size_t>(round) % commands.size()];
    if (run_and_kill(command, std::chrono::milliseconds(25))) ++killed;
    const bool finish = round % 2 == 0;
    const json recovered = good({"recover", finish ? "--finish" : "--undo"});
    ASSERT_EQ(recovered.at("complete"), true) << recovered;
    ASSERT_EQ(count(finish ? "PAUSED" : "RUNNING"), kRouters) << json(command);
  }
  RecordProperty("killed", killed);
  EXPECT_GT(killed, kRounds / 4) << "the commands were over before they could be killed";
  ASSERT_EQ(good({"recover", "--undo"}).at("complete"), true);
  ASSERT_EQ(fabric({"status"}).status, 0);
  const std::uint64_t words = words_sent();
  EXPECT_TRUE(eventually([&] { return words_sent() > words; }));
  expect_stopped(good({"traffic", "stop"}), std::size_t{kChips} * (kChips - 1));
}

// Starting and stopping traffic is killed. What is left is stopped by the next one, with nothing wrong in any flow, and
// the whole can be done again.
TEST_F(FabricKill, LeavesNoWorkers) {
  ASSERT_EQ(fabric({"up"}).status, 0);
  constexpr int kRounds = rounds(20, 8);
  for (int round = 0; round < kRounds; ++round) {
    (void)run_and_kill({"traffic", "start", "--size", "64"}, std::chrono::milliseconds(60));
    (void)run_and_kill({"traffic", "stop"}, std::chrono::milliseconds(40));
    const json stopped = good({"traffic", "stop"});
    for (const json& flow : stopped.at("flows")) {
      EXPECT_EQ(flow.at("on_the_way").is_null() || flow.at("on_the_way") == 0, true) << flow;
      EXPECT_EQ(flow.at("out_of_order"), 0) << flow;
      EXPECT_EQ(flow.at("corrupt"), 0) << flow;
    }
    ASSERT_EQ(good({"traffic", "status"}).at("sinks"), 0);
  }
  ASSERT_EQ(good({"traffic", "start"}).at("generators"), kChips);
  EXPECT_TRUE(eventually([&] { return words_sent() > 0; }));
  expect_stopped(good({"traffic", "stop"}), kChips);
}

}  // namespace
}  // namespace warden::test
