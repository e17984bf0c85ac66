// SPDX-License-Identifier: Apache-2.0
// The demonstration proves what it says: it succeeds on a card that resets, and fails on one that does not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/process.h"

namespace warden::test {
namespace {

using testing::HasSubstr;

const std::string kDemo = std::string(WARDEN_SOURCE_DIR) + "/tools/demo/";

// Programs as they were built, in a directory where a test can put others in their place.
class BinaryDirectory {
 public:
  BinaryDirectory() {
    std::filesystem::create_directories(path());
    for (const char* name : {"warden", "wardend", "warden-sim", "demo_workload"}) {
      std::filesystem::create_symlink(std::string(WARDEN_BIN_DIR) + "/" + name, path() + "/" + name);
    }
  }
  void replace(const std::string& name, const std::string& shell_script) const {
    const std::string file = path() + "/" + name;
    std::filesystem::remove(file);
    std::ofstream(file) << "#!/bin/sh\n" << shell_script << "\n";
    std::filesystem::permissions(file, std::filesystem::perms::owner_all);
  }
  [[nodiscard]] std::string path() const { return directory_.path() + "/preset/bin"; }

 private:
  TemporaryDirectory directory_;
};

// Everything works: all proofs, the workload's story, and the failure that is seen as one.
TEST(Demo, SucceedsWhenTheCardResets) {
  Process demo({kDemo + "demo", WARDEN_BIN_DIR});
  EXPECT_EQ(demo.wait(), 0) << demo.output();
  for (const char* name : {"marker", "post code", "reference clock", "heartbeat", "window register", "L1 word"}) {
    EXPECT_THAT(demo.out(), HasSubstr("[proven] " + std::string(name)));
  }
  EXPECT_THAT(demo.out(), HasSubstr("paused before the card was reset"));
  EXPECT_THAT(demo.out(), HasSubstr("Every proof was seen"));
}

// The same with a card that is not reset at all: it must not pass.
TEST(Demo, FailsWhenTheCardIsNotReset) {
  const BinaryDirectory binaries;
  binaries.replace("warden-sim", "case $1 in ctl) exec '" WARDEN_BIN_DIR
                                 "/warden-sim' \"$@\";; esac\n"
                                 "exec '" WARDEN_BIN_DIR "/warden-sim' \"$@\" --fault reset-ignored");
  Process demo({kDemo + "demo", binaries.path()});
  EXPECT_EQ(demo.wait(), 1) << demo.output();
  EXPECT_THAT(demo.err(), HasSubstr("demo FAILED"));
}

// A `warden` that only claims success does not deceive it: the proofs are missing.
TEST(Demo, FailsWhenProofsAreMissing) {
  const BinaryDirectory binaries;
  binaries.replace("warden",
                   "case $1 in reset) echo '{\"id\":1,\"result\":\"ok\",\"reason\":\"\",\"evidence\":[],"
                   "\"listeners\":[]}'; exit 0;; esac\nexec '" WARDEN_BIN_DIR "/warden' \"$@\"");
  Process demo({kDemo + "demo", binaries.path()});
  EXPECT_EQ(demo.wait(), 1) << demo.output();
  EXPECT_THAT(demo.err(), HasSubstr("the proof by marker is missing"));
}

// A playground starts once, says so the second time, serves, and stops; stopping nothing says so.
TEST(Playground, StartsOnceAndStops) {
  const BinaryDirectory binaries;
  Process nothing({kDemo + "down", binaries.path()});
  EXPECT_EQ(nothing.wait(), 0);
  EXPECT_THAT(nothing.out(), HasSubstr("nothing is running"));
  Process up({kDemo + "up", binaries.path()});
  ASSERT_EQ(up.wait(), 0) << up.output();
  Process again({kDemo + "up", binaries.path()});
  EXPECT_EQ(again.wait(), 0);
  EXPECT_THAT(again.out(), HasSubstr("running already"));
  Process devices({"sh", "-c", "eval \"$1\"; exec \"$2\"/warden devices", "sh", up.out(), WARDEN_BIN_DIR});
  EXPECT_EQ(devices.wait(), 0) << devices.output();
  EXPECT_THAT(devices.out(), HasSubstr("wormhole"));
  Process down({kDemo + "down", binaries.path()});
  EXPECT_EQ(down.wait(), 0);
  EXPECT_THAT(down.out(), HasSubstr("stopped: warden-sim, wardend"));
}

}  // namespace
}  // namespace warden::test
