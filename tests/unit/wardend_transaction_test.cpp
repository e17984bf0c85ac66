// SPDX-License-Identifier: Apache-2.0
// The reset transaction against fakes: a clock that moves when somebody waits, listeners that do as they are told,
// cards that give the verdict they were given. No process, no file, no time.
#include "tools/wardend/transaction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace warden::daemon {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::uint64_t kMs = 1'000'000;

struct ToldEvent {
  shm::EventKind kind;
  shm::ResetPhase phase;
  shm::ResetResult result;
  std::uint64_t deadline_ns;
  std::string text;
};

// Time moves only in wait(), and what is to happen at a time happens then.
class FakeHost final : public TransactionHost {
 public:
  std::uint64_t now_ns() override { return now_ns_; }
  std::uint32_t news() override { return 0; }
  void wait(std::uint32_t, std::size_t answers, std::chrono::nanoseconds bound) override {
    awaited.push_back(answers);
    now_ns_ += static_cast<std::uint64_t>(bound.count());
    ++waits;
    if (on_wait) on_wait(now_ns_ / kMs);
  }
  Status write_journal(const ResetRecord& record) override {
    if (failing_journal == record.phase) return fail(Code::kIo, "journal: No space left on device");
    journal.push_back(record);
    log.push_back("journal " + std::string(to_string(record.phase)));
    return {};
  }
  using TransactionHost::publish;
  void publish(std::span<const shm::EventDraft> drafts) override {
    ++batches;
    for (const shm::EventDraft& draft : drafts) take(draft);
  }
  void wake_followers() override {}
  void take(const shm::EventDraft& draft) {
    events.push_back({draft.kind, draft.phase, draft.result, draft.deadline_ns, std::string(draft.text)});
    if (draft.kind == shm::EventKind::kPhase) log.push_back("told " + std::string(to_string(draft.phase)));
    if (draft.kind == shm::EventKind::kAnnounce) log.emplace_back("told announce");
    if (draft.kind == shm::EventKind::kResult) log.emplace_back("told result");
  }
  void begin(const ResetRecord&) override { log.emplace_back("begin"); }
  void finish(const ResetRecord&) override { log.emplace_back("finish"); }

  [[nodiscard]] int count(shm::EventKind kind) const {
    return static_cast<int>(std::ranges::count(events, kind, &ToldEvent::kind));
  }

  std::function<void(std::uint64_t now_ms)> on_wait;
  std::optional<shm::ResetPhase> failing_journal;
  std::vector<ResetRecord> journal;
  std::vector<ToldEvent> events;
  std::vector<std::string> log;
  std::vector<std::size_t> awaited;  // by each wait()
  int waits = 0;
  int batches = 0;  // events told at once count once

 private:
  std::uint64_t now_ns_ = 1000 * kMs;
};

// What a fake listener will say; shared between the test and the participant that the transaction owns.
struct Script {
  std::uint64_t session_id = 1;
  Outcome now = Outcome::kPending;
  std::uint64_t answered_ns = 0;
  bool dies_when_killed = true;
  bool can_answer = true;
  int killed = 0;
  int settled = 0;
};

class FakeParticipant final : public Participant {
 public:
  explicit FakeParticipant(Script& script) : script_(script) {}
  std::uint64_t session_id() const noexcept override { return script_.session_id; }
  int pid() const noexcept override { return static_cast<int>(script_.session_id) * 10; }
  const std::string& name() const noexcept override { return name_; }
  Outcome look() override { return script_.now; }
  std::uint64_t answered_ns() const noexcept override { return script_.answered_ns; }
  bool can_answer() const noexcept override { return script_.can_answer; }
  Status kill() override {
    ++script_.killed;
    if (script_.dies_when_killed) script_.now = Outcome::kDied;
    return {};
  }
  void settle() noexcept override { ++script_.settled; }

 private:
  Script& script_;
  std::string name_ = "fake";
};

