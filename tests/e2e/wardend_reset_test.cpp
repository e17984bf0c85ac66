// SPDX-License-Identifier: Apache-2.0
// Whole resets: simulator, daemon and listeners as processes, asked for through libwarden.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <warden/device.h>
#include <warden/reset.h>

#include <array>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/e2e/wardend_stack.h"

namespace warden::test {
namespace {

using std::chrono::milliseconds;

constexpr Tile kTensix{1, 1};
constexpr CardAddress kSomewhere{0x20000};

Process start_listener(const Stack& stack, const std::string& mode) {
  Process listener({WARDEND_LISTENER, stack.socket_path(), "listener-" + mode, mode});
  EXPECT_EQ(listener.read_line(), "listening");
  return listener;
}

struct Ask {
  milliseconds timeout = std::chrono::seconds(2);
  milliseconds extension_cap = std::chrono::seconds(30);
  OnTimeout on_timeout = OnTimeout::kProceed;
  OnConflict on_conflict = OnConflict::kWait;
};

ResetReport reset(Stack& stack, const Ask& ask = {}) {
  const auto session = stack.attach("resetter");
  WarmResetOptions options;
  options.timeout = ask.timeout;
  options.extension_cap = ask.extension_cap;
  options.on_timeout = ask.on_timeout;
  options.on_conflict = ask.on_conflict;
  const auto report = warm_reset(*session, {}, options);
  EXPECT_TRUE(report) << report.error().message << "\n" << stack.daemon_log();
  return report ? *report : ResetReport();
}

const ListenerOutcome* outcome_of(const ResetReport& report, int pid) {
  for (const ListenerOutcome& listener : report.listeners) {
    if (listener.pid == pid) return &listener;
  }
  return nullptr;
}

std::string outcome_text(const ResetReport& report, int pid) {
  const ListenerOutcome* listener = outcome_of(report, pid);
  return listener != nullptr ? listener->outcome : "not in the report: " + report.json;
}

// The slice through everything: a listener acknowledges, the card is reset once and proven so, memory is lost, the
// listener hears the truth, and no access of a client met the reset.
TEST(WardendReset, PromptListenerIsHeardAndTheResetIsProven) {
  Stack stack;
  Process listener = start_listener(stack, "ack");
  const auto session = stack.attach();
  auto device = Device::open(session, stack.card_name());
  ASSERT_TRUE(device) << device.error().message;
  const std::array<std::byte, 4> pattern{std::byte{0xAA}, std::byte{0x55}, std::byte{0x12}, std::byte{0x34}};
  ASSERT_TRUE(device->write(kTensix, kSomewhere, pattern));

  const ResetReport report = reset(stack);
  EXPECT_EQ(report.result, ResetResult::kOk) << report.json;
  EXPECT_EQ(report.devices, std::vector<std::string>{stack.card_name()});
  EXPECT_EQ(outcome_text(report, listener.pid()), "acknowledged");
  ASSERT_EQ(report.phases.size(), 4U) << report.json;
  EXPECT_FALSE(report.evidence.empty());
  for (const ResetEvidence& piece : report.evidence) EXPECT_TRUE(piece.passed) << piece.name;
  EXPECT_EQ(listener.read_line(), "announced " + std::to_string(report.reset_id));
  EXPECT_EQ(listener.read_line(), "finished " + std::to_string(report.reset_id) + " ok");

  std::array<std::byte, 4> now{};
  const Status stale = device->read(kTensix, kSomewhere, now);
  ASSERT_FALSE(stale);
  EXPECT_EQ(stale.error().code, Code::kStale);
  auto again = Device::open(session, "0");
  ASSERT_TRUE(again) << again.error().message;
  ASSERT_TRUE(again->read(kTensix, kSomewhere, now));
  EXPECT_NE(now, pattern);
  const auto stats = stack.card_stats();
  EXPECT_EQ(stats["resets"]["asic"], 1) << stats.dump();
  EXPECT_EQ(stats["bar_accesses_during_reset"], 0) << stats.dump();
}

// A card that answers and does nothing is reported as failed everywhere, and is not handed out until a later reset
// has succeeded.
TEST(WardendReset, IgnoredResetIsFailedEverywhere) {
  Stack stack;
  Process listener = start_listener(stack, "ack");
  stack.set_fault("reset-ignored");
  const ResetReport report = reset(stack);
  EXPECT_EQ(report.result, ResetResult::kFailed) << report.json;
  EXPECT_FALSE(report.reason.empty());
  ASSERT_TRUE(listener.read_line());
  EXPECT_EQ(listener.read_line(), "finished " + std::to_string(report.reset_id) + " failed");
  const auto session = stack.attach();
  EXPECT_NE(session->devices_json()->find("\"failed\""), std::string::npos) << *session->devices_json();
  const auto refused = Device::open(session, stack.card_name());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kFailed);

