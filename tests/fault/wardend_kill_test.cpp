// SPDX-License-Identifier: Apache-2.0
// wardend killed at every stage of a reset: whoever was told of it hears its end, and the card is never let go while
// the keeper lives.
#include <gtest/gtest.h>
#include <unistd.h>
#include <warden/listener.h>
#include <warden/reset.h>

#include <csignal>
#include <filesystem>
#include <future>
#include <map>
#include <mutex>
#include <random>

#include "tests/e2e/wardend_stack.h"

namespace warden::test {
namespace {

using std::chrono::milliseconds;

int worker_pid(RawClient& client) { return static_cast<int>(client.directory().header().worker_pid.load()); }

// Kills the worker and waits for the next one.
void replace_worker(RawClient& client) {
  const std::uint32_t starts = client.directory().header().worker_starts.load();
  ASSERT_EQ(::kill(worker_pid(client), SIGKILL), 0);
  ASSERT_TRUE(eventually([&] { return client.directory().header().worker_starts.load() != starts; }));
}

// The first event from `number` on that `wanted` says yes to.
template <typename Wanted>
std::optional<shm::Event> await_event(RawClient& client, std::uint64_t& number, Wanted wanted) {
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  while (std::chrono::steady_clock::now() < deadline) {
    const auto event = client.directory().event(number);
    if (!event) return std::nullopt;
    if (!*event) {
      client.directory().wait_for_event(number, milliseconds(100));
      continue;
    }
    ++number;
    if (wanted(**event)) return *event;
  }
  return std::nullopt;
}

std::future<Result<ResetReport>> reset_async(Stack& stack, milliseconds timeout = std::chrono::hours(1)) {
  return std::async(std::launch::async, [&stack, timeout]() -> Result<ResetReport> {
    WarmResetOptions options;
    options.timeout = timeout;
    return warm_reset(*stack.attach("resetter"), {}, options);
  });
}

// A listener on libwarden's own thread that counts what it hears for each reset.
class CountingListener {
 public:
  explicit CountingListener(std::shared_ptr<Session> session) {
    ListenerCallbacks callbacks;
    callbacks.announce = [this](const ResetAnnouncement& announcement) { note(announcement.reset_id, 1, 0); };
    callbacks.finish = [this](const ResetOutcome& outcome) { note(outcome.reset_id, 0, 1); };
    auto started = Listener::start(std::move(session), std::move(callbacks));
    EXPECT_TRUE(started) << started.error().message;
    if (started) listener_ = std::move(*started);
  }
  // announced, finished
  [[nodiscard]] std::pair<int, int> heard(std::uint64_t reset_id) {
    const std::scoped_lock lock(mutex_);
    return heard_[reset_id];
  }

