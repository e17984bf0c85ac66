// SPDX-License-Identifier: Apache-2.0
// `warden` as people type it: what it prints, and an exit status that tells the truth.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <nlohmann/json.hpp>

#include "tests/e2e/warden_commands.h"
#include "tests/support/host.h"

namespace warden::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class Cli : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(host_.start()) << host_.why(); }
  Host host_;
};

std::ptrdiff_t lines_in(const std::string& text) { return std::ranges::count(text, '\n'); }

// Without wardend every command that needs it says in one line what to start or mount, and ends with status 1.
TEST(CliAlone, SaysWhatToStart) {
  const Host nobody;
  const std::vector<std::vector<std::string>> commands = {{"devices"},
                                                          {"sessions"},
                                                          {"allocs"},
                                                          {"allocs", "--leaks", "--watch"},
                                                          {"status"},
                                                          {"status", "--json"},
                                                          {"reset"},
                                                          {"events"},
                                                          {"fabric", "up"},
                                                          {"fabric", "status"},
                                                          {"fabric", "topology"},
                                                          {"fabric", "topology", "--manifest"},
                                                          {"fabric", "pause"},
                                                          {"fabric", "recover", "--undo"},
                                                          {"fabric", "traffic"},
                                                          {"fabric", "traffic", "start"},
                                                          {"fabric", "traffic", "stop"},
                                                          {"peek", "0", "1,1", "0"},
                                                          {"poke", "0", "1,1", "0", "0"},
                                                          {"listen", "--on-reset", "pause"},
                                                          {"listen", "--on-reset", "pause", "--", "true"}};
  for (const auto& command : commands) {
    Process warden = nobody.run("warden", command);
    EXPECT_EQ(warden.wait(), 1) << command.front();
    EXPECT_EQ(lines_in(warden.output()), 3) << warden.output();  // the two headings, and one line
    EXPECT_THAT(warden.err(), HasSubstr("wardend"));
  }
}

// What is not understood ends with status 2 and one line, before anybody is asked anything.
TEST(CliAlone, RefusesBadUsage) {
  const Host nobody;
  const std::vector<std::vector<std::string>> commands = {{},
                                                          {"rest"},
                                                          {"--nonsense"},
                                                          {"devices", "--nonsense"},
                                                          {"devices", "extra"},
                                                          {"devices", "--", "true"},
                                                          {"allocs", "--leaks", "5"},
                                                          {"allocs", "--watch", "often"},
                                                          {"allocs", "--pid", "0"},
                                                          {"allocs", "--pid", "x"},
                                                          {"allocs", "--remaining", "--leaks"},
                                                          {"allocs", "--remaining", "--json"},
                                                          {"status", "extra"},
                                                          {"reset", "--timeout", "2"},
                                                          {"reset", "--timeout", "-1s"},
                                                          {"reset", "--timeout"},
                                                          {"reset", "--on-timeout", "maybe"},
                                                          {"reset", "--on-conflict", "fight"},
                                                          {"listen"},
                                                          {"listen", "--on-reset", "dance"},
                                                          {"peek", "0", "1,1"},
                                                          {"peek", "0", "1", "0"},
                                                          {"peek", "0", "1,1", "0", "0"},
                                                          {"peek", "0", "1,1", "here"},
                                                          {"poke", "0", "1,1", "0"},
                                                          {"poke", "0", "1,1", "0", "0x100000000"},
                                                          {"fabric"},
                                                          {"fabric", "down"},
                                                          {"fabric", "status", "extra"},
                                                          {"fabric", "pause", "--channel", "e4"},
                                                          {"fabric", "pause", "--device", "0", "--channel", "e16"},
                                                          {"fabric", "pause", "--device", "0", "--edge", "0-1"},
                                                          {"fabric", "recover"},
                                                          {"fabric", "recover", "--undo", "--finish"},
                                                          {"fabric", "topology", "--svg", "-", "--json"},
                                                          {"fabric", "traffic", "begin"},
                                                          {"fabric", "traffic", "start", "--from", "0"},
                                                          {"fabric", "traffic", "start", "--size", "20"},
                                                          {"fabric", "traffic", "start", "--rate", "0"},
                                                          {"fabric", "traffic", "start", "--pattern", "star"},
                                                          {"bind"},
                                                          {"bind", "01:00"},
                                                          {"bind", "0000:01:00.0", "--timeout", "5"},
                                                          {"unbind", "0000:01:00.8"},
                                                          {"completions"},
                                                          {"completions", "tcsh"}};
  for (const auto& command : commands) {
    Process warden = nobody.run("warden", command);
    EXPECT_EQ(warden.wait(), 2) << json(command);
    EXPECT_EQ(lines_in(warden.err()), 1) << warden.err();
    EXPECT_THAT(warden.err(), HasSubstr("--help"));
  }
}

