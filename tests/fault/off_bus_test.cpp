// SPDX-License-Identifier: Apache-2.0
// A card that is gone, in every phase of a reset: the reset fails and says why, everybody hears so, nobody waits for
// ever, and a card that comes back can be reset again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <warden/device.h>
#include <warden/listener.h>

#include <condition_variable>
#include <csignal>
#include <mutex>
#include <nlohmann/json.hpp>

#include "tests/support/host.h"

namespace warden::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr const char* kOffTheBus = "the card is off the bus";
// That the peer closed the connection or, since wardend last tried to open the card again, that it was refused.
testing::Matcher<std::string> lost_connection() { return testing::ContainsRegex("[Cc]onnection"); }

// Answers when the test says so: until then the reset stays announced.
class ListenerByHand {
 public:
  explicit ListenerByHand(const std::string& socket_path) {
    auto session = Session::attach({.socket_path = socket_path, .name = "by-hand"});
    if (!session) throw std::runtime_error(session.error().message);
    ListenerCallbacks callbacks;
    callbacks.announce = [this](const ResetAnnouncement& told) { note([&] { announced_ = told.reset_id; }); };
    callbacks.finish = [this](const ResetOutcome& told) { note([&] { outcome_ = told; }); };
    auto listener = Listener::start(*session, std::move(callbacks), {.devices = {}, .acknowledge_by_hand = true});
    if (!listener) throw std::runtime_error(listener.error().message);
    listener_ = std::move(*listener);
  }
  ListenerByHand(const ListenerByHand&) = delete;
  ListenerByHand& operator=(const ListenerByHand&) = delete;
  ~ListenerByHand() = default;

  [[nodiscard]] bool await_announcement() {
    return await([this] { return announced_ != 0; });
  }
  [[nodiscard]] Status acknowledge() { return listener_->acknowledge(announced_); }
  [[nodiscard]] std::optional<ResetOutcome> await_outcome() {
    (void)await([this] { return outcome_.has_value(); });
    const std::scoped_lock lock(mutex_);
    return outcome_;
  }

 private:
  template <typename Do>
  void note(Do&& change) {
    {
      const std::scoped_lock lock(mutex_);
      change();
    }
    changed_.notify_all();
  }
  template <typename Condition>
  bool await(Condition&& condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kDeadline, condition);
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t announced_ = 0;
  std::optional<ResetOutcome> outcome_;
  std::unique_ptr<Listener> listener_;  // last: its thread uses what is above
};

class GoneCard : public testing::Test {
 protected:
  void start(const std::vector<std::string>& simulator_options = {}) {
    ASSERT_TRUE(host_.start_simulator(simulator_options)) << host_.why();
    ASSERT_TRUE(host_.start_daemon()) << host_.why();
    prompt_.emplace(host_.run("listener_example", {"pause"}));
    ASSERT_TRUE(prompt_->wait_for_line("attached")) << prompt_->output();
  }

  void fault(const std::string& name) { ASSERT_TRUE(host_.simulator({"fault", "0", name})) << name; }

  void kill_simulator() {
    host_.simulator_process().signal(SIGKILL);
    ASSERT_EQ(host_.simulator_process().wait(), 128 + SIGKILL);
  }

  // With a timeout that no test could sit out: nothing but answers lets it go on.
  [[nodiscard]] Process start_reset() const { return host_.run("warden", {"reset", "--json", "--timeout", "3600s"}); }

  // The step of the driver's that wardend's log tells of before it is taken.
  [[nodiscard]] bool await_step(const std::string& step) {
    return host_.daemon().wait_for_line("chip0.sock: " + step).has_value();
  }

  [[nodiscard]] std::string device_state() const {
    Process warden = host_.run("warden", {"devices", "--json"});
    EXPECT_EQ(warden.wait(), 0) << warden.output();
    return json::parse(warden.out()).at(0).at("state");
  }