class FakeSource final : public ParticipantSource {
 public:
  Participants announce(const ResetRecord&) override {
    ++announced;
    return participants();
  }
  Participants resume(const ResetRecord&) override {
    ++resumed;
    return participants();
  }
  void finish(const ResetRecord& record) noexcept override { finished.push_back(record.result); }

  std::vector<Script*> scripts;
  int announced = 0;
  int resumed = 0;
  std::vector<shm::ResetResult> finished;

 private:
  Participants participants() {
    Participants list;
    for (Script* script : scripts) list.push_back(std::make_unique<FakeParticipant>(*script));
    return list;
  }
};

class FakeTarget final : public ResetTarget {
 public:
  explicit FakeTarget(FakeHost& host) : host_(host) {}
  Status quiesce(milliseconds) override {
    host_.log.emplace_back("quiesce");
    return quiet;
  }
  std::future<chip::ResetReport> start_reset(std::shared_ptr<ExternalReset> /*external*/) override {
    ++resets;
    host_.log.emplace_back("reset");
    std::promise<chip::ResetReport> promise;
    promise.set_value(verdict);
    return promise.get_future();
  }

  Status quiet;
  chip::ResetReport verdict{true, "", {{"marker", "1", "0", true}}, {}};
  int resets = 0;

 private:
  FakeHost& host_;
};

class TransactionTest : public testing::Test {
 protected:
  ResetRecord run(const ResetRecord& record, const Published& published = {}) {
    Transaction transaction({host_, {&source_}, {&target_}}, record, published);
    transaction_ = &transaction;
    return transaction.run();
  }
  static ResetRecord order(shm::TimeoutPolicy policy = shm::TimeoutPolicy::kProceed) {
    ResetRecord record;
    record.id = 41;
    record.devices = {{0, "card", 1}};
    record.cause = "test";
    record.timeout = milliseconds(100);
    record.extension_cap = milliseconds(50);
    record.on_timeout = policy;
    return record;
  }

  FakeHost host_;
  FakeSource source_;
  FakeTarget target_{host_};
  Script listener_;
  Transaction* transaction_ = nullptr;
};

// Each step is in the journal before it is taken, and told after; the result is told last.
TEST_F(TransactionTest, OrderOfThings) {
  run(order());
  EXPECT_THAT(host_.log, ElementsAre("journal announced", "begin", "told announce", "journal quiesced", "told quiesced",
                                     "quiesce", "journal resetting", "told resetting", "reset", "journal verified",
                                     "told verified", "finish", "told result", "journal idle"));
}

// Answers that are found together are told together: a thousand listeners cost those who follow one wake.
TEST_F(TransactionTest, AnswersAreToldAtOnce) {
  Script others[100];
  for (Script& other : others) {
    other.now = Outcome::kAcknowledged;
    source_.scripts.push_back(&other);
  }
  run(order());
  EXPECT_EQ(host_.count(shm::EventKind::kAcknowledged), 100);
  EXPECT_EQ(host_.batches, 1 + 1 + 3 + 1);  // announcement, answers, phases, result
}

// With nobody listening and with everybody prompt, nothing is waited for at all.
TEST_F(TransactionTest, PromptAnswersCostNoWait) {
  listener_.now = Outcome::kAcknowledged;
  source_.scripts = {&listener_};
  const ResetRecord record = run(order());
  EXPECT_EQ(record.result, shm::ResetResult::kOk);
  EXPECT_EQ(host_.waits, 0);
  ASSERT_EQ(record.listeners.size(), 1U);
  EXPECT_EQ(record.listeners[0].outcome, Outcome::kAcknowledged);
  EXPECT_EQ(listener_.settled, 1);
  EXPECT_EQ(record.phases.size(), 4U);
  EXPECT_THAT(source_.finished, ElementsAre(shm::ResetResult::kOk));
}