// Every command explains itself with examples; version and help are successes.
TEST(CliAlone, Helps) {
  const Host nobody;
  for (std::vector<std::string> command : warden_commands()) {
    command.emplace_back("--help");
    Process warden = nobody.run("warden", command);
    EXPECT_EQ(warden.wait(), 0);
    EXPECT_THAT(warden.out(), HasSubstr("Examples:\n  ")) << json(command);
  }
  Process version = nobody.run("warden", {"--version"});
  EXPECT_EQ(version.wait(), 0);
  EXPECT_THAT(version.out(), HasSubstr("warden "));
}

// The listing shows the card, in words and in JSON.
TEST_F(Cli, ListsDevices) {
  Process table = host_.run("warden", {"devices"});
  EXPECT_EQ(table.wait(), 0);
  EXPECT_THAT(table.out(), testing::ContainsRegex("chip0.sock +wormhole +n150 +ready"));
  Process listing = host_.run("warden", {"devices", "--json"});
  EXPECT_EQ(listing.wait(), 0);
  const json devices = json::parse(listing.out());
  ASSERT_EQ(devices.size(), 1U);
  EXPECT_EQ(devices[0]["state"], "ready");
}

// A listener is listed with its name and what it listens to.
TEST_F(Cli, ListsSessions) {
  Process listener = host_.run("listener_example", {"pause"});
  ASSERT_TRUE(listener.wait_for_line("attached")) << listener.output();
  Process listing = host_.run("warden", {"sessions", "--json"});
  EXPECT_EQ(listing.wait(), 0);
  const json sessions = json::parse(listing.out());
  EXPECT_TRUE(std::ranges::any_of(sessions, [&](const json& session) {
    return session["pid"] == listener.pid() && !session["listens"].empty();
  })) << listing.out();
}

// A good reset: progress on stderr, proofs and the verdict on stdout, status 0.
TEST_F(Cli, ResetsAndShowsProofs) {
  Process listener = host_.run("listener_example", {"pause"});
  ASSERT_TRUE(listener.wait_for_line("attached")) << listener.output();
  Process reset = host_.run("warden", {"reset", "--reason", "test"});
  EXPECT_EQ(reset.wait(), 0) << reset.output();
  EXPECT_THAT(reset.out(), HasSubstr("OK reset 1: 1 device, 1 listener"));
  EXPECT_THAT(reset.out(), HasSubstr("marker"));
  EXPECT_THAT(reset.err(), HasSubstr("listening: pid " + std::to_string(listener.pid())));
  // The name of a session that gives itself none is the kernel's, of 15 characters.
  EXPECT_THAT(reset.err(), HasSubstr("pid " + std::to_string(listener.pid()) + " (listener_exampl) has acknowledged"));
}

// The report as JSON: every member that is promised, and nothing else on stdout.
TEST_F(Cli, ReportsAsJson) {
  Process listener = host_.run("listener_example", {"pause"});
  ASSERT_TRUE(listener.wait_for_line("attached")) << listener.output();
  Process reset = host_.run("warden", {"reset", "--json", "--device", "0"});
  EXPECT_EQ(reset.wait(), 0) << reset.output();
  const json report = json::parse(reset.out());
  EXPECT_EQ(report["id"], 1);
  EXPECT_EQ(report["result"], "ok");
  EXPECT_TRUE(report["reason"].is_string());
  EXPECT_EQ(report["devices"].size(), 1U);
  EXPECT_FALSE(report["phases"].empty());
  for (const json& phase : report["phases"]) EXPECT_TRUE(phase["name"].is_string() && phase["us"].is_number());
  ASSERT_EQ(report["listeners"].size(), 1U);
  EXPECT_EQ(report["listeners"][0]["pid"], listener.pid());
  EXPECT_EQ(report["listeners"][0]["outcome"], "acknowledged");
  EXPECT_EQ(report["listeners"][0]["extended"], 0);
  EXPECT_TRUE(report["listeners"][0]["us"].is_number());
}

