// SPDX-License-Identifier: Apache-2.0
// The gate that keeps accesses and resets apart.
#include <gtest/gtest.h>

#include <optional>
#include <thread>

#include "driver/chip/access_gate.h"

namespace warden::chip {
namespace {

using std::chrono::steady_clock;

// Proves that a closed gate refuses at once, and that opening ends the epoch.
TEST(AccessGate, ClosedRefusesAndOpeningEndsTheEpoch) {
  AccessGate gate(5, false);
  EXPECT_TRUE(gate.enter(5));
  EXPECT_EQ(gate.enter(4).error().code, Code::kStale);
  ASSERT_TRUE(gate.close(steady_clock::now()));
  EXPECT_EQ(gate.enter(5).error().code, Code::kResetting);
  EXPECT_EQ(gate.enter(4).error().code, Code::kResetting);
  EXPECT_EQ(gate.close(steady_clock::now()).error().code, Code::kResetting);
  gate.open();
  EXPECT_EQ(gate.enter(5).error().code, Code::kStale);
  EXPECT_TRUE(gate.enter(6));
  EXPECT_TRUE(gate.enter());
}

// Proves that closing waits for the last access, not longer than its deadline, and lets everybody in again when it
// gives up.
TEST(AccessGate, ClosingWaitsForTheLastAccess) {
  AccessGate gate(1, false);
  std::optional<AccessGate::Pass> inside(gate.enter().value());
  EXPECT_EQ(gate.close(steady_clock::now() + std::chrono::milliseconds(1)).error().code, Code::kTimeout);
  EXPECT_TRUE(gate.enter(1));
  std::jthread leaving([&] { inside.reset(); });
  EXPECT_TRUE(gate.close(steady_clock::now() + std::chrono::seconds(60)));
}

}  // namespace
}  // namespace warden::chip
