// SPDX-License-Identifier: Apache-2.0
// Listings of allocations and wardend's state, from the JSON that wardend writes to the words that people read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "tools/warden/allocation_listing.h"
#include "tools/warden/status_words.h"

namespace warden::cli {
namespace {

using nlohmann::json;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;

constexpr std::int64_t kSecond = 1'000'000'000;

// Two processes: one of a session, in a namespace of its own, and one of the allocation server.
json sample() {
  const json kinds = {{"dram", {{"records", 2}, {"bytes", 3 << 20}}}, {"kernel", {{"records", 1}, {"bytes", 2048}}}};
  const json trainer = {
      {"source", "session"},
      {"id", 7},
      {"pid", 4242},
      {"pid_in_namespace", 17},
      {"name", "trainer"},
      {"records", 3},
      {"bytes", (3 << 20) + 2048},
      {"dropped", 0},
      {"settled", true},
      {"damaged", false},
      {"devices", {{{"device", 0}, {"name", "0000:01:00.0"}, {"kinds", kinds}}}},
      {"allocations",
       {{{"device", 0}, {"kind", "dram"}, {"address", 4096}, {"bytes", 1 << 20}, {"age_ns", 5 * kSecond}, {"tag", 1}},
        {{"device", 0},
         {"kind", "kernel"},
         {"kernel", "fabric"},
         {"address", 8192},
         {"bytes", 2048},
         {"age_ns", 700 * kSecond},
         {"tag", 9},
         {"thread", 4250},
         {"label", "rou\x1bter"}},
        {{"device", 0}, {"kind", "dram"}, {"address", 0}, {"bytes", 2 << 20}, {"age_ns", 900 * kSecond}}}}};
  const json bridged = {{"source", "bridge"},
                        {"id", 1},
                        {"pid", 20022},
                        {"pid_in_namespace", 0},
                        {"name", "python3"},
                        {"records", 1},
                        {"bytes", 512},
                        {"devices", {{{"device", 1}, {"kinds", {{"l1_small", {{"records", 1}, {"bytes", 512}}}}}}}},
                        {"allocations", {{{"device", 1}, {"kind", "l1_small"}, {"bytes", 512}, {"time_ns", 1}}}}};
  return {{"time_ns", 73 * kSecond},
          {"records", 4},
          {"bytes", (3 << 20) + 2560},
          {"truncated", false},
          {"devices", {{{"device", 0}, {"name", "0000:01:00.0"}, {"records", 3}, {"bytes", (3 << 20) + 2048}}}},
          {"processes", {trainer, bridged}}};
}

AllocationListing listing_of(const json& document) { return parse_allocations(document.dump()).value(); }

// A line for each process, device and kind, with whom it came from, and the totals.
TEST(AllocationListing, IsATable) {
  const std::string text = format_allocations(listing_of(sample()));
  EXPECT_THAT(text, HasSubstr("PID    OWN PID  NAME     DEVICE  KIND      BUFFERS  SIZE     FROM\n"
                              "4242   17       trainer  0       DRAM      2        3.00 MB  session\n"
                              "4242   17       trainer  0       KERNEL    1        2.00 KB  session\n"
                              "20022  -        python3  1       L1_SMALL  1        512 B    bridge\n"));
  EXPECT_THAT(text, HasSubstr("\ndevice 0 (0000:01:00.0): 3 buffers, 3.00 MB\ntotal: 4 buffers, 3.00 MB of 2 pro"));
  EXPECT_THAT(format_allocations(listing_of({{"processes", json::array()}})), HasSubstr("no allocations"));
}

// Figures that may not be the whole truth say so.
TEST(AllocationListing, SaysWhatIsWrong) {
  json document = sample();
  EXPECT_THAT(format_allocations(listing_of(document)), Not(HasSubstr("pid 4242")));
  document["processes"][0]["dropped"] = 12;
  document["processes"][0]["settled"] = false;
  document["processes"][1]["damaged"] = true;
  const std::string text = format_allocations(listing_of(document));
  EXPECT_THAT(text, HasSubstr("pid 4242 (trainer): 12 more allocations not recorded"));
  EXPECT_THAT(text, HasSubstr("pid 4242 (trainer): at work while it was read"));
  EXPECT_THAT(text, HasSubstr("pid 20022 (python3): its table holds what cannot be"));
}

// Records of that age and more, oldest first; nobody who has none; no control characters.
TEST(AllocationListing, FindsLeaks) {
  const AllocationListing leaks = older_than(listing_of(sample()), seconds(700));
  ASSERT_EQ(leaks.processes.size(), 1U);
  EXPECT_EQ(leaks.sum.records, 2U);
  const std::string text = format_leaks(leaks, seconds(700));
  EXPECT_THAT(text, HasSubstr("\n15m00s  4242  trainer  -       0       DRAM             0x0      2.00 MB"));
  EXPECT_THAT(text,
              HasSubstr("\n11m40s  4242  trainer  4250    0       KERNEL (fabric)  0x2000   2.00 KB  0x9  rou?ter"));
  EXPECT_THAT(text, HasSubstr("older than 11m40s: 2 buffers, 2.00 MB of 1 process\n1 record of the alloc"));
  EXPECT_LT(text.find("15m00s"), text.find("11m40s  4242"));
  EXPECT_EQ(
      format_leaks(older_than(listing_of(sample()), seconds(901)), seconds(901)),
      "nothing is older than 15m01s\n1 record of the allocation server's clients left out: nobody knows their age\n");
}

// What was not looked at may be a leak too.
TEST(AllocationListing, SaysThatLeaksAreCut) {
  json document = sample();
  document["truncated"] = true;
  for (const seconds age : {seconds(700), seconds(901)}) {
    EXPECT_THAT(format_leaks(older_than(listing_of(document), age), age), HasSubstr("narrow it with --pid"));
  }
}

// The same as JSON: wardend's own records, each with its owner.
TEST(AllocationListing, FindsLeaksAsJson) {
  const json leaks = json::parse(leaks_json(sample().dump(), seconds(800)).value());
  EXPECT_EQ(leaks["records"], 1);
  EXPECT_EQ(leaks["bytes"], 2 << 20);
  EXPECT_EQ(leaks["ageless"], 1);
  EXPECT_EQ(leaks["truncated"], false);
  ASSERT_EQ(leaks["allocations"].size(), 1U);
  const json& leak = leaks["allocations"][0];
  EXPECT_EQ(leak["pid"], 4242);
  EXPECT_EQ(leak["source"], "session");
  EXPECT_EQ(leak["kind"], "dram");
  EXPECT_EQ(leak["age_ns"], 900 * kSecond);
}

// For the boxed report the sums keep their counts; a process without a number of ours goes by its own.
TEST(AllocationListing, FeedsTheReport) {
  json document = sample();
  document["processes"][0]["pid"] = 0;
  const auto buffers = remaining_buffers(listing_of(document));
  ASSERT_EQ(buffers.size(), 3U);
  EXPECT_EQ(buffers[0].pid, 17);
  EXPECT_EQ(buffers[0].count, 2U);
  EXPECT_EQ(buffers[2].kind, "L1_SMALL");
  EXPECT_THAT(daemon::format_remaining(buffers), HasSubstr("Total tracked allocations: 4\nTotal size: 3.00 MB\n"));
}

// Whatever a listing is not, it is an error or empty: nothing in it is believed for its type.
TEST(AllocationListing, SurvivesNonsense) {
  for (const char* text : {"", "[]", "{}", "7", R"({"processes": 3})"}) EXPECT_FALSE(parse_allocations(text)) << text;
  const std::vector<json> nonsense = {nullptr, 3, -1, "x", true, json::array({1, "x"}), {{"x", 1}}, 1.5};
  for (const json& wrong : nonsense) {
    EXPECT_TRUE(parse_allocations(json{{"processes", {wrong}}, {"devices", wrong}}.dump()));
    const json process = sample()["processes"][0];
    for (const auto& [key, value] : process.items()) {
      json document = sample();
      document["processes"][0][key] = wrong;
      const auto listing = parse_allocations(document.dump());
      ASSERT_TRUE(listing) << key;
      EXPECT_FALSE(format_allocations(*listing).empty());
      EXPECT_TRUE(leaks_json(document.dump(), seconds(0)));
    }
  }
}

json status() {
  return {{"version", "0.1.0"},
          {"keeper_pid", 100},
          {"worker_pid", 101},
          {"worker_starts", 2},
          {"uptime_ns", 65 * kSecond},
          {"socket", "/run/w.sock"},
          {"exit_watcher",
           {{"mechanism", "pidfd"},
            {"reason", "tp_btf: not permitted"},
            {"realtime", true},
            {"marked", 12},
            {"dropped_events", 3},
            {"missed_runs", 4}}},
          {"devices", 1},
          {"sessions", 5},
          {"dying", 1},
          {"cleaning", 2},
          {"quarantine", json::array({{{"device", "card"}, {"pid", 7}, {"name", "x"}, {"reason", "awaited y"}}})},
          {"active_reset", 0},
          {"allocation_server", nullptr},
          {"allocations", {{"records", 381}, {"bytes", 423457915}}}};
}

// The exit watcher, why it is that one, and what was missed; and the totals.
TEST(Status, SaysWhyAndWhatWasMissed) {
  ::setenv("NO_COLOR", "1", 1);
  const std::string text = format_status(status().dump()).value();
  EXPECT_THAT(text, HasSubstr("wardend 0.1.0, up 1m05s\n  worker            pid 101, start 2; keeper pid 100\n"));
  EXPECT_THAT(text, HasSubstr("pidfd, real-time, no liveness page; no better one: tp_btf: not permitted\n"));
  EXPECT_THAT(text, HasSubstr("12 seen; 3 events dropped, 4 exits missed"));
  EXPECT_THAT(text, HasSubstr("5, 1 dying, 2 being cleaned\n"));
  EXPECT_THAT(text, HasSubstr("381 buffers, 403.84 MB\n"));
  EXPECT_THAT(text, HasSubstr("allocation server off\n"));
  EXPECT_THAT(text, HasSubstr("quarantine        card, of pid 7 (x), until its next reset: awaited y\n"));
  json bridged = status();
  bridged["allocation_server"] = {{"path", "/tmp/a.sock"}, {"clients", 2}};
  EXPECT_THAT(format_status(bridged.dump()).value(), HasSubstr("allocation server /tmp/a.sock, clients: 2\n"));
  EXPECT_FALSE(format_status("[]"));
}

}  // namespace
}  // namespace warden::cli