  // Status 1, `failed` with a reason that names the card and what became of it, the listener told the same.
  void expect_failed(Process& reset, const testing::Matcher<std::string>& why) {
    EXPECT_EQ(reset.wait(), 1) << reset.output() << host_.daemon().output();
    const json report = json::parse(reset.out(), nullptr, false);
    ASSERT_TRUE(report.is_object()) << reset.output();
    EXPECT_EQ(report.at("result"), "failed") << report;
    const std::string reason = report.at("reason");
    EXPECT_THAT(reason, HasSubstr("chip0.sock"));
    EXPECT_THAT(reason, why);
    const auto told = prompt_->wait_for_line("POST_RESET received");
    ASSERT_TRUE(told) << prompt_->output();
    EXPECT_THAT(*told, testing::AllOf(HasSubstr(": failed "), why));  // long reasons reach listeners cut short
  }

  // The card is there again: a reset ends well, and the card can be used.
  void expect_healed() {
    fault("none");
    Process reset = host_.run("warden", {"reset"});
    EXPECT_EQ(reset.wait(), 0) << reset.output() << host_.daemon().output();
    EXPECT_EQ(device_state(), "ready");
    Process peek = host_.run("warden", {"peek", "0", "1,1", "0x20000"});
    EXPECT_EQ(peek.wait(), 0) << peek.output();
  }

  Host host_;
  std::optional<Process> prompt_;
};

// Proves that a card gone before anybody was told is found out before anything is done to it.
TEST_F(GoneCard, BeforeTheAnnouncement) {
  start();
  fault("off-bus");
  Process reset = start_reset();
  expect_failed(reset, HasSubstr(kOffTheBus));
  EXPECT_EQ(device_state(), "failed");
  expect_healed();
}

// Proves that a card that goes while answers are awaited changes nothing about that: everybody is still waited for,
// and the reset fails after the last answer.
TEST_F(GoneCard, WhileAnnounced) {
  start();
  {
    ListenerByHand listener(host_.socket_path());
    Process reset = start_reset();
    ASSERT_TRUE(listener.await_announcement()) << host_.daemon().output();
    fault("off-bus");
    EXPECT_FALSE(reset.has_ended());
    ASSERT_TRUE(listener.acknowledge());
    expect_failed(reset, HasSubstr(kOffTheBus));
    const auto outcome = listener.await_outcome();
    ASSERT_TRUE(outcome);
    EXPECT_EQ(outcome->result, ResetResult::kFailed);
    EXPECT_THAT(outcome->reason, HasSubstr(kOffTheBus));
  }
  EXPECT_EQ(device_state(), "failed");
  expect_healed();
}

// Proves that a card that never returns from its reset is awaited for a bounded time. The reset is made to hang, so
// that the card is certain to be in it when it goes.
TEST_F(GoneCard, WhileResetting) {
  start({"--fault", "reset-hangs"});
  Process reset = start_reset();
  ASSERT_TRUE(await_step("wait")) << host_.daemon().output();
  fault("off-bus");
  expect_failed(reset, HasSubstr(kOffTheBus));
  EXPECT_EQ(device_state(), "failed");
  expect_healed();
}

// Proves that a card that came back and goes while it is looked at is not blamed for a slow heart. Firmware that hangs
// keeps the verification going until the card has gone.
TEST_F(GoneCard, WhileVerifying) {
  start({"--fault", "reset-hangs"});
  Process reset = start_reset();
  ASSERT_TRUE(await_step("wait")) << host_.daemon().output();
  fault("arc-hung");  // which ends the reset
  ASSERT_TRUE(await_step("verify")) << host_.daemon().output();
  fault("off-bus");
  expect_failed(reset, HasSubstr(kOffTheBus));
  EXPECT_EQ(device_state(), "failed");
  expect_healed();
}

