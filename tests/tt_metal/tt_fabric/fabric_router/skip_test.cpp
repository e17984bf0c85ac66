// SPDX-License-Identifier: Apache-2.0
// With too few devices, or without telemetry, the tests of pausing skip, and say why; else none of them does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/process.h"

namespace warden::fabric {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string run_all(std::map<std::string, std::string> environment) {
  environment["TT_METAL_SLOW_DISPATCH_MODE"] = "1";
  test::Process::Options options;
  options.environment = std::move(environment);
  test::Process process({WARDEN_PAUSE_CONTROL_TEST}, options);
  EXPECT_EQ(process.wait().value_or(-1), 0) << process.output();
  return process.output();
}

TEST(FabricPauseControlSkips, OneDevice) {
  const std::string output = run_all({{"WARDEN_FABRIC_BOARD", "n150"}});
  EXPECT_THAT(output, HasSubstr("[  SKIPPED ] 8 tests"));
  EXPECT_THAT(output, HasSubstr("needs 2 devices"));
  EXPECT_THAT(output, HasSubstr("needs 4 devices"));
}

TEST(FabricPauseControlSkips, TwoDevicesAreTooFewForTheLargeOne) {
  const std::string output = run_all({{"WARDEN_FABRIC_BOARD", "mesh:1x2"}});
  EXPECT_THAT(output, HasSubstr("[  SKIPPED ] 1 test"));
  EXPECT_THAT(output, HasSubstr("[  PASSED  ] 7 tests"));
}

TEST(FabricPauseControlSkips, NoTelemetry) {
  const std::string output = run_all({{"WARDEN_FABRIC_TELEMETRY", "0"}});
  EXPECT_THAT(output, HasSubstr("[  SKIPPED ] 8 tests"));
  EXPECT_THAT(output, HasSubstr("telemetry is not available"));
}

TEST(FabricPauseControlSkips, NothingOtherwise) {
  const std::string output = run_all({});
  EXPECT_THAT(output, HasSubstr("[  PASSED  ] 8 tests"));
  EXPECT_THAT(output, Not(HasSubstr("SKIPPED")));
  EXPECT_THAT(output, HasSubstr("Pause transition took "));
}

}  // namespace
}  // namespace warden::fabric