  stack.set_fault("none");
  EXPECT_EQ(reset(stack).result, ResetResult::kOk);
  EXPECT_TRUE(Device::open(session, stack.card_name()));
}

// Policy proceed: the reset happens although a listener stays silent, which the report says of it.
TEST(WardendReset, SilentListenerUnderProceed) {
  Stack stack;
  Process listener = start_listener(stack, "silent");
  const ResetReport report = reset(stack, {.timeout = milliseconds(100), .on_timeout = OnTimeout::kProceed});
  EXPECT_EQ(report.result, ResetResult::kOk) << report.json;
  EXPECT_EQ(outcome_text(report, listener.pid()), "timed_out");
}

// Policy abort: the card is left alone, as its own counter shows, handles stay good, and the listener is told.
TEST(WardendReset, SilentListenerUnderAbort) {
  Stack stack;
  Process listener = start_listener(stack, "silent");
  const auto session = stack.attach();
  auto device = Device::open(session, stack.card_name());
  ASSERT_TRUE(device);
  const ResetReport report = reset(stack, {.timeout = milliseconds(100), .on_timeout = OnTimeout::kAbort});
  EXPECT_EQ(report.result, ResetResult::kAborted) << report.json;
  EXPECT_NE(report.reason.find(std::to_string(listener.pid())), std::string::npos) << report.reason;
  EXPECT_EQ(stack.card_stats()["resets"]["asic"], 0);
  std::array<std::byte, 4> bytes{};
  EXPECT_TRUE(device->read(kTensix, kSomewhere, bytes));
  ASSERT_TRUE(listener.read_line());
  EXPECT_EQ(listener.read_line(), "finished " + std::to_string(report.reset_id) + " aborted");
}

// Policy kill: who stays silent is dead before the card is touched.
TEST(WardendReset, SilentListenerUnderKill) {
  Stack stack;
  Process listener = start_listener(stack, "silent");
  const ResetReport report = reset(stack, {.timeout = milliseconds(100), .on_timeout = OnTimeout::kKill});
  EXPECT_EQ(report.result, ResetResult::kOk) << report.json;
  EXPECT_EQ(outcome_text(report, listener.pid()), "timed_out");
  EXPECT_EQ(listener.wait(), 128 + SIGKILL);
}

// A listener that dies while it is waited for counts as answered: with a timeout that no test could sit out, the
// reset still ends.
TEST(WardendReset, DeathWhileAwaitedEndsTheWait) {
  Stack stack;
  Process listener = start_listener(stack, "silent");
  auto report = std::async(std::launch::async, [&] { return reset(stack, {.timeout = std::chrono::hours(1)}); });
  ASSERT_TRUE(listener.read_line());  // it was told
  listener.signal(SIGKILL);
  ASSERT_EQ(report.wait_for(kDeadline), std::future_status::ready);
  const ResetReport result = report.get();
  EXPECT_EQ(result.result, ResetResult::kOk) << result.json;
  EXPECT_EQ(outcome_text(result, listener.pid()), "died");
}

// More time is given up to the cap and no further, and the report says how much.
TEST(WardendReset, ExtensionUpToTheCap) {
  Stack stack;
  Process listener = start_listener(stack, "extend");
  const ResetReport report = reset(
      stack, {.timeout = milliseconds(1000), .extension_cap = milliseconds(150), .on_timeout = OnTimeout::kAbort});
  EXPECT_EQ(listener.read_line(), "granted 150");
  EXPECT_EQ(report.result, ResetResult::kAborted);
  const ListenerOutcome* outcome = outcome_of(report, listener.pid());
  ASSERT_NE(outcome, nullptr) << report.json;
  EXPECT_EQ(outcome->extended_ms, 150U);
  EXPECT_GE(outcome->duration_us, 1'150'000U);  // it did get the time
}

// Of two resets at once, the second waits for its turn by default.
TEST(WardendReset, SecondResetWaits) {
  Stack stack;
  Process listener = start_listener(stack, "silent");
  auto first = std::async(std::launch::async, [&] { return reset(stack, {.timeout = milliseconds(300)}); });
  ASSERT_TRUE(listener.read_line());
  const ResetReport second = reset(stack, {.timeout = milliseconds(10)});
  EXPECT_EQ(first.get().result, ResetResult::kOk);
  EXPECT_EQ(second.result, ResetResult::kOk);
  EXPECT_EQ(stack.card_stats()["resets"]["asic"], 2);
}

// ... or is refused at once, if it asked for that.
TEST(WardendReset, SecondResetIsRefused) {
  Stack stack;
  Process listener = start_listener(stack, "silent");
  auto first = std::async(std::launch::async, [&] { return reset(stack, {.timeout = std::chrono::hours(1)}); });
  ASSERT_TRUE(listener.read_line());
  const ResetReport second = reset(stack, {.on_conflict = OnConflict::kRefuse});
  EXPECT_EQ(second.result, ResetResult::kRefused);
  listener.signal(SIGKILL);
  EXPECT_EQ(first.get().result, ResetResult::kOk);
}

// Resets of no, unknown and doubled devices are refused with the known names, before anybody hears of them.
TEST(WardendReset, UnknownAndDoubledDevices) {
  Stack stack;
  const auto session = stack.attach();
  const auto unknown = warm_reset(*session, {"vfio-user:/nowhere"});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, Code::kNotFound);
  EXPECT_NE(unknown.error().message.find(stack.card_name()), std::string::npos) << unknown.error().message;
  const auto doubled = warm_reset(*session, {"0", stack.card_name()});
  ASSERT_FALSE(doubled);
  EXPECT_EQ(doubled.error().code, Code::kInvalidArgument);
  EXPECT_EQ(stack.card_stats()["resets"]["asic"], 0);
}