// Proves that of a simulator (or any vfio-user server) that is killed nobody waits for anything: the reset fails, the
// device is lost, and wardend lives on and says so to whoever comes next.
class GoneServer : public GoneCard {
 protected:
  void expect_lost() {
    EXPECT_EQ(device_state(), "lost") << host_.daemon().output();
    Process peek = host_.run("warden", {"peek", "0", "1,1", "0"});
    EXPECT_EQ(peek.wait(), 1) << peek.output();
    EXPECT_THAT(peek.err(), HasSubstr("is lost"));
    Process again = start_reset();
    expect_failed(again, lost_connection());
    EXPECT_EQ(device_state(), "lost");
    EXPECT_FALSE(host_.daemon().has_ended());
  }
};

TEST_F(GoneServer, WhileAnnounced) {
  start();
  {
    ListenerByHand listener(host_.socket_path());
    Process reset = start_reset();
    ASSERT_TRUE(listener.await_announcement()) << host_.daemon().output();
    kill_simulator();
    ASSERT_TRUE(listener.acknowledge());
    expect_failed(reset, lost_connection());
    const auto outcome = listener.await_outcome();
    ASSERT_TRUE(outcome);
    EXPECT_EQ(outcome->result, ResetResult::kFailed);
  }
  expect_lost();
}

TEST_F(GoneServer, WhileResetting) {
  start({"--fault", "reset-hangs"});
  Process reset = start_reset();
  ASSERT_TRUE(await_step("wait")) << host_.daemon().output();
  kill_simulator();
  expect_failed(reset, lost_connection());
  expect_lost();
}

// Proves that nobody has to touch the card to find out: listing it is enough.
TEST_F(GoneServer, WhileIdle) {
  start();
  kill_simulator();
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  while (device_state() != "lost") {  // what was read within the last second may still be shown
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << host_.daemon().output();
  }
  expect_lost();
}

// Proves that a card whose server comes back is opened again by itself, that handles from before stay stale, and that
// it can be used and reset as before.
TEST_F(GoneServer, ComesBack) {
  start();
  const auto serving = host_.daemon().wait_for_line("worker ");
  ASSERT_TRUE(serving);
  auto session = Session::attach({.socket_path = host_.socket_path(), .name = "holder"});
  ASSERT_TRUE(session) << session.error().message;
  auto device = Device::open(*session, "0");
  ASSERT_TRUE(device) << device.error().message;
  Process events = host_.run("warden", {"events"});
  ASSERT_TRUE(eventually([&] {  // listing opens a session, which is an event
    (void)device_state();
    return events.output().find("session") != std::string::npos;
  }));
  kill_simulator();
  ASSERT_TRUE(eventually([&] { return device_state() == "lost"; })) << host_.daemon().output();
  ASSERT_TRUE(host_.start_simulator()) << host_.why();
  ASSERT_TRUE(host_.daemon().wait_for_line("chip0.sock is back")) << host_.daemon().output();
  EXPECT_TRUE(events.wait_for_line("chip0.sock lost")) << events.output();
  EXPECT_TRUE(events.wait_for_line("chip0.sock ready")) << events.output();
  EXPECT_EQ(device_state(), "ready");
  const auto word = device->read32({1, 1}, CardAddress{0x20000});
  ASSERT_FALSE(word);
  EXPECT_EQ(word.error().code, Code::kStale) << word.error().message;
  expect_healed();
  // And the next time, with wardend's worker killed meanwhile.
  kill_simulator();
  ASSERT_TRUE(eventually([&] { return device_state() == "lost"; })) << host_.daemon().output();
  ::kill(std::stoi(serving->substr(serving->find("worker ") + 7)), SIGKILL);
  ASSERT_TRUE(host_.daemon().wait_for_line("worker ")) << host_.daemon().output();
  ASSERT_TRUE(host_.start_simulator()) << host_.why();
  ASSERT_TRUE(host_.daemon().wait_for_line("chip0.sock is back")) << host_.daemon().output();
  expect_healed();
}

}  // namespace
}  // namespace warden::test
