// SPDX-License-Identifier: Apache-2.0
// The warm reset and its verdict on a simulated card: one that works, and each way in which it may not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <algorithm>
#include <atomic>
#include <latch>
#include <thread>

#include "driver/chip/chip.h"
#include "tests/conformance/simulator.h"

namespace warden {
namespace {

using chip::CardAddress;
using chip::ResetKind;
using chip::ResetOptions;
using chip::ResetReport;
using chip::ResetStep;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Simulator;

constexpr vfio::OpenOptions kPatient{.request_timeout_ms = 60'000};
constexpr CardAddress kWord{0x1000};

// Generous where success is expected.
ResetOptions patient_options() {
  ResetOptions options;
  options.deadline = std::chrono::seconds(60);
  if (!Simulator::is_hardware()) options.quiet = milliseconds(60);
  options.poll_interval = milliseconds(5);
  options.heartbeat_deadline = std::chrono::seconds(60);
  return options;
}

// Short where failure is.
ResetOptions hasty_options() {
  ResetOptions options = patient_options();
  options.deadline = milliseconds(300);
  options.heartbeat_deadline = milliseconds(300);
  options.revival = milliseconds(0);
  return options;
}

std::string in_words(const ResetReport& report) {
  std::string words = report.reason;
  for (const auto& each : report.evidence) {
    words += "\n  " + each.name + (each.passed ? " ok: " : " FAILED: ") + each.before + " | " + each.after;
  }
  return words;
}

bool passed(const ResetReport& report, std::string_view name) {
  const auto found = std::ranges::find(report.evidence, name, &chip::Evidence::name);
  return found != report.evidence.end() && found->passed;
}

class WarmResetTest : public ::testing::Test {
 protected:
  void SetUp() override { open(); }
  void open() {
    auto device = vfio::open(simulator_.device_name(), kPatient);
    ASSERT_TRUE(device) << device.error().message;
    auto chip = chip::open(std::move(*device));
    ASSERT_TRUE(chip) << chip.error().message;
    chip_ = std::move(*chip);
  }
  auto accesses_during_reset() { return simulator_.stats()["bar_accesses_during_reset"].get<int>(); }

  Simulator simulator_{{"--reset-duration", "50"}};
  std::unique_ptr<chip::Chip> chip_;
};

// Proves that a good reset is proven by six observations, that nothing touched the card's BARs while it lasted, that it
// really happened (the simulator counts it, memory is gone), and that the card works afterwards.
TEST_F(WarmResetTest, GoodResetIsProven) {
  ASSERT_TRUE(chip_->handle().write32({2, 3}, kWord, 0x1234'5678));
  const ResetReport report = chip_->warm_reset(patient_options());
  EXPECT_TRUE(report.ok) << in_words(report);
  EXPECT_TRUE(report.reason.empty());
  for (const char* name : {"marker", "post code", "reference clock", "window register", "L1 word", "heartbeat"}) {
    EXPECT_TRUE(passed(report, name)) << name << in_words(report);
  }
  EXPECT_EQ(accesses_during_reset(), 0);
  EXPECT_EQ(simulator_.stats()["resets"]["asic"], 1);
  EXPECT_NE(chip_->handle().read32({2, 3}, kWord).value(), 0x1234'5678U);
  ASSERT_TRUE(chip_->handle().write32({2, 3}, kWord, 0x9ABC'DEF0));
  EXPECT_EQ(chip_->handle().read32({2, 3}, kWord).value(), 0x9ABC'DEF0U);
  EXPECT_TRUE(chip_->telemetry());
}

// Proves that the maximum payload size, which the reset loses and VFIO cannot restore, is put back, and that the way to
// it is closed again.
TEST_F(WarmResetTest, PayloadSizeIsRestored) {
  const auto config16 = [&](std::uint64_t offset) {
    std::uint16_t value = 0;
    EXPECT_TRUE(
        chip_->device().read(VFIO_PCI_CONFIG_REGION_INDEX, offset, std::as_writable_bytes(std::span(&value, 1))));
    return value;
  };
  constexpr std::uint64_t kDeviceControl = 0x78;
  const int before = config16(kDeviceControl) & PCI_EXP_DEVCTL_PAYLOAD;
  if (Simulator::attached_device().empty()) {  // else its bus decides, and a reset may leave what it had
    ASSERT_EQ(before, PCI_EXP_DEVCTL_PAYLOAD_256B) << "not what a reset leaves";
  }
  const ResetReport report = chip_->warm_reset(patient_options());
  EXPECT_TRUE(report.ok) << in_words(report);
  EXPECT_EQ(config16(kDeviceControl) & PCI_EXP_DEVCTL_PAYLOAD, before);
  for (const std::uint64_t scratch : {0x1FF30078U, 0x1FF3007CU}) {
    std::uint32_t value = 1;
    EXPECT_TRUE(
        chip_->device().read(VFIO_PCI_BAR0_REGION_INDEX, scratch, std::as_writable_bytes(std::span(&value, 1))));
    EXPECT_EQ(value, 0U);
  }
}

// Proves that a second reset is as good as the first: the marker is not left armed, the clock is read anew.
TEST_F(WarmResetTest, ResetsCanBeRepeated) {
  for (const ResetKind kind : {ResetKind::kAsic, ResetKind::kBoard, ResetKind::kAsic}) {
    ResetOptions options = patient_options();
    options.kind = kind;
    const ResetReport report = chip_->warm_reset(options);
    EXPECT_TRUE(report.ok) << in_words(report);
  }
}

// Proves that a card that is reset again at once passes. Its clock then reads *higher* than before: a reset takes
// longer than the card had been up. First believed to be a lost reset; the clock has to be held against the trigger's
// time too.
TEST_F(WarmResetTest, YoungCardCanBeReset) {
  ASSERT_TRUE(chip_->warm_reset(patient_options()).ok);
  ResetOptions slow = patient_options();
  slow.quiet = milliseconds(1500);
  const ResetReport report = chip_->warm_reset(slow);
  EXPECT_TRUE(report.ok) << in_words(report);
}

// Proves that a function reset is proven by the lost windows: its marker would read 1 after a perfect one, since the
// kernel restores the command register, and the chip's own state outlives it.
TEST_F(WarmResetTest, FunctionResetIsProvenByLostWindows) {
  ASSERT_TRUE(chip_->handle().write32({2, 3}, kWord, 0x1234'5678));
  ResetOptions options = patient_options();
  options.kind = ResetKind::kDevice;
  const ResetReport report = chip_->warm_reset(options);
  EXPECT_TRUE(report.ok) << in_words(report);
  EXPECT_TRUE(passed(report, "window register"));
  EXPECT_FALSE(passed(report, "marker"));
  EXPECT_EQ(chip_->handle().read32({2, 3}, kWord).value(), 0x1234'5678U);
}

// Proves that the observer hears of each step before it is taken.
TEST_F(WarmResetTest, ObserverHearsEveryStep) {
  std::vector<ResetStep> steps;
  ResetOptions options = patient_options();
  options.observer = [&](ResetStep step) { steps.push_back(step); };
  EXPECT_TRUE(chip_->warm_reset(options).ok);
  EXPECT_THAT(steps, ElementsAre(ResetStep::kSave, ResetStep::kTrigger, ResetStep::kWait, ResetStep::kRestore,
                                 ResetStep::kVerify));
}

// Proves that a card that answers the message and does nothing is caught by its marker, that nothing is claimed of it,
// and that it goes on as it was.
TEST_F(WarmResetTest, IgnoredResetFails) {
  ASSERT_TRUE(chip_->handle().write32({2, 3}, kWord, 0x1234'5678));
  simulator_.set_fault("reset-ignored");
  const ResetReport report = chip_->warm_reset(hasty_options());
  EXPECT_FALSE(report.ok);
  EXPECT_THAT(report.reason, HasSubstr("marker"));
  EXPECT_EQ(report.evidence.size(), 6U);
  EXPECT_TRUE(std::ranges::none_of(report.evidence, &chip::Evidence::passed)) << in_words(report);
  EXPECT_EQ(chip_->handle().read32({2, 3}, kWord).value(), 0x1234'5678U);
  simulator_.set_fault("none");
  EXPECT_TRUE(chip_->warm_reset(patient_options()).ok);
}

// Proves that a reset that never ends is a failure that says what was last seen, that the card is then left alone, and
// that a later reset may still save it.
TEST_F(WarmResetTest, HangingResetFails) {
  simulator_.set_fault("reset-hangs");
  const ResetReport report = chip_->warm_reset(hasty_options());
  EXPECT_FALSE(report.ok);
  EXPECT_THAT(report.reason, HasSubstr("did not come back"));
  EXPECT_FALSE(passed(report, "marker"));
  EXPECT_EQ(chip_->handle().read32({2, 3}, kWord).error().code, Code::kOffBus);
  EXPECT_EQ(chip_->telemetry().error().code, Code::kOffBus);
  EXPECT_EQ(accesses_during_reset(), 0);
  simulator_.set_fault("none");
  EXPECT_EQ(chip_->epoch(), 2U);
}

// Proves that a card that is off the bus is reported so before anything is done to it.
TEST_F(WarmResetTest, CardOffTheBusFails) {
  simulator_.set_fault("off-bus");
  const ResetReport report = chip_->warm_reset(hasty_options());
  EXPECT_FALSE(report.ok);
  EXPECT_THAT(report.reason, HasSubstr("off the bus"));
  EXPECT_EQ(simulator_.stats()["resets"]["asic"], 0);
  simulator_.set_fault("none");
  EXPECT_TRUE(chip_->warm_reset(patient_options()).ok);
}

// Proves that a card that leaves the bus in any phase gives a failed verdict, not a hang or a false success.
TEST_F(WarmResetTest, CardLeavingTheBusInAnyPhaseFails) {
  for (const ResetStep leaving : {ResetStep::kTrigger, ResetStep::kWait, ResetStep::kRestore, ResetStep::kVerify}) {
    ResetOptions options = hasty_options();
    options.observer = [&](ResetStep step) {
      if (step == leaving) simulator_.set_fault("off-bus");
    };
    const ResetReport report = chip_->warm_reset(options);
    EXPECT_FALSE(report.ok) << to_string(leaving);
    EXPECT_FALSE(report.reason.empty());
    simulator_.set_fault("none");
    const ResetReport repaired = chip_->warm_reset(patient_options());
    EXPECT_TRUE(repaired.ok) << to_string(leaving) << in_words(repaired);
  }
}

// Proves that firmware that does not answer is named, after the one function reset that might have revived it.
TEST_F(WarmResetTest, HungArcFails) {
  simulator_.set_fault("arc-hung");
  const ResetReport report = chip_->warm_reset(hasty_options());
  EXPECT_FALSE(report.ok);
  EXPECT_THAT(report.reason, HasSubstr("NOP"));
  EXPECT_EQ(simulator_.stats()["resets"]["asic"], 0);
}

// Proves that an ARC that comes back while it is tried to be revived is reset like any other.
TEST_F(WarmResetTest, HungArcIsRevived) {
  simulator_.set_fault("arc-hung");
  const std::jthread watchdog([&] {
    while (simulator_.stats()["resets"]["function"] < 2) std::this_thread::yield();
    simulator_.set_fault("none");
  });
  ResetOptions options = patient_options();
  options.revival = std::chrono::seconds(60);
  const ResetReport report = chip_->warm_reset(options);
  EXPECT_TRUE(report.ok) << in_words(report);
  EXPECT_EQ(simulator_.stats()["resets"]["asic"], 1);
}

// Proves that handles end with the reset, that new ones work, and that a failed reset ends them too.
TEST_F(WarmResetTest, OldHandlesAreStale) {
  const auto old = chip_->handle();
  EXPECT_TRUE(old.read32({1, 1}, kWord));
  ASSERT_TRUE(chip_->warm_reset(patient_options()).ok);
  EXPECT_EQ(old.read32({1, 1}, kWord).error().code, Code::kStale);
  const auto next = chip_->handle();
  EXPECT_GT(next.epoch(), old.epoch());
  EXPECT_TRUE(next.read32({1, 1}, kWord));
  simulator_.set_fault("reset-ignored");
  EXPECT_FALSE(chip_->warm_reset(hasty_options()).ok);
  EXPECT_EQ(next.read32({1, 1}, kWord).error().code, Code::kStale);
}

// Proves that threads that hammer the card learn of the reset by `resetting` and `stale`, never touch the card while it
// lasts, and see no wrong data.
TEST_F(WarmResetTest, BusyThreadsAreKeptOff) {
  std::atomic<bool> stop = false;
  std::atomic<int> unexpected = 0;
  std::atomic<int> refused = 0;
  std::latch busy(3);
  std::vector<std::thread> threads;
  for (std::uint8_t thread = 0; thread < 3; ++thread) {
    threads.emplace_back([&, thread] {
      auto mine = chip_->handle();
      const chip::Tile tile{static_cast<std::uint8_t>(thread + 1), 4};
      for (std::uint32_t round = 0; !stop; ++round) {
        auto wrote = mine.write32(tile, kWord, round);
        auto read = wrote ? mine.read32(tile, kWord) : std::unexpected(wrote.error());
        if (round == 10) busy.count_down();
        if (read) {
          unexpected += *read == round ? 0 : 1;
          continue;
        }
        ++refused;
        if (read.error().code != Code::kResetting && read.error().code != Code::kStale) ++unexpected;
        mine = chip_->handle();
      }
    });
  }
  busy.wait();
  const ResetReport report = chip_->warm_reset(patient_options());
  stop = true;
  for (auto& thread : threads) thread.join();
  EXPECT_TRUE(report.ok) << in_words(report);
  EXPECT_EQ(unexpected, 0);
  EXPECT_GT(refused, 0);
  EXPECT_EQ(accesses_during_reset(), 0);
}

// Proves that two resets at once are one reset and one refusal.
TEST_F(WarmResetTest, SecondResetMeanwhileIsRefused) {
  ResetReport second;
  ResetOptions options = patient_options();
  options.observer = [&](ResetStep step) {
    if (step == ResetStep::kWait) second = chip_->warm_reset(patient_options());
  };
  EXPECT_TRUE(chip_->warm_reset(options).ok);
  EXPECT_FALSE(second.ok);
  EXPECT_THAT(second.reason, HasSubstr("under way"));
  EXPECT_EQ(simulator_.stats()["resets"]["asic"], 1);
}

// Proves that a successor finds a card in the middle of a reset, keeps off it, and can end what was begun.
TEST_F(WarmResetTest, SuccessorEndsAnInterruptedReset) {
  const std::string board = chip_->identity().board;
  for (const ResetStep killed : {ResetStep::kTrigger, ResetStep::kWait, ResetStep::kRestore, ResetStep::kVerify}) {
    std::vector<UniqueFd> descriptors;
    struct Killed {};
    ResetOptions options = patient_options();
    options.observer = [&](ResetStep step) {
      if (step != killed) return;
      for (const int fd : chip_->device().descriptors()) descriptors.emplace_back(::dup(fd));
      throw Killed{};  // as good as a SIGKILL here: not one more access is made
    };
    EXPECT_THROW((void)chip_->warm_reset(options), Killed);
    const std::string name = chip_->device().name();
    chip_.reset();
    auto device = vfio::adopt(name, std::move(descriptors), kPatient);
    ASSERT_TRUE(device) << device.error().message;
    auto chip = chip::adopt(std::move(*device), 7);
    ASSERT_TRUE(chip) << chip.error().message;
    chip_ = std::move(*chip);
    EXPECT_EQ(chip_->epoch(), 7U);
    ResetOptions finish = patient_options();
    finish.deadline = std::chrono::seconds(2);  // of a marker that was armed and never triggered
    const ResetReport report = chip_->warm_reset(finish);
    EXPECT_TRUE(report.ok) << to_string(killed) << in_words(report);
    EXPECT_EQ(chip_->epoch(), 8U);
    EXPECT_TRUE(chip_->handle().read32({1, 1}, kWord));
    EXPECT_EQ(chip_->identity().board, board);
  }
  EXPECT_EQ(accesses_during_reset(), 0);
}

}  // namespace
}  // namespace warden
