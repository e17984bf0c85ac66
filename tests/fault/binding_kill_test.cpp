// SPDX-License-Identifier: Apache-2.0
// `warden bind` and `warden unbind` killed at random points: the same command finishes, the other one undoes, and the
// former driver and override are never forgotten.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <csignal>
#include <random>

#include "tests/support/pci_kernel.h"
#include "tests/support/rounds.h"

namespace warden::test {
namespace {

constexpr const char* kCard = "0000:01:00.0";
const std::string kOverride = std::string("/sys/bus/pci/devices/") + kCard + "/driver_override";
constexpr int kRounds = rounds(120, 30);
constexpr int kMostDelayUs = 12'000;  // about what a whole call takes

class BindingKill : public testing::Test {
 protected:
  void SetUp() override {
    tree_.add({.address = kCard, .driver = "tenstorrent", .group = 3});
    tree_.put(kOverride, "tenstorrent\n");
  }
  Process start(const std::string& command) {
    return Process({std::string(WARDEN_BIN_DIR) + "/warden", command, "--root", tree_.root(), kCard});
  }
  // What the killed one had begun is over: nobody holds its lock, and the kernel has done all it was told.
  [[nodiscard]] bool is_over() {
    const std::string path = tree_.path_of(std::string("/run/warden-bindings/") + kCard + ".lock");
    return eventually([&] {
      const UniqueFd lock(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
      return !lock || ::flock(lock.get(), LOCK_EX | LOCK_NB) == 0;
    });
  }
  void finish(PciKernel& kernel, const std::string& command) {
    ASSERT_TRUE(is_over());
    kernel.settle();
    Process process = start(command);
    const auto status = process.wait();
    // Killed before its first change, or after its last: there is nothing to undo.
    ASSERT_TRUE(status == 0 || process.err().find("nothing to undo") != std::string::npos) << process.output();
    kernel.settle();
  }
  // Kills it at some moment; true when that came too late.
  bool kill_sometime(const std::string& command) {
    Process process = start(command);
    ::usleep(static_cast<useconds_t>(delay_us_(random_)));
    process.signal(SIGKILL);
    return process.wait() == 0;
  }
  // Every other time bound again before it is given back. True when the kill came too late.
  bool kill_and_go_on(PciKernel& kernel, const std::string& command, int round) {
    const bool survived = kill_sometime(command);
    if (round % 2 == 0) {
      finish(kernel, "bind");
      expect_bound(kernel, round);
    }
    finish(kernel, "unbind");
    expect_as_before(kernel, round);
    return survived;
  }
  void expect_as_before(const PciKernel& kernel, int round) {
    ASSERT_EQ(kernel.driver_of(kCard), "tenstorrent") << round;
    ASSERT_EQ(tree_.text_of(kOverride), "tenstorrent") << round;
    ASSERT_FALSE(pci::Sysfs::exists(tree_.path_of(std::string("/run/warden-bindings/") + kCard))) << round;
  }
  void expect_bound(const PciKernel& kernel, int round) {
    ASSERT_EQ(kernel.driver_of(kCard), "vfio-pci") << round;
    ASSERT_EQ(tree_.text_of(kOverride), "vfio-pci") << round;
  }

  PciTree tree_;
  std::mt19937 random_{std::random_device{}()};
  std::uniform_int_distribution<int> delay_us_{0, kMostDelayUs};
};

// Proves that a killed bind is undone by unbind, and finished by bind.
TEST_F(BindingKill, Bind) {
  PciKernel kernel(tree_, {});
  int survived = 0;
  for (int round = 0; round < kRounds; ++round) {
    survived += kill_and_go_on(kernel, "bind", round);
    if (HasFatalFailure()) return;
  }
  EXPECT_LT(survived, kRounds) << "none was killed in time";
}

// Proves the same of a killed unbind, and that bind after it remembers what there was at the very first.
TEST_F(BindingKill, Unbind) {
  PciKernel kernel(tree_, {});
  int survived = 0;
  for (int round = 0; round < kRounds; ++round) {
    finish(kernel, "bind");
    expect_bound(kernel, round);
    survived += kill_and_go_on(kernel, "unbind", round);
    if (HasFatalFailure()) return;
  }
  EXPECT_LT(survived, kRounds) << "none was killed in time";
}

}  // namespace
}  // namespace warden::test