 private:
  void note(std::uint64_t reset_id, int announced, int finished) {
    const std::scoped_lock lock(mutex_);
    heard_[reset_id].first += announced;
    heard_[reset_id].second += finished;
  }
  std::mutex mutex_;
  std::map<std::uint64_t, std::pair<int, int>> heard_;
  std::unique_ptr<Listener> listener_;
};

class WardendKilledIn : public testing::TestWithParam<shm::ResetPhase> {};

// The worker is killed as soon as a phase is published. The next worker ends the reset with success, the listener
// hears one announcement and one result, and the card was never closed.
TEST_P(WardendKilledIn, ThisPhaseTheResetStillEnds) {
  Stack stack;
  RawClient watcher(stack.socket_path());
  ASSERT_TRUE(watcher.greet());
  CountingListener listener(stack.attach("listener"));
  std::uint64_t next = watcher.directory().event_count();
  auto report = reset_async(stack);
  const auto reached = await_event(watcher, next, [](const shm::Event& event) {
    const bool in_phase = event.kind == shm::EventKind::kAnnounce || event.kind == shm::EventKind::kPhase;
    return in_phase && event.phase == GetParam();
  });
  ASSERT_TRUE(reached) << stack.daemon_log();
  replace_worker(watcher);
  ASSERT_EQ(report.wait_for(kDeadline), std::future_status::ready) << stack.daemon_log();
  const Result<ResetReport> result = report.get();
  ASSERT_TRUE(result) << result.error().message << stack.daemon_log();
  EXPECT_EQ(result->result, ResetResult::kOk) << result->json << stack.daemon_log();
  EXPECT_TRUE(eventually([&] { return listener.heard(result->reset_id) == std::pair(1, 1); }))
      << listener.heard(result->reset_id).first << " " << listener.heard(result->reset_id).second;
  EXPECT_EQ(stack.card_stats()["resets"]["close"], 0);
}

INSTANTIATE_TEST_SUITE_P(EveryPhase, WardendKilledIn,
                         testing::Values(shm::ResetPhase::kAnnounced, shm::ResetPhase::kQuiesced,
                                         shm::ResetPhase::kResetting, shm::ResetPhase::kVerified),
                         [](const auto& phase) { return "Phase" + std::to_string(static_cast<int>(phase.param)); });

// The worker dies while a listener still owes: the next one waits on for that very listener, whose answer counts.
TEST(WardendKilled, WhileWaitingTheNextWorkerWaitsOn) {
  Stack stack;
  RawClient listener(stack.socket_path());
  ASSERT_TRUE(listener.greet());
  const shm::Listen everything{~std::uint64_t{0}};
  ASSERT_TRUE(shm::send_packet(listener.socket(), shm::request_header(shm::MessageKind::kListen, 2),
                               std::as_bytes(std::span(&everything, 1))));
  ASSERT_TRUE(shm::receive_packet(listener.socket(), kDeadline));
  std::uint64_t next = listener.directory().event_count();
  auto report = reset_async(stack);
  const auto announced =
      await_event(listener, next, [](const shm::Event& event) { return event.kind == shm::EventKind::kAnnounce; });
  ASSERT_TRUE(announced);
  replace_worker(listener);
  EXPECT_EQ(listener.directory().listener(listener.welcome().slot).owed_reset_id.load(), announced->reset_id);
  EXPECT_EQ(stack.card_stats()["resets"]["asic"], 0) << "it did not wait";
  listener.ledger().acknowledge(announced->reset_id);
  listener.doorbell().ring(listener.directory().header().acks_target.load());
  const Result<ResetReport> result = report.get();
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->result, ResetResult::kOk) << result->json;
  ASSERT_EQ(result->listeners.size(), 1U) << result->json;
  EXPECT_EQ(result->listeners[0].outcome, "acknowledged");
}

// Kills at random moments, many times over: every reset ends with success and is heard of once.
TEST(WardendKilled, AtRandomMoments) {
  Stack stack({.reset_duration_ms = 20});
  RawClient watcher(stack.socket_path());
  ASSERT_TRUE(watcher.greet());
  CountingListener listener(stack.attach("listener"));
  std::mt19937 random(4711);  // the same moments in every run, as far as the machine allows
  std::uniform_int_distribution<useconds_t> moment_us(0, 900'000);
  for (int round = 0; round < 12; ++round) {
    auto report = reset_async(stack);
    ::usleep(moment_us(random));
    replace_worker(watcher);
    ASSERT_EQ(report.wait_for(kDeadline), std::future_status::ready) << "round " << round << stack.daemon_log();
    const Result<ResetReport> result = report.get();
    ASSERT_TRUE(result) << result.error().message << stack.daemon_log();
    ASSERT_EQ(result->result, ResetResult::kOk) << result->json << stack.daemon_log();
    ASSERT_TRUE(eventually([&] { return listener.heard(result->reset_id) == std::pair(1, 1); })) << round;
  }
  EXPECT_EQ(stack.card_stats()["resets"]["close"], 0);
}

// Sessions opened before a worker's death go on after it: same id, requests answered, and an end that is noticed.
TEST(WardendKilled, SessionsOutliveTheWorker) {
  Stack stack;
  RawClient watcher(stack.socket_path());
  ASSERT_TRUE(watcher.greet());
  const auto session = stack.attach("survivor");
  const std::uint64_t id = session->id();
  replace_worker(watcher);
  EXPECT_TRUE(session->devices());
  EXPECT_EQ(session->id(), id);
  const auto newcomer = stack.attach("newcomer");
  EXPECT_GT(newcomer->id(), id);
  const std::uint32_t slot = watcher.welcome().slot;
  EXPECT_NE(watcher.directory().session(slot).session_id.load(), 0U);
}

// Keeper and worker both killed in the middle of a reset: the asker and the listener get an end, the successor stores
// the reset as failed with the reason, and numbers go on.
TEST(WardendKilled, WithItsKeeper) {
  Stack stack({.reset_duration_ms = 500});
  RawClient watcher(stack.socket_path());
  ASSERT_TRUE(watcher.greet());
  CountingListener listener(stack.attach("listener"));
  std::uint64_t next = watcher.directory().event_count();
  auto report = reset_async(stack);
  const auto resetting =
      await_event(watcher, next, [](const shm::Event& event) { return event.phase == shm::ResetPhase::kResetting; });
  ASSERT_TRUE(resetting);
  stack.daemon().signal(SIGKILL);
  (void)stack.daemon().wait();
  EXPECT_TRUE(watcher.is_dropped()) << "the worker outlived its keeper";
  ASSERT_TRUE(eventually([&] { return stack.card_status()["client"] == false; }));
  stack.start_daemon();
  ASSERT_EQ(report.wait_for(kDeadline), std::future_status::ready);
  const Result<ResetReport> result = report.get();
  if (result) {
    EXPECT_NE(result->result, ResetResult::kOk);
  }
  EXPECT_TRUE(eventually([&] { return listener.heard(resetting->reset_id) == std::pair(1, 1); }));
  RawClient asker(stack.socket_path());
  ASSERT_TRUE(asker.greet());
  const shm::ReportRequest request{resetting->reset_id};
  ASSERT_TRUE(shm::send_packet(asker.socket(), shm::request_header(shm::MessageKind::kReport, 7),
                               std::as_bytes(std::span(&request, 1))));
  const auto answer = shm::receive_packet(asker.socket(), kDeadline);
  ASSERT_TRUE(answer);
  const auto stored = nlohmann::json::parse(reinterpret_cast<const char*>(answer->body.data()),
                                            reinterpret_cast<const char*>(answer->body.data()) + answer->body.size());
  EXPECT_EQ(stored["result"], "failed");
  EXPECT_EQ(stored["reason"], "card lost with daemon");
  auto later = reset_async(stack).get();
  ASSERT_TRUE(later) << later.error().message;
  EXPECT_GT(later->reset_id, resetting->reset_id);
  EXPECT_EQ(later->result, ResetResult::kOk) << later->json;
}

// A worker that takes over and can't write the journal serves on and refuses resets, until it can again.
TEST(WardendKilled, WithoutAJournal) {
  Stack stack;
  RawClient watcher(stack.socket_path());
  ASSERT_TRUE(watcher.greet());
  const std::string state = stack.directory() + "/state";
  std::filesystem::rename(state, state + "-away");
  replace_worker(watcher);
  EXPECT_TRUE(stack.attach()->devices());
  const auto refused = reset_async(stack).get();
  ASSERT_TRUE(refused) << refused.error().message << stack.daemon_log();
  EXPECT_EQ(refused->result, ResetResult::kRefused) << refused->json;
  EXPECT_NE(refused->reason.find("journal"), std::string::npos) << refused->json;
  EXPECT_EQ(stack.card_stats()["resets"]["asic"], 0);
  std::filesystem::rename(state + "-away", state);
  const auto done = reset_async(stack).get();
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->result, ResetResult::kOk) << done->json;
}

// A worker that dies again and again is not restarted for ever.
TEST(WardendKilled, TooOftenMakesTheKeeperGiveUp) {
  Stack stack;
  RawClient watcher(stack.socket_path());
  ASSERT_TRUE(watcher.greet());
  for (int death = 0; death < 10; ++death) replace_worker(watcher);
  ::kill(worker_pid(watcher), SIGKILL);
  EXPECT_EQ(stack.daemon().wait(), 1);
  EXPECT_NE(stack.daemon_log().find("giving up"), std::string::npos);
}

}  // namespace
}  // namespace warden::test