// A card that ignores its reset: FAILED with the reason, and status 1.
TEST_F(Cli, SaysWhenAResetFailed) {
  ASSERT_TRUE(host_.simulator({"fault", "0", "reset-ignored"}));
  Process reset = host_.run("warden", {"reset"});
  EXPECT_EQ(reset.wait(), 1);
  EXPECT_THAT(reset.out(), testing::ContainsRegex("FAILED reset 1: .*marker"));
  EXPECT_THAT(reset.out(), HasSubstr("NOT proven"));
}

// A listener that never answers, under `abort`: the card stays as it is, and the status is 1.
TEST_F(Cli, AbortsWhenAListenerStaysSilent) {
  Process listener = host_.run("listener_example", {"pause"});
  ASSERT_TRUE(listener.wait_for_line("attached")) << listener.output();
  listener.signal(SIGSTOP);
  Process reset = host_.run("warden", {"reset", "--timeout", "100ms", "--on-timeout", "abort"});
  EXPECT_EQ(reset.wait(), 1);
  EXPECT_THAT(reset.out(), HasSubstr("ABORTED reset 1: "));
}

// A device that is not there: one line that names it, status 1.
TEST_F(Cli, NamesAnUnknownDevice) {
  for (const std::vector<std::string>& command : {std::vector<std::string>{"reset", "--device", "nonesuch"},
                                                  {"peek", "nonesuch", "1,1", "0"},
                                                  {"listen", "--on-reset", "pause", "--device", "nonesuch"}}) {
    Process warden = host_.run("warden", command);
    EXPECT_EQ(warden.wait(), 1) << json(command);
    EXPECT_THAT(warden.err(), HasSubstr("nonesuch"));
  }
}

// What is poked can be peeked, in memory and word by word; a tile that is not there is refused.
TEST_F(Cli, PokesAndPeeks) {
  EXPECT_EQ(host_.run("warden", {"poke", "0", "1,1", "0x20001", "0x64636261"}).wait(), 0);
  Process bytes = host_.run("warden", {"peek", "0", "1,1", "0x20000", "16"});
  EXPECT_EQ(bytes.wait(), 0);
  EXPECT_THAT(bytes.out(), HasSubstr("00 61 62 63 64 00"));
  EXPECT_THAT(bytes.out(), HasSubstr("|.abcd."));
  Process words = host_.run("warden", {"peek", "--word", "0", "1,1", "0x20000", "8"});
  EXPECT_EQ(words.wait(), 0);
  EXPECT_EQ(words.out(), "000020000  63626100\n000020004  00000064\n");
  EXPECT_EQ(host_.run("warden", {"peek", "0", "200,200", "0"}).wait(), 1);
}

// Everything that happens in a reset comes by, in order, to who follows.
TEST_F(Cli, FollowsEvents) {
  Process events = host_.run("warden", {"events", "--json", "--history"});
  ASSERT_TRUE(events.wait_for_line("session_opened")) << events.output();
  Process reset = host_.run("warden", {"reset"});
  EXPECT_EQ(reset.wait(), 0) << reset.output();
  for (const char* text :
       {"\"kind\":\"announce\"", "\"phase\":\"resetting\"", "\"phase\":\"verified\"", "\"kind\":\"result\""}) {
    const auto line = events.wait_for_line(text);
    ASSERT_TRUE(line) << text << " in " << events.output();
    EXPECT_EQ(json::parse(*line)["reset"], 1) << *line;
  }
  Process history = host_.run("warden", {"events", "--no-follow"});
  EXPECT_EQ(history.wait(), 0);
  EXPECT_THAT(history.out(), testing::ContainsRegex("result +reset 1 +ok"));
}

}  // namespace
}  // namespace warden::test