// Several cards are one transaction, and each is reset.
TEST(WardendReset, TwoCardsTogether) {
  Stack stack({.board = "mesh:1x2", .card_count = 2});
  Process listener = start_listener(stack, "ack");
  const ResetReport report = reset(stack);
  EXPECT_EQ(report.result, ResetResult::kOk) << report.json;
  EXPECT_EQ(report.devices.size(), 2U);
  EXPECT_EQ(stack.card_stats(0)["resets"]["asic"], 1);
  EXPECT_EQ(stack.card_stats(1)["resets"]["asic"], 1);
}

// Listings name the card, its state and clocks, and who has it open.
TEST(WardendReset, ListingsTellWhoHoldsWhat) {
  Stack stack;
  const auto session = stack.attach("holder");
  auto device = Device::open(session, stack.card_name());
  ASSERT_TRUE(device);
  const auto devices = nlohmann::json::parse(*session->devices_json());
  ASSERT_EQ(devices.size(), 1U);
  EXPECT_EQ(devices[0]["name"], stack.card_name());
  EXPECT_EQ(devices[0]["chip"], "wormhole");
  EXPECT_EQ(devices[0]["state"], "ready");
  EXPECT_GT(devices[0]["aiclk"].get<int>(), 0);
  ASSERT_EQ(devices[0]["holders"].size(), 1U);
  EXPECT_EQ(devices[0]["holders"][0]["name"], "holder");
  const auto sessions = nlohmann::json::parse(*session->sessions_json());
  ASSERT_EQ(sessions.size(), 1U);
  EXPECT_EQ(sessions[0]["pid"], ::getpid());
  EXPECT_EQ(sessions[0]["operator"], true);
}

// SIGTERM in the middle of a reset: listeners still hear a result, and the daemon ends well.
TEST(WardendReset, StopFinishesTheResetUnderWay) {
  Stack stack;
  Process listener = start_listener(stack, "silent");
  auto report = std::async(std::launch::async, [&] { return reset(stack, {.timeout = std::chrono::hours(1)}); });
  const auto announced = listener.read_line();
  ASSERT_TRUE(announced);
  stack.daemon().signal(SIGTERM);
  const auto finished = listener.read_line();
  ASSERT_TRUE(finished);
  EXPECT_EQ(finished->substr(0, 8), "finished");
  EXPECT_EQ(stack.daemon().wait(), 0);
  stack.start_daemon();
  (void)report.get();
}

}  // namespace
}  // namespace warden::test
