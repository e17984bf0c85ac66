// SPDX-License-Identifier: Apache-2.0
// When a reset stops the fabric's traffic, when it lets it go on, and when neither.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/wardend_transaction_fakes.h"

namespace warden::daemon {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::Not;

class TransactionFabric : public TransactionTest {
 protected:
  TransactionFabric() { fabric_here_ = true; }
};

// While the cards still answer, before they are closed; and before anybody hears that they are back.
TEST_F(TransactionFabric, StopsBeforeTheCardsAndComesBackAfterThem) {
  const ResetRecord record = run(order());
  EXPECT_THAT(host_.log, ElementsAre("journal announced", "begin", "told announce", "journal quiesced", "told quiesced",
                                     "prepare fabric", "quiesce", "journal resetting", "told resetting", "reset",
                                     "journal verified", "told verified", "restore fabric", "finish", "told result",
                                     "journal idle"));
  ASSERT_TRUE(record.fabric);
  EXPECT_TRUE(record.fabric->restored);
  EXPECT_EQ(record.fabric->routers_paused, 2U);
}

// The successor of a worker that is killed during the reset must know what was stopped.
TEST_F(TransactionFabric, WhatWasStoppedIsInTheJournalBeforeTheCardsAreTouched) {
  run(order());
  const auto resetting = std::ranges::find(host_.journal, shm::ResetPhase::kResetting, &ResetRecord::phase);
  ASSERT_NE(resetting, host_.journal.end());
  ASSERT_TRUE(resetting->fabric);
  EXPECT_FALSE(resetting->fabric->restored);
}

TEST_F(TransactionFabric, NoRoutersNothingToDo) {
  fabric_.found.reset();
  const ResetRecord record = run(order());
  EXPECT_FALSE(record.fabric);
  EXPECT_THAT(host_.log, Not(Contains("restore fabric")));
}

// Nobody may send into a card that is broken: traffic waits for the next reset.
TEST_F(TransactionFabric, WaitsBehindACardWhoseResetFailed) {
  target_.verdict = {false, "no marker", {}, {}};
  const ResetRecord record = run(order());
  EXPECT_EQ(record.result, shm::ResetResult::kFailed);
  EXPECT_FALSE(record.fabric->restored);
  EXPECT_THAT(host_.log, Not(Contains("restore fabric")));
  EXPECT_THAT(host_.log, Not(Contains("undo fabric")));
}

TEST_F(TransactionFabric, GoesOnWhenTheCardsAreLeftAlone) {
  target_.quiet = fail(Code::kTimeout, "an access did not end");
  const ResetRecord record = run(order());
  EXPECT_EQ(record.result, shm::ResetResult::kFailed);
  EXPECT_TRUE(record.fabric->restored);
  EXPECT_THAT(host_.log, Contains("undo fabric"));

  host_.log.clear();
  target_.quiet = {};
  host_.failing_journal = shm::ResetPhase::kResetting;
  run(order());
  EXPECT_THAT(host_.log, Contains("undo fabric"));
}

// Announced and aborted: the fabric was never asked.
TEST_F(TransactionFabric, IsNotStoppedForAnAbortedReset) {
  source_.scripts = {&listener_};
  run(order(shm::TimeoutPolicy::kAbort));
  EXPECT_THAT(host_.log, Not(Contains("prepare fabric")));
}

// In the middle of the card's reset there is nobody to talk to; what the dead worker wrote down counts.
TEST_F(TransactionFabric, SuccessorGoesOnFromTheJournal) {
  ResetRecord left = order();
  left.phase = shm::ResetPhase::kResetting;
  left.fabric = FabricRecord{5, 0, 0, 0, false, {}};
  const ResetRecord record = run(left, {.announced = true});
  EXPECT_THAT(host_.log, Not(Contains("prepare fabric")));
  EXPECT_THAT(host_.log, Contains("restore fabric"));
  EXPECT_EQ(record.fabric->routers_paused, 5U);
}

// Killed between the verdict and the fabric's return.
TEST_F(TransactionFabric, SuccessorBringsItBackAfterTheVerdict) {
  ResetRecord left = order();
  left.phase = shm::ResetPhase::kVerified;
  left.result = shm::ResetResult::kOk;
  left.fabric = FabricRecord{};
  run(left, {.announced = true});
  EXPECT_EQ(target_.resets, 0);
  EXPECT_THAT(host_.log, Contains("restore fabric"));

  host_.log.clear();
  left.fabric->restored = true;
  run(left, {.announced = true});
  EXPECT_THAT(host_.log, Not(Contains("restore fabric")));
}

}  // namespace
}  // namespace warden::daemon
