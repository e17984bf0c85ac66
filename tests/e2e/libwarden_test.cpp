// SPDX-License-Identifier: Apache-2.0
// libwarden against the real wardend and a simulated card, each a process of its own.
#include <gtest/gtest.h>

#include <array>
#include <csignal>
#include <mutex>
#include <vector>

#include <warden/device.h>
#include <warden/listener.h>
#include <warden/reset.h>

#include "tests/support/host.h"
#include "tests/unit/shm_test_support.h"
#include "tools/libwarden/client.h"

namespace warden {
namespace {

using test::eventually;

constexpr Tile kTensix{.x = 1, .y = 2};

class LibwardenEndToEnd : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(host_.start()) << host_.why(); }
  [[nodiscard]] std::shared_ptr<Session> attach() const {
    AttachOptions options;
    options.socket_path = host_.socket_path();
    options.timeout = test::kDeadline;
    auto session = Session::attach(options);
    if (!session) throw std::runtime_error(session.error().message);
    return *session;
  }
  static int worker_pid(Session& session) {
    return static_cast<int>(session.client().connection()->directory().header().worker_pid.load());
  }
  ListenerCallbacks note() {
    return {.announce =
                [this](const ResetAnnouncement& announcement) {
                  const std::lock_guard lock(mutex_);
                  announced_.push_back(announcement);
                },
            .finish =
                [this](const ResetOutcome& outcome) {
                  const std::lock_guard lock(mutex_);
                  finished_.push_back(outcome);
                }};
  }
  [[nodiscard]] std::size_t finished_count() {
    const std::lock_guard lock(mutex_);
    return finished_.size();
  }

  test::Host host_;
  std::mutex mutex_;
  std::vector<ResetAnnouncement> announced_;
  std::vector<ResetOutcome> finished_;
};

// Proves that what is written to a tile is read back, over several messages, and that a reset makes the handle stale.
TEST_F(LibwardenEndToEnd, DataSurviveUntilTheResetAndTheHandleDoesNot) {
  const auto session = attach();
  auto device = Device::open(session, "0");
  ASSERT_TRUE(device) << device.error().message;
  std::vector<std::byte> data(100'001);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i % 253);
  ASSERT_TRUE(device->write(kTensix, {0x1003}, data));
  std::vector<std::byte> back(data.size());
  const auto read = device->read(kTensix, {0x1003}, back);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(back, data);
  const auto report = warm_reset(*session);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->result, ResetResult::kOk) << report->reason;
  EXPECT_FALSE(report->evidence.empty());
  const auto stale = device->read32(kTensix, {0});
  ASSERT_FALSE(stale);
  EXPECT_EQ(stale.error().code, Code::kStale) << stale.error().message;
  EXPECT_TRUE(Device::open(session, "0")->read32(kTensix, {0}));
}

// Proves that listeners are announced, acknowledge, and hear the same result that the report tells.
TEST_F(LibwardenEndToEnd, ListenerTakesPartInAReset) {
  const auto listening = attach();
  const auto listener = Listener::start(listening, note());
  ASSERT_TRUE(listener) << listener.error().message;
  std::vector<std::string> messages;
  WarmResetOptions options;
  options.timeout = test::kDeadline;
  options.progress = [&](const ResetProgress& progress) { messages.push_back(progress.message); };
  const auto operating = attach();
  const auto report = warm_reset(*operating, {}, options);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->result, ResetResult::kOk) << report->reason;
  ASSERT_EQ(report->listeners.size(), 1U);
  EXPECT_EQ(report->listeners[0].outcome, "acknowledged");
  EXPECT_EQ(report->listeners[0].pid, ::getpid());
  ASSERT_TRUE(eventually([&] { return finished_count() == 1; }));
  EXPECT_EQ(finished_[0].result, ResetResult::kOk);
  EXPECT_EQ(finished_[0].reset_id, report->reset_id);
  ASSERT_EQ(announced_.size(), 1U);
  EXPECT_TRUE(announced_[0].owed);
  EXPECT_FALSE(messages.empty());
}

// Proves that a worker killed while an acknowledgement is awaited costs neither listener nor asker anything: the
// reset goes on with the next worker.
TEST_F(LibwardenEndToEnd, WorkerKilledInTheMiddleOfAReset) {
  const auto listening = attach();
  ListenerCallbacks callbacks = note();
  callbacks.announce = [&, announce = callbacks.announce](const ResetAnnouncement& announcement) {
    announce(announcement);
    const int pid = worker_pid(*listening);
    ::kill(pid, SIGKILL);
    EXPECT_TRUE(eventually([&] { return worker_pid(*listening) != pid; }));
  };
  const auto listener = Listener::start(listening, callbacks);
  ASSERT_TRUE(listener) << listener.error().message;
  const auto operating = attach();
  WarmResetOptions options;
  options.timeout = test::kDeadline;
  const auto report = warm_reset(*operating, {}, options);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->result, ResetResult::kOk) << report->reason;
  ASSERT_TRUE(eventually([&] { return finished_count() == 1; }));
  EXPECT_EQ(announced_.size(), 1U) << "announced once, however many workers";
}

// Proves that after a restart of the whole daemon sessions and listeners come back by themselves.
TEST_F(LibwardenEndToEnd, DaemonRestartIsSurvived) {
  const auto session = attach();
  const auto listener = Listener::start(session, note());
  ASSERT_TRUE(listener) << listener.error().message;
  auto device = Device::open(session, "0");
  ASSERT_TRUE(device) << device.error().message;
  ASSERT_TRUE(host_.start_daemon()) << host_.why();
  EXPECT_EQ(device->read32(kTensix, {0}).error().code, Code::kStale);
  const auto report = warm_reset(*attach());
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->result, ResetResult::kOk) << report->reason;
  EXPECT_TRUE(eventually([&] { return finished_count() == 1; }));
}

}  // namespace
}  // namespace warden
