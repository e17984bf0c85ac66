// SPDX-License-Identifier: Apache-2.0
// warm_reset() as the one who asks for it sees it.
#include <warden/reset.h>

#include <gtest/gtest.h>

#include <atomic>
#include <nlohmann/json.hpp>

#include "tests/unit/libwarden_fixture.h"

namespace warden {
namespace {

using test::eventually;
using test::ScriptedAnswer;

class LibwardenReset : public test::LibwardenTest {
 protected:
  // Answers a reset with id 41 and its report, and calls `then` once the request is there.
  void start_with(std::function<ScriptedAnswer()> then) {
    start_wardend([this, then](const shm::Packet& packet) -> ScriptedAnswer {
      if (packet.header.kind == static_cast<std::uint16_t>(shm::MessageKind::kReport)) {
        return {.code = report_.empty() ? static_cast<std::uint32_t>(Code::kNotFound) : 0, .tail = report_};
      }
      request_ = *shm::body_of<shm::ResetRequest>(packet);
      tokens_.push_back(request_.token);
      text_.assign(reinterpret_cast<const char*>(packet.body.data()) + sizeof(shm::ResetRequest),
                   packet.body.size() - sizeof(shm::ResetRequest));
      return then();
    });
  }
  static ScriptedAnswer started() { return {.code = 0, .tail = test::text_from(shm::ResetStarted{.reset_id = 41})}; }

  shm::ResetRequest request_{};
  std::vector<std::uint64_t> tokens_;
  std::string text_;
  std::string report_ = R"({"id":41,"result":"ok","devices":["vfio-user:/a"]})";
};

// Proves that request, progress and report are carried through, and that events of other resets are not told.
TEST_F(LibwardenReset, WholeReset) {
  start_with([this] {
    wardend_->publish({.kind = shm::EventKind::kAcknowledged, .reset_id = 40, .pid = 1, .text = "other"});
    wardend_->announce(41, 1, "why");
    wardend_->publish({.kind = shm::EventKind::kAcknowledged, .reset_id = 41, .value = 83, .pid = 4711, .text = "x"});
    wardend_->publish({.kind = shm::EventKind::kPhase, .reset_id = 41, .phase = shm::ResetPhase::kResetting});
    wardend_->finish(41, 1, shm::ResetResult::kOk);
    return started();
  });
  std::vector<ResetProgress> progress;
  WarmResetOptions options;
  options.timeout = std::chrono::milliseconds(1234);
  options.extension_cap = std::chrono::milliseconds(5678);
  options.on_timeout = OnTimeout::kKill;
  options.on_conflict = OnConflict::kRefuse;
  options.reason = "why";
  options.progress = [&](const ResetProgress& step) { progress.push_back(step); };
  const auto session = attach();
  const auto report = warm_reset(*session, {"vfio-user:/a"}, options);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->result, ResetResult::kOk);
  EXPECT_EQ(report->reset_id, 41U);
  EXPECT_EQ(report->json, report_);
  EXPECT_EQ(request_.timeout_ms, 1234U);
  EXPECT_EQ(request_.extension_cap_ms, 5678U);
  EXPECT_EQ(request_.on_timeout, static_cast<std::uint32_t>(shm::TimeoutPolicy::kKill));
  EXPECT_EQ(request_.on_conflict, static_cast<std::uint32_t>(shm::ConflictPolicy::kRefuse));
  const auto text = nlohmann::json::parse(text_);
  EXPECT_EQ(text.at("devices"), nlohmann::json::array({"vfio-user:/a"}));
  EXPECT_EQ(text.at("reason"), "why");
  ASSERT_EQ(progress.size(), 4U);
  EXPECT_EQ(progress[1].message, "pid 4711 (x) has acknowledged after 83 us");
  EXPECT_EQ(progress[1].phase, "announced");
  EXPECT_EQ(progress[2].phase, "resetting");
  EXPECT_EQ(progress[3].message, "reset 41: ok");
}

// Proves that a refusal because of another reset is a verdict, and the lack of the right an error.
TEST_F(LibwardenReset, RefusedAndForbidden) {
  Code code = Code::kBusy;
  start_with([&] { return ScriptedAnswer{.code = static_cast<std::uint32_t>(code), .tail = "reset 40 is under way"}; });
  const auto session = attach();
  const auto refused = warm_reset(*session);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->result, ResetResult::kRefused);
  EXPECT_EQ(refused->reason, "reset 40 is under way");
  code = Code::kPermission;
  const auto forbidden = warm_reset(*session);
  ASSERT_FALSE(forbidden);
  EXPECT_EQ(forbidden.error().code, Code::kPermission);
}

// Proves that a worker killed right after it took the request does not make two resets: the same token comes again.
TEST_F(LibwardenReset, WorkerRestartRepeatsTheToken) {
  start_with([this] {
    if (tokens_.size() == 1) {
      wardend_->start_new_worker();
      return ScriptedAnswer{.silent = true};
    }
    wardend_->announce(41, 1);
    wardend_->finish(41, 1, shm::ResetResult::kOk);
    return started();
  });
  const auto session = attach();
  const auto report = warm_reset(*session);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->result, ResetResult::kOk);
  ASSERT_EQ(tokens_.size(), 2U);
  EXPECT_EQ(tokens_[0], tokens_[1]);
  EXPECT_NE(tokens_[0], 0U);
}

// Proves that the end of wardend is the end of its reset: failed, with that reason, and asked for only once.
TEST_F(LibwardenReset, RestartOfWardendIsAFailedReset) {
  std::atomic<bool> announced{false};
  start_with([&] {
    wardend_->announce(41, 1);
    announced.store(true);
    return started();
  });
  std::thread operator_thread([&] {
    EXPECT_TRUE(eventually([&] { return announced.load(); }));
    start_with([] { return started(); });
  });
  const auto session = attach();
  WarmResetOptions options;
  const auto report = warm_reset(*session, {}, options);
  operator_thread.join();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->result, ResetResult::kFailed);
  EXPECT_NE(report->reason.find("wardend was restarted"), std::string::npos);
  EXPECT_EQ(tokens_.size(), 1U);
}

// Proves that a reset whose report is gone still ends with the verdict of its last event.
TEST_F(LibwardenReset, VerdictWithoutAReport) {
  report_.clear();
  start_with([this] {
    wardend_->announce(41, 1);
    wardend_->finish(41, 1, shm::ResetResult::kAborted, "pid 7 was silent");
    return started();
  });
  const auto session = attach();
  const auto report = warm_reset(*session);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->result, ResetResult::kAborted);
  EXPECT_EQ(report->reason, "pid 7 was silent");
}

// Proves that a storm of events that overtakes the reader does not hide the end.
TEST_F(LibwardenReset, LappedFollowerGetsItsReport) {
  start_with([this] {
    wardend_->announce(41, 1);
    wardend_->finish(41, 1, shm::ResetResult::kOk);
    for (std::uint32_t i = 0; i < 2 * shm::kEventCapacity; ++i) wardend_->publish({.kind = shm::EventKind::kDevice});
    return started();
  });
  const auto session = attach();
  const auto report = warm_reset(*session);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->result, ResetResult::kOk);
}

}  // namespace
}  // namespace warden
