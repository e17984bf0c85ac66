// SPDX-License-Identifier: Apache-2.0
// `warden allocs`, `sessions` and `status`, and dump_remaining_buffers: living processes are counted, dead ones gone.
#include <gmock/gmock.h>

#include <algorithm>

#include "tests/e2e/allocs_host.h"

namespace warden::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

class Allocs : public AllocsHost {
 protected:
  [[nodiscard]] std::string out(const std::string& program, const std::vector<std::string>& arguments) const {
    Process process = host_.run(program, arguments);
    EXPECT_EQ(process.wait(), 0) << process.output();
    return process.out();
  }
};

// Who holds how much of what, in words and in JSON; a bridged client is marked; the dead are gone.
TEST_F(Allocs, CountsTheLiving) {
  EXPECT_EQ(out("warden", {"allocs"}), "no allocations\n");
  const auto one = holder(3);
  const auto other = bridged();
  const std::string table = out("warden", {"allocs"});
  const std::string pid = std::to_string(one->pid());
  EXPECT_THAT(table, testing::ContainsRegex("\n" + pid + " +" + pid + " +holder +0 +L1 +3 +3.00 MB +session\n"));
  EXPECT_THAT(table, testing::ContainsRegex("\n" + std::to_string(other->pid()) + " .* 0 +DRAM +1 +2.00 MB +bridge\n"));
  EXPECT_THAT(table, HasSubstr("total: 4 buffers, 5.00 MB of 2 processes\n"));
  json all = listing();
  EXPECT_EQ(all["records"], 4);
  EXPECT_EQ(all["bytes"], 5 << 20);
  ASSERT_EQ(all["processes"].size(), 2U);
  EXPECT_EQ(all["processes"][0]["pid"], one->pid());
  EXPECT_EQ(all["processes"][0]["devices"][0]["kinds"]["l1"]["records"], 3);
  EXPECT_FALSE(all["processes"][0].contains("allocations"));
  one->kill();
  EXPECT_TRUE(eventually([&] { return listing()["records"] == 1; })) << listing();
  other->kill();
  EXPECT_TRUE(eventually([&] { return out("warden", {"allocs"}) == "no allocations\n"; }));
}

// By process and by card; a card that is not there is named in one line.
TEST_F(Allocs, Filters) {
  const auto one = holder(3);
  const auto other = holder(2);
  EXPECT_EQ(listing({"--pid", std::to_string(other->pid())})["records"], 2);
  EXPECT_EQ(listing({"--pid", "1"})["records"], 0);
  EXPECT_EQ(listing({"--device", "0"})["records"], 5);
  EXPECT_EQ(listing({"--device", "vfio-user:" + host_.directory() + "/sim/chip0.sock"})["records"], 5);
  Process unknown = host_.run("warden", {"allocs", "--device", "nonesuch"});
  EXPECT_EQ(unknown.wait(), 1);
  EXPECT_EQ(std::ranges::count(unknown.err(), '\n'), 1);
  EXPECT_THAT(unknown.err(), HasSubstr("nonesuch"));
}

// The report in a box, from `allocs` and from the program of that name, which finds wardend by itself.
TEST_F(Allocs, ReportsWhatRemains) {
  const auto one = holder(3);
  const auto other = bridged();
  for (const std::string& report : {out("warden", {"allocs", "--remaining"}), out("dump_remaining_buffers", {})}) {
    EXPECT_THAT(report, HasSubstr("║           REMAINING ALLOCATED BUFFERS                        ║\n"));
    EXPECT_THAT(report, HasSubstr("\nPID " + std::to_string(one->pid()) +
                                  " (holder): 3 buffers, 3.00 MB\n  Device 0:\n    L1: 3 buffers, 3.00 MB\n"));
    EXPECT_THAT(report, HasSubstr("\nPID " + std::to_string(other->pid())));
    EXPECT_THAT(report, HasSubstr("    DRAM: 1 buffers, 2.00 MB\n"));
  }
  EXPECT_THAT(out("dump_remaining_buffers", {bridge_path()}), Not(HasSubstr("holder")));
}

