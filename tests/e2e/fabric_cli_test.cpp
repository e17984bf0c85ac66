// SPDX-License-Identifier: Apache-2.0
// `warden fabric` on a mesh of four cards: each command by a process of its own, so that all they know of each other
// is what the cards say.
#include <csignal>
#include <fstream>
#include <set>

#include "tests/e2e/fabric_host.h"

namespace warden::test {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;

class FabricCli : public FabricHost {};

constexpr std::size_t kRouters = 8;

std::ptrdiff_t lines_in(const std::string& text) { return std::ranges::count(text, '\n'); }

// Before there are routers the links are listed all the same, and everything else says in one line what to do.
TEST_F(FabricCli, SaysThatNothingRuns) {
  const json topology = good({"topology"});
  EXPECT_EQ(topology.at("links").size(), 4U) << topology;
  EXPECT_EQ(topology.at("meshes").at(0).at("rows"), 2) << topology;
  EXPECT_EQ(topology.at("links").at(0).at("ends").at(0).at("state"), nullptr);
  const std::vector<std::vector<std::string>> commands = {{"status"},
                                                          {"topology", "--manifest"},
                                                          {"pause"},
                                                          {"resume"},
                                                          {"drain"},
                                                          {"recover", "--undo"},
                                                          {"traffic"},
                                                          {"traffic", "start"},
                                                          {"traffic", "status"},
                                                          {"traffic", "stop"}};
  for (const auto& command : commands) {
    const Answer answer = fabric(command);
    EXPECT_EQ(answer.status, 1) << json(command);
    EXPECT_EQ(lines_in(answer.err), 1) << answer.err;
    EXPECT_THAT(answer.err, HasSubstr("warden fabric up"));
  }
}

// Routers start once; a second time only when that is wanted, paused and without telemetry when that is wanted.
TEST_F(FabricCli, StartsRouters) {
  const json up = good({"up"});
  EXPECT_EQ(up.at("routers"), kRouters) << up;
  EXPECT_EQ(up.at("telemetry"), true);
  const json status = good({"status", "--probe"});
  EXPECT_EQ(status.at("states").at("RUNNING"), kRouters) << status;
  for (const json& router : status.at("routers")) EXPECT_EQ(router.at("health"), "alive") << router;

  const Answer again = fabric({"up"});
  EXPECT_EQ(again.status, 1);
  EXPECT_THAT(again.err, HasSubstr("8 routers run already: --force"));
  EXPECT_EQ(good({"up", "--force", "--paused", "--no-telemetry"}).at("telemetry"), false);
  EXPECT_EQ(count("PAUSED"), kRouters);
  const Answer blind = fabric({"traffic", "watch"});
  EXPECT_EQ(blind.status, 1);
  EXPECT_THAT(blind.err, HasSubstr("--no-telemetry"));
}

// The table has a line for each router, with its peer, and a verdict.
TEST_F(FabricCli, ListsRouters) {
  ASSERT_EQ(fabric({"up"}).status, 0);
  const Answer status = fabric({"status"});
  EXPECT_EQ(status.status, 0);
  EXPECT_EQ(lines_in(status.out), static_cast<std::ptrdiff_t>(kRouters) + 3) << status.out;
  EXPECT_THAT(status.out, ContainsRegex("0:\\(0,0\\) E0 +east +0:\\(1,0\\) E4 +RUNNING +RUN "));
  EXPECT_THAT(status.out, HasSubstr("8 RUNNING; packets: 0 admitted"));
  const json listed = good({"status"});
  for (const json& router : listed.at("routers")) {
    EXPECT_GT(router.at("command_seen_cycles").get<std::uint64_t>(), 0U) << router;
    EXPECT_GE(router.at("state_since_cycles"), router.at("command_seen_cycles")) << router;
  }
  const json manifest = fabric({"topology", "--manifest"}).parsed();
  ASSERT_TRUE(manifest.is_object());
  EXPECT_EQ(manifest.at("routers").size(), kRouters) << manifest;
}

// One router, one device and one edge are paused alone, by every name they have; the fabric is then not as it should
// be, which status says by name and with its status.
TEST_F(FabricCli, PausesAPart) {
  ASSERT_EQ(fabric({"up"}).status, 0);
  struct Part {
    std::vector<std::string> words;
    std::size_t routers;
  };
  const std::vector<Part> parts = {{{"--device", "1,0", "--channel", "e4"}, 1},
                                   {{"--device", "1,0"}, 2},
                                   {{"--device", "0:(1,0)"}, 2},
                                   {{"--device", "1"}, 2},
                                   {{"--device", card(1)}, 2},
                                   {{"--edge", "0,0-1,0"}, 2},
                                   {{"--edge", "0-" + card(1)}, 2},
                                   {{"--mesh", "0"}, kRouters}};
  for (const Part& part : parts) {
    for (const char* command : {"pause", "drain"}) {
      std::vector<std::string> words = part.words;
      words.insert(words.begin(), command);
      const json paused = good(words);
      EXPECT_EQ(paused.at("routers"), part.routers) << json(words);
      EXPECT_EQ(paused.at("complete"), true) << paused;
      EXPECT_EQ(count("PAUSED"), part.routers) << json(words);
      const Answer status = fabric({"status"});
      EXPECT_EQ(status.status, part.routers == kRouters ? 0 : 1) << status.out;
      if (part.routers != kRouters) {
        EXPECT_THAT(status.out, HasSubstr("not running: 0:("));
      }
      words.front() = "resume";
      EXPECT_EQ(good(words).at("complete"), true);
      EXPECT_EQ(fabric({"status"}).status, 0) << json(words);
    }
  }
  for (const std::vector<std::string>& wrong :
       {std::vector<std::string>{"--device", "5,5"}, {"--edge", "0,0-1,1"}, {"--device", "0,0", "--channel", "e15"}}) {
    std::vector<std::string> words = wrong;
    words.insert(words.begin(), "pause");
    const Answer answer = fabric(words);
    EXPECT_EQ(answer.status, 1) << json(words);
    EXPECT_EQ(lines_in(answer.err), 1) << answer.err;
  }
  EXPECT_EQ(count("RUNNING"), kRouters);
}

// Traffic flows, is seen to flow, stands still while routers are paused, goes on, and ends with every packet counted
// once at its sink: each step by another process.
TEST_F(FabricCli, CarriesTraffic) {
  ASSERT_EQ(fabric({"up"}).status, 0);
  const json started = good({"traffic", "start"});
  EXPECT_EQ(started.at("generators"), kChips) << started;
  EXPECT_EQ(started.at("sinks"), kChips);
  Process watch = host_.run("warden", {"fabric", "traffic", "watch", "--interval", "50ms", "--json"});
  for (int i = 0; i < 3; ++i) {
    const auto line = watch.read_line();
    ASSERT_TRUE(line) << watch.output();
    const json rates = json::parse(*line);
    EXPECT_GT(rates.at("words_per_second").get<double>(), 0) << rates;
    EXPECT_EQ(rates.at("routers").size(), kRouters);
  }
  watch.signal(SIGINT);
  EXPECT_EQ(watch.wait(), 0);

  EXPECT_EQ(good({"pause"}).at("complete"), true);
  const std::uint64_t words = words_sent();
  EXPECT_GT(words, 0U);
  const json rates = json::parse(
      host_.run("warden", {"fabric", "traffic", "--interval", "50ms", "--json"}).read_line().value_or("{}"));
  EXPECT_EQ(rates.value("words_per_second", 1.0), 0) << rates;
  EXPECT_EQ(words_sent(), words);

  EXPECT_EQ(good({"resume"}).at("complete"), true);
  EXPECT_TRUE(eventually([&] { return words_sent() > words; }));
  EXPECT_EQ(good({"drain"}).at("complete"), true);
  const json drained = good({"status"}).at("packets");
  EXPECT_EQ(drained.at("admitted"), drained.at("delivered")) << drained;
  EXPECT_EQ(good({"resume"}).at("complete"), true);
  expect_stopped(good({"traffic", "stop"}), kChips);
  EXPECT_THAT(fabric({"traffic", "stop"}).out, HasSubstr("no traffic to stop"));
}

// Two operators at once, each with an edge of their own, and a third one who looks: nobody's command undoes another's,
// and no packet is lost.
TEST_F(FabricCli, HasManyControllers) {
  ASSERT_EQ(fabric({"up"}).status, 0);
  ASSERT_EQ(fabric({"traffic", "start", "--pattern", "all"}).status, 0);
  constexpr int kRounds = 10;
  for (int round = 0; round < kRounds; ++round) {
    for (const char* command : {"pause", "resume"}) {
      Process one = host_.run("warden", {"fabric", command, "--edge", "0,0-1,0"});
      Process other = host_.run("warden", {"fabric", command, "--edge", "0,0-0,1"});
      const json seen = fabric({"status", "--json"}).parsed();
      ASSERT_TRUE(seen.is_object());
      EXPECT_TRUE(seen.at("condition").at("unreadable").empty()) << seen;
      EXPECT_EQ(one.wait(), 0) << one.output();
      EXPECT_EQ(other.wait(), 0) << other.output();
      EXPECT_EQ(count("PAUSED"), command == std::string("pause") ? 4U : 0U);
    }
  }
  EXPECT_EQ(fabric({"status"}).status, 0);
  expect_stopped(good({"traffic", "stop"}), std::size_t{kChips} * (kChips - 1));
}

// One flow of so many packets of this size, at a rate, between two devices: exactly these arrive.
TEST_F(FabricCli, SendsWhatWasAsked) {
  ASSERT_EQ(fabric({"up"}).status, 0);
  const std::vector<std::string> asked = {"traffic", "start", "--from", "0,0",     "--to",      "1,1",
                                          "--size",  "64",    "--rate", "1000000", "--packets", "500"};
  ASSERT_EQ(good(asked).at("generators"), 1);
  EXPECT_TRUE(eventually([&] {
    const json flows = good({"traffic", "status"}).at("flows");
    return flows.at(0).at("generator") == "complete" && flows.at(0).at("on_the_way") == 0;
  }));
  const json stopped = good({"traffic", "stop"});
  expect_stopped(stopped, 1);
  EXPECT_EQ(stopped.at("received"), 500);
  EXPECT_EQ(stopped.at("flows").at(0).at("bytes"), 500 * 64);
  // The cores were given back: the same again is a flow that begins anew.
  ASSERT_EQ(good(asked).at("sinks"), 1);
  EXPECT_TRUE(eventually([&] { return good({"traffic", "status"}).at("flows").at(0).at("received") == 500; }));
  expect_stopped(good({"traffic", "stop"}), 1);
}

// A second start adds to the first, with the sinks that are there; what can't be started leaves nothing behind.
TEST_F(FabricCli, AddsTraffic) {
  ASSERT_EQ(fabric({"up"}).status, 0);
  ASSERT_EQ(good({"traffic", "start", "--pattern", "pairs"}).at("sinks"), 4);
  ASSERT_EQ(good({"traffic", "start", "--from", "0,0", "--to", "1,1"}).at("sinks"), 0);
  for (const std::vector<std::string>& wrong :
       {std::vector<std::string>{"--from", "0,0", "--to", "0,0"}, {"--mesh", "3"}}) {
    std::vector<std::string> words = {"traffic", "start"};
    words.insert(words.end(), wrong.begin(), wrong.end());
    EXPECT_EQ(fabric(words).status, 1) << json(words);
  }
  EXPECT_EQ(good({"traffic", "status"}).at("generators"), 5);
  EXPECT_TRUE(eventually([&] {
    const json flows = good({"traffic", "status"}).at("flows");
    return std::ranges::all_of(flows, [](const json& flow) { return flow.at("received") > 0; });
  }));
  expect_stopped(good({"traffic", "stop"}), 5);
}

// Stopped while the routers are paused it does not pretend: it says what is missing, keeps all of it, and can be done
// again.
TEST_F(FabricCli, DoesNotStopHalfway) {
  ASSERT_EQ(fabric({"up"}).status, 0);
  ASSERT_EQ(fabric({"traffic", "start"}).status, 0);
  EXPECT_TRUE(eventually([&] { return words_sent() > 1000; }));
  ASSERT_EQ(fabric({"pause"}).status, 0);
  const Answer stop = fabric({"traffic", "stop", "--timeout", "100ms"});
  EXPECT_EQ(stop.status, 1);
  EXPECT_EQ(lines_in(stop.err), 1) << stop.err;
  EXPECT_THAT(stop.err,
              ContainsRegex("4 generators not done, [1-9][0-9]* packets not arrived in time: 8 routers paused: "
                            "'warden fabric resume'"));
  EXPECT_THAT(stop.out, HasSubstr("NOT STOPPED"));
  EXPECT_EQ(good({"traffic", "status"}).at("generators"), kChips);
  ASSERT_EQ(fabric({"resume"}).status, 0);
  expect_stopped(good({"traffic", "stop"}), kChips);
}

// The picture is XML with every chip and both ends of every link, and rates while there is traffic.
TEST_F(FabricCli, DrawsTheMesh) {
  ASSERT_EQ(fabric({"up"}).status, 0);
  ASSERT_EQ(fabric({"traffic", "start"}).status, 0);
  const std::string path = host_.directory() + "/mesh.svg";
  const Answer drawn = fabric({"topology", "--svg", path, "--interval", "100ms"});
  EXPECT_EQ(drawn.status, 0) << drawn.err;
  std::ifstream file(path);
  const std::string svg{std::istreambuf_iterator<char>(file), {}};
  Process python({"python3", "-c", "import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])", path});
  EXPECT_EQ(python.wait(), 0) << python.output();
  const json status = good({"status"});
  for (const json& router : status.at("routers")) {
    EXPECT_THAT(svg, HasSubstr("0:(" + router.at("x").dump() + "," + router.at("y").dump() + ") E" +
                               router.at("channel").dump() + ": RUNNING, words "));
  }
  EXPECT_THAT(svg, ContainsRegex("words [1-9]"));
  EXPECT_EQ(fabric({"topology", "--svg", "-", "--interval", "1ms"}).out.substr(0, 5), "<?xml");
  const Answer nowhere = fabric({"topology", "--svg", "/nonexistent/x.svg", "--interval", "1ms"});
  EXPECT_EQ(nowhere.status, 1);
  EXPECT_THAT(nowhere.err, HasSubstr("No such file"));
  expect_stopped(good({"traffic", "stop"}), kChips);
}

// A router that hangs is named by those who wait for it and by --probe, and what followed is brought back.
TEST_F(FabricCli, NamesWhatHangs) {
  ASSERT_EQ(fabric({"up"}).status, 0);
  // The core of E4 on chip 1 is held in reset.
  const json routers = good({"status"}).at("routers");
  const auto victim = std::ranges::find_if(routers, [](const json& router) {
    return router.at("x") == 1 && router.at("y") == 0 && router.at("channel") == 4;
  });
  ASSERT_NE(victim, routers.end());
  const std::string tile = victim->at("tile").get<std::string>();
  ASSERT_EQ(host_.run("warden", {"poke", "1", tile, "0xFFB121B0", "0x800"}).wait(), 0);
  const Answer pause = fabric({"pause", "--timeout", "200ms"});
  EXPECT_EQ(pause.status, 1);
  EXPECT_EQ(lines_in(pause.err), 1) << pause.err;
  EXPECT_THAT(pause.err, HasSubstr("0:(1,0) E4"));
  const json transition = fabric({"pause", "--timeout", "200ms", "--json"}).parsed();
  EXPECT_EQ(transition.at("stragglers").size(), 1U) << transition;
  EXPECT_EQ(transition.at("rolled_back"), true) << transition;
  EXPECT_EQ(count("RUNNING"), kRouters);
  const Answer status = fabric({"status", "--probe"});
  EXPECT_EQ(status.status, 1);
  EXPECT_THAT(status.out, HasSubstr("hung: 0:(1,0) E4\n"));
}

}  // namespace
}  // namespace warden::test
