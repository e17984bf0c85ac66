// SPDX-License-Identifier: Apache-2.0
// The facts as read from a simulated card, whose answers are known: one that is as assumed, one that differs, and ones
// that a card on a socket leaves open.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "tests/conformance/simulator.h"
#include "tests/support/process.h"

namespace warden::hw {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;

test::Process run(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), std::string(WARDEN_BIN_DIR) + "/warden-hw-facts");
  return test::Process(arguments);
}

// Proves that each fact is read from the card, by answers that only this card gives.
TEST(HwFacts, OfTheSimulatedCard) {
  const warden::testing::Simulator simulator;
  auto facts = run({simulator.device_name()});
  ASSERT_EQ(facts.wait(), 0) << facts.output();
  EXPECT_THAT(facts.out(), HasSubstr("PCI Express capability: assumed at 0x70 of configuration space; found: at 0x70"));
  EXPECT_THAT(facts.out(), HasSubstr("found: the card has it: DIFFERS")) << "the simulated card has FLR";
  EXPECT_THAT(facts.out(), ContainsRegex("reference clock: assumed 27 MHz; found: 2[67]\\.[0-9]+ MHz: as assumed"));
  EXPECT_THAT(facts.out(), HasSubstr("0x1fd2002c reads 0xffffffff, 0x1fd0202c reads 0x1060a0c0: as assumed"));
  EXPECT_THAT(facts.out(), HasSubstr("reset registers of Blackhole: assumed 0x930 of configuration space can be read; "
                                     "found: another chip: open"));
  EXPECT_THAT(facts.out(), HasSubstr("found: a card on a socket: open"));
  EXPECT_THAT(facts.out(), HasSubstr("function reset: assumed leaves the chip itself alone; not tried"));
}

// Proves that the reset is done when it is asked for, and told by the clock: it runs on.
TEST(HwFacts, ByReset) {
  const warden::testing::Simulator simulator;
  auto facts = run({"--resets", simulator.device_name()});
  ASSERT_EQ(facts.wait(), 0) << facts.output();
  EXPECT_THAT(facts.out(),
              ContainsRegex("function reset: .*the reference clock read [0-9]+ before and [0-9]+ after: as"));
}

// Proves that a card that can't be opened is one line and status 1.
TEST(HwFacts, WithoutACard) {
  auto facts = run({"vfio-user:/nonexistent/card.sock"});
  EXPECT_EQ(facts.wait(), 1);
  EXPECT_THAT(facts.err(), HasSubstr("warden-hw-facts: open vfio-user:/nonexistent/card.sock"));
}

// Proves that hw-test without a card ends as skipped, with the reason, whatever this host has.
TEST(HwTest, SkipsWithoutACard) {
  const std::string script = WARDEN_SOURCE_DIR "/tests/hw/hw-test";
  for (const auto& [device, reason] :
       std::map<std::string, std::string>{{"", "skipped: name a card: make hw-test DEVICE=0000:01:00.0"},
                                          {"ffff:ff:1f.7", "skipped: there is no PCI function ffff:ff:1f.7"}}) {
    test::Process hw_test({script, WARDEN_BIN_DIR, device});
    EXPECT_EQ(hw_test.wait(), 77) << hw_test.output();
    EXPECT_THAT(hw_test.err(), HasSubstr(reason));
    EXPECT_EQ(hw_test.out(), "");
  }
}

}  // namespace
}  // namespace warden::hw