// The wait ends with the last answer, be it an acknowledgement, a notification or a death.
TEST_F(TransactionTest, LastAnswerEndsTheWait) {
  Script second{.session_id = 2};
  Script third{.session_id = 3};
  source_.scripts = {&listener_, &second, &third};
  host_.on_wait = [&](std::uint64_t now_ms) {
    if (now_ms >= 1010) listener_.now = Outcome::kAcknowledged;
    if (now_ms >= 1020) second.now = Outcome::kNotified;
    if (now_ms >= 1030) third.now = Outcome::kDied;
  };
  const ResetRecord record = run(order());
  EXPECT_EQ(record.result, shm::ResetResult::kOk);
  ASSERT_EQ(record.listeners.size(), 3U);
  EXPECT_EQ(record.listeners[2].outcome, Outcome::kDied);
  EXPECT_EQ(record.listeners[2].duration_us, 30'000U);
  EXPECT_EQ(record.phases[0].duration_us, 30'000U);
  EXPECT_EQ(host_.count(shm::EventKind::kDied), 1);
  EXPECT_EQ(host_.count(shm::EventKind::kNotified), 1);
}

// A listener that dies will not ring, nor will one that has answered by the time we look, and who can't answer never
// does: only the others are counted on.
TEST_F(TransactionTest, WhoIsGoneIsNotCountedOn) {
  Script second{.session_id = 2};
  Script third{.session_id = 3};
  Script mute{.session_id = 4, .can_answer = false};
  source_.scripts = {&listener_, &second, &third, &mute};
  host_.on_wait = [&](std::uint64_t) {
    if (host_.waits == 1) listener_.now = Outcome::kDied;
    if (host_.waits == 3) second.now = Outcome::kAcknowledged;
    if (host_.waits == 5) third.now = mute.now = Outcome::kAcknowledged;
  };
  EXPECT_EQ(run(order()).result, shm::ResetResult::kOk);
  EXPECT_THAT(host_.awaited, ElementsAre(3, 2, 2, 1, 1));
}

// Policy proceed: at the deadline, not before, the silent one is named and the reset goes on.
TEST_F(TransactionTest, SilenceUnderProceed) {
  source_.scripts = {&listener_};
  const ResetRecord record = run(order());
  EXPECT_EQ(record.result, shm::ResetResult::kOk);
  EXPECT_EQ(record.listeners[0].outcome, Outcome::kTimedOut);
  EXPECT_EQ(record.phases[0].duration_us, 100'000U);
  EXPECT_EQ(host_.count(shm::EventKind::kTimedOut), 1);
  EXPECT_EQ(listener_.settled, 1);
  EXPECT_EQ(listener_.killed, 0);
}

// Policy abort: the card is not even quiesced, the result names who was silent.
TEST_F(TransactionTest, SilenceUnderAbort) {
  source_.scripts = {&listener_};
  const ResetRecord record = run(order(shm::TimeoutPolicy::kAbort));
  EXPECT_EQ(record.result, shm::ResetResult::kAborted);
  EXPECT_THAT(record.reason, HasSubstr("pid 10 (fake)"));
  EXPECT_EQ(target_.resets, 0);
  EXPECT_THAT(host_.log, testing::Not(testing::Contains("quiesce")));
  EXPECT_THAT(source_.finished, ElementsAre(shm::ResetResult::kAborted));
}

// Policy kill: the silent one is killed and seen dead before the card is touched; it stays timed_out in the report.
TEST_F(TransactionTest, SilenceUnderKill) {
  source_.scripts = {&listener_};
  const ResetRecord record = run(order(shm::TimeoutPolicy::kKill));
  EXPECT_EQ(record.result, shm::ResetResult::kOk);
  EXPECT_EQ(listener_.killed, 1);
  ASSERT_EQ(record.listeners.size(), 1U);
  EXPECT_EQ(record.listeners[0].outcome, Outcome::kTimedOut);
  EXPECT_EQ(host_.count(shm::EventKind::kDied), 1);
}

// Who survives SIGKILL (uninterruptible sleep) may still touch the card: then it is left alone.
TEST_F(TransactionTest, WhoCannotBeKilledAbortsTheReset) {
  listener_.dies_when_killed = false;
  source_.scripts = {&listener_};
  const ResetRecord record = run(order(shm::TimeoutPolicy::kKill));
  EXPECT_EQ(record.result, shm::ResetResult::kAborted);
  EXPECT_EQ(target_.resets, 0);
}

// Answers found together keep their own times, as far as these can be true.
TEST_F(TransactionTest, AnswersKeepTheirOwnTimes) {
  Script early{.session_id = 2, .now = Outcome::kPending, .answered_ns = 1};
  Script late{.session_id = 3, .now = Outcome::kPending, .answered_ns = ~std::uint64_t{0}};
  Script dead{.session_id = 4, .now = Outcome::kPending, .answered_ns = 1003 * kMs};
  listener_.answered_ns = 1003 * kMs;
  source_.scripts = {&listener_, &early, &late, &dead};
  host_.on_wait = [&](std::uint64_t) {
    for (Script* script : {&listener_, &early, &late}) script->now = Outcome::kAcknowledged;
    dead.now = Outcome::kDied;
  };
  const ResetRecord record = run(order());
  ASSERT_EQ(record.listeners.size(), 4U);
  EXPECT_EQ(record.listeners[0].duration_us, 3'000U);
  EXPECT_EQ(record.listeners[1].duration_us, 0U) << "before the announcement";
  EXPECT_EQ(record.listeners[2].duration_us, 5'000U) << "in the future";
  EXPECT_EQ(record.listeners[3].duration_us, 5'000U) << "the dead say nothing";
}

// More time is granted up to the cap; the deadline moves by exactly that, for everybody, and everybody is told.
TEST_F(TransactionTest, ExtensionsUpToTheCap) {
  source_.scripts = {&listener_};
  std::vector<std::int64_t> granted;
  host_.on_wait = [&](std::uint64_t now_ms) {
    if (now_ms != 1005) return;
    ListenerRecord asking;
    asking.session_id = 1;
    for (const int wanted_ms : {30, 30, 30}) {
      granted.push_back(transaction_->extend(asking, milliseconds(wanted_ms)).count());
    }
  };
  const ResetRecord record = run(order(shm::TimeoutPolicy::kAbort));
  EXPECT_THAT(granted, ElementsAre(30, 20, 0));
  EXPECT_EQ(record.phases[0].duration_us, 150'000U);
  EXPECT_EQ(record.listeners[0].extended_ms, 50U);
  EXPECT_EQ(host_.count(shm::EventKind::kExtended), 2);
  const auto extended = std::ranges::find(host_.events, shm::EventKind::kExtended, &ToldEvent::kind);
  EXPECT_EQ(extended->deadline_ns, (1000 + 100 + 30) * kMs);
}

// No time is given after the wait has ended.
TEST_F(TransactionTest, NoExtensionAfterwards) {
  Transaction transaction({host_, {&source_}, {&target_}}, order());
  (void)transaction.run();
  EXPECT_EQ(transaction.extend({}, milliseconds(10)).count(), 0);
}

// A stopping daemon waits no longer than it says and gives no more time.
TEST_F(TransactionTest, HurryCutsTheWait) {
  source_.scripts = {&listener_};
  host_.on_wait = [&](std::uint64_t now_ms) {
    if (now_ms == 1005) transaction_->hurry(milliseconds(10));
    EXPECT_EQ(transaction_->extend({}, milliseconds(10)).count(), now_ms < 1005 ? 10 : 0);
  };
  const ResetRecord record = run(order());
  EXPECT_EQ(record.phases[0].duration_us, 15'000U);
}

// A verdict that is not ok, or evidence that did not pass, is a failed reset with the card's name in the reason.
TEST_F(TransactionTest, FailedVerdicts) {
  target_.verdict = {false, "marker stayed", {}, {}};
  const ResetRecord refused = run(order());
  EXPECT_EQ(refused.result, shm::ResetResult::kFailed);
  EXPECT_EQ(refused.reason, "card: marker stayed");
  target_.verdict = {true, "", {{"marker", "1", "1", false}}, {}};
  const ResetRecord unproven = run(order());
  EXPECT_EQ(unproven.result, shm::ResetResult::kFailed);
  EXPECT_THAT(host_.log, testing::Not(testing::Contains("told verified")));
}

// A card whose accesses do not end is not reset under them.
TEST_F(TransactionTest, UnquietCardIsNotReset) {
  target_.quiet = fail(Code::kTimeout, "2 accesses were still under way");
  const ResetRecord record = run(order());
  EXPECT_EQ(record.result, shm::ResetResult::kFailed);
  EXPECT_EQ(target_.resets, 0);
}

// What can't be journalled is not done: at the start nobody is even told, later the card is left alone.
TEST_F(TransactionTest, JournalFailures) {
  host_.failing_journal = shm::ResetPhase::kAnnounced;
  source_.scripts = {&listener_};
  EXPECT_EQ(run(order()).result, shm::ResetResult::kRefused);
  EXPECT_EQ(source_.announced, 0);
  listener_.now = Outcome::kAcknowledged;
  for (const auto phase : {shm::ResetPhase::kQuiesced, shm::ResetPhase::kResetting}) {
    host_.failing_journal = phase;
    EXPECT_EQ(run(order()).result, shm::ResetResult::kFailed);
  }
  EXPECT_EQ(target_.resets, 0);
}

class Recovery : public TransactionTest {
 protected:
  static ResetRecord left_in(shm::ResetPhase phase) {
    ResetRecord record = order();
    record.phase = phase;
    record.announced_ns = 950 * kMs;
    record.deadline_ns = 1050 * kMs;
    return record;
  }
};

// A successor waits for those who still owe, until the deadline that was announced, and announces nothing again.
TEST_F(Recovery, AnnouncedIsWaitedOn) {
  source_.scripts = {&listener_};
  const ResetRecord record = run(left_in(shm::ResetPhase::kAnnounced), {.announced = true});
  EXPECT_EQ(source_.announced, 0);
  EXPECT_EQ(source_.resumed, 1);
  EXPECT_EQ(host_.count(shm::EventKind::kAnnounce), 0);
  EXPECT_EQ(record.phases[0].duration_us, 100'000U);
  EXPECT_EQ(record.result, shm::ResetResult::kOk);
}

// Journalled but never told: the announcement is made now, with a full deadline.
TEST_F(Recovery, UntoldAnnouncementIsMade) {
  source_.scripts = {&listener_};
  const ResetRecord record = run(left_in(shm::ResetPhase::kAnnounced));
  EXPECT_EQ(host_.count(shm::EventKind::kAnnounce), 1);
  EXPECT_EQ(record.phases[0].duration_us, 100'000U);
}

// In the middle of the card's reset: it is quiesced and reset again, and nobody is asked again.
TEST_F(Recovery, ResettingIsDoneAgain) {
  const ResetRecord record = run(left_in(shm::ResetPhase::kResetting), {.announced = true});
  EXPECT_EQ(source_.announced + source_.resumed, 0);
  EXPECT_EQ(target_.resets, 1);
  EXPECT_THAT(host_.log, testing::IsSupersetOf({"quiesce", "told result"}));
  EXPECT_EQ(record.result, shm::ResetResult::kOk);
}

// Decided, but not told: the card is not touched again, the result is told once.
TEST_F(Recovery, VerdictIsTold) {
  ResetRecord decided = left_in(shm::ResetPhase::kVerified);
  decided.result = shm::ResetResult::kOk;
  run(decided, {.announced = true});
  EXPECT_EQ(target_.resets, 0);
  EXPECT_EQ(host_.count(shm::EventKind::kResult), 1);
}

// Told already: it is not told twice, but the books are closed.
TEST_F(Recovery, ResultIsNotToldTwice) {
  ResetRecord decided = left_in(shm::ResetPhase::kVerified);
  decided.result = shm::ResetResult::kOk;
  run(decided, {.announced = true, .result = true});
  EXPECT_EQ(host_.count(shm::EventKind::kResult), 0);
  EXPECT_THAT(host_.log, ElementsAre("finish", "journal idle"));
}

}  // namespace
}  // namespace warden::daemon
