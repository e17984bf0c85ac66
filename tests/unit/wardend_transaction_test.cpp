// SPDX-License-Identifier: Apache-2.0
// The reset transaction against fakes, branch by branch.
#include "tools/wardend/transaction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/wardend_transaction_fakes.h"

namespace warden::daemon {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

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