// A record is a leak when it is old enough, not before; those whose age nobody knows are counted, not shown.
TEST_F(Allocs, FindsLeaks) {
  const auto one = holder(2);
  const auto other = bridged();
  EXPECT_THAT(out("warden", {"allocs", "--leaks"}), HasSubstr("nothing is older than 10m00s\n1 record of"));
  EXPECT_EQ(listing({"--leaks", "1h"})["records"], 0);
  ASSERT_TRUE(eventually([&] { return listing({"--leaks", "50ms"})["records"] == 2; })) << listing({"--leaks", "0s"});
  const json leak = listing({"--leaks", "50ms"})["allocations"][1];
  EXPECT_EQ(leak["pid"], one->pid());
  EXPECT_EQ(leak["kind"], "l1");
  EXPECT_EQ(leak["address"], 1 << 20);
  EXPECT_EQ(leak["tag"], 1);
  EXPECT_EQ(leak["label"], "weights");
  EXPECT_GE(leak["age_ns"], 50'000'000);
  EXPECT_THAT(out("warden", {"allocs", "--leaks", "50ms"}),
              testing::ContainsRegex("holder .* 0 +L1 +0x100000 +1.00 MB +0x1 +weights +session\n"));
}

// Younger records are left out by wardend itself: they take no room from older ones, and the sums are still those of
// all.
TEST_F(Allocs, ListsNoYoungerRecords) {
  const auto one = holder(5);
  AttachOptions options;
  options.socket_path = host_.socket_path();
  const auto session = Session::attach(options);
  ASSERT_TRUE(session);
  const auto records_of = [&](std::chrono::milliseconds min_age) {
    const auto text = (*session)->allocations_json({.records = true, .min_age = min_age, .max_records = 2});
    const json listing = json::parse(*text);
    EXPECT_EQ(listing["records"], 5);
    return std::pair(listing["processes"][0]["allocations"].size(), listing["truncated"].get<bool>());
  };
  EXPECT_EQ(records_of(std::chrono::milliseconds(0)), std::pair(std::size_t{2}, true));
  EXPECT_EQ(records_of(std::chrono::hours(1)), std::pair(std::size_t{0}, false));
  EXPECT_EQ(records_of(std::chrono::years(1000)), std::pair(std::size_t{0}, false)) << "more than fits in the question";
}

// A session is listed with both its pids, alive, and with what it holds.
TEST_F(Allocs, SessionsSayWhatTheyHold) {
  const auto one = holder(3);
  const std::string pid = std::to_string(one->pid());
  EXPECT_THAT(
      out("warden", {"sessions"}),
      testing::ContainsRegex(" " + pid + " +" + pid +
                             " +holder +[0-9]+ +live +[0-9.]+( ms|s) +[0-9.]+( ms|s) +- +- +- +3 +3.00 MB +0\n"));
  const json sessions = json::parse(out("warden", {"sessions", "--json"}));
  EXPECT_TRUE(std::ranges::any_of(sessions, [&](const json& session) {
    return session["pid"] == one->pid() && session["allocations"]["bytes"] == 3 << 20 && session["attached_ns"] > 0 &&
           session["attached_ns"] <= session["age_ns"];
  })) << sessions;
}

// wardend's own state agrees with what is there, and names its exit watcher.
TEST_F(Allocs, StatusSaysHowWardendIs) {
  const auto one = holder(3);
  const auto other = bridged();
  const std::string words = out("warden", {"status"});
  EXPECT_THAT(words, testing::ContainsRegex("^wardend [0-9.]+, up "));
  EXPECT_THAT(words, testing::ContainsRegex("exit watcher +(tp_btf|fentry|tracepoint|pidfd), "));
  EXPECT_THAT(words, HasSubstr("allocations       4 buffers, 5.00 MB\n"));
  EXPECT_THAT(words, HasSubstr("allocation server " + bridge_path() + ", clients: 1\n"));
  const json status = json::parse(out("warden", {"status", "--json"}));
  EXPECT_EQ(status["sessions"], 2);  // the holder, and who asks
  EXPECT_EQ(status["devices"], 1);
  EXPECT_EQ(status["keeper_pid"], host_.daemon().pid());
  EXPECT_EQ(status["allocations"]["records"], 4);
}

}  // namespace
}  // namespace warden::test
