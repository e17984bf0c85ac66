// SPDX-License-Identifier: Apache-2.0
// Reports and progress lines.
#include <gtest/gtest.h>

#include "tools/libwarden/progress_line.h"
#include "tools/libwarden/reset_report.h"

namespace warden::internal {
namespace {

// Proves that every field of wardend's report arrives.
TEST(LibwardenReport, WholeReport) {
  const std::string json = R"({"id":41,"result":"failed","reason":"why","devices":["vfio-user:/a"],)"
                           R"("phases":[{"name":"announced","us":83}],)"
                           R"("listeners":[{"pid":1,"name":"x","outcome":"acknowledged","extended":5,"us":83}],)"
                           R"("evidence":[{"device":"d","name":"marker","before":"1","after":"0","passed":true}],)"
                           R"("fabric":{"routers_paused":2,"routes_held":3,"packets_delayed":4,"packets_lost":5,)"
                           R"("restored":true,"complaint":"slow"}})";
  const auto report = parse_report(json);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->reset_id, 41U);
  EXPECT_EQ(report->result, ResetResult::kFailed);
  EXPECT_EQ(report->reason, "why");
  EXPECT_EQ(report->devices, std::vector<std::string>{"vfio-user:/a"});
  ASSERT_EQ(report->phases.size(), 1U);
  EXPECT_EQ(report->phases[0].duration_us, 83U);
  ASSERT_EQ(report->listeners.size(), 1U);
  EXPECT_EQ(report->listeners[0].outcome, "acknowledged");
  EXPECT_EQ(report->listeners[0].extended_ms, 5U);
  ASSERT_EQ(report->evidence.size(), 1U);
  EXPECT_TRUE(report->evidence[0].passed);
  ASSERT_TRUE(report->fabric);
  EXPECT_EQ(report->fabric->routers_paused, 2U);
  EXPECT_EQ(report->fabric->routes_held, 3U);
  EXPECT_EQ(report->fabric->packets_delayed, 4U);
  EXPECT_EQ(report->fabric->packets_lost, 5U);
  EXPECT_TRUE(report->fabric->restored);
  EXPECT_EQ(report->fabric->complaint, "slow");
  EXPECT_EQ(report->json, json);
}

// Proves that what is no report is an error and never an exception or a good verdict.
TEST(LibwardenReport, WrongReports) {
  for (const char* json :
       {"", "{", "[]", "null", "{}", R"({"id":1})", R"({"id":1,"result":"splendid"})", R"({"id":"x","result":"ok"})",
        R"({"id":1,"result":"ok","devices":3})", R"({"id":1,"result":"ok","phases":[1]})",
        R"({"id":1,"result":"ok","listeners":{"a":1}})", R"({"id":1,"result":"ok","fabric":[1]})"}) {
    const auto report = parse_report(json);
    ASSERT_FALSE(report) << json;
    EXPECT_EQ(report.error().code, Code::kProtocol);
  }
}

// Proves that lines name who did what and after how long.
TEST(LibwardenReport, ProgressLines) {
  shm::Event event;
  event.kind = shm::EventKind::kAcknowledged;
  event.pid = 4711;
  event.text = "trainer";
  event.value = 83;
  EXPECT_EQ(progress_line(event), "pid 4711 (trainer) has acknowledged after 83 us");
  event.kind = shm::EventKind::kResult;
  event.reset_id = 41;
  event.result = shm::ResetResult::kFailed;
  event.text = "ARC is silent";
  EXPECT_EQ(progress_line(event), "reset 41: failed: ARC is silent");
  event.kind = static_cast<shm::EventKind>(99);
  EXPECT_EQ(progress_line(event), "event of kind 99");
}

}  // namespace
}  // namespace warden::internal
