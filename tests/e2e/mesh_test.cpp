// SPDX-License-Identifier: Apache-2.0
// Two chips under one wardend: a reset of one leaves the other alone, a reset of all resets them side by side.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <warden/device.h>
#include <warden/reset.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <future>
#include <mutex>
#include <nlohmann/json.hpp>

#include "tests/support/host.h"

namespace warden::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr Tile kTensix{.x = 1, .y = 1};
constexpr CardAddress kSomewhere{0x20000};
constexpr int kAccesses = 100;

using Pattern = std::array<std::byte, 64>;

Pattern pattern_of(int seed) {
  Pattern pattern;
  for (std::size_t i = 0; i < pattern.size(); ++i) pattern[i] = static_cast<std::byte>(seed + static_cast<int>(i) * 7);
  return pattern;
}

// Acknowledges at once and writes down what it hears.
class Recorder {
 public:
  Recorder(std::shared_ptr<Session> session, std::vector<std::string> devices) {
    ListenerCallbacks callbacks;
    callbacks.announce = [this](const ResetAnnouncement& told) { note(announced_, told.reset_id); };
    callbacks.finish = [this](const ResetOutcome& told) { note(finished_, told.reset_id); };
    auto listener = Listener::start(std::move(session), std::move(callbacks), {.devices = std::move(devices)});
    if (!listener) throw std::runtime_error(listener.error().message);
    listener_ = std::move(*listener);
  }
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;
  ~Recorder() = default;

  [[nodiscard]] bool await_finished(std::uint64_t reset_id) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kDeadline, [&] { return std::ranges::count(finished_, reset_id) > 0; });
  }
  // The ids of the resets it was told of.
  [[nodiscard]] std::vector<std::uint64_t> announced() const {
    const std::scoped_lock lock(mutex_);
    return announced_;
  }

 private:
  void note(std::vector<std::uint64_t>& list, std::uint64_t reset_id) {
    {
      const std::scoped_lock lock(mutex_);
      list.push_back(reset_id);
    }
    changed_.notify_all();
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::uint64_t> announced_;
  std::vector<std::uint64_t> finished_;
  std::unique_ptr<Listener> listener_;  // last: its thread uses what is above
};

class Mesh : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(host_.start_simulator({"--board", "mesh:1x2", "--reset-duration", "50"})) << host_.why();
    ASSERT_TRUE(host_.start_daemon({"--device", card(1)})) << host_.why();  // chip 0 is always given
  }

  [[nodiscard]] std::string card(int chip) const {
    return "vfio-user:" + host_.directory() + "/sim/chip" + std::to_string(chip) + ".sock";
  }
  [[nodiscard]] std::shared_ptr<Session> attach(const std::string& name) const {
    auto session = Session::attach({.socket_path = host_.socket_path(), .name = name, .timeout = kDeadline});
    if (!session) throw std::runtime_error(session.error().message);
    return *session;
  }
  [[nodiscard]] std::future<ResetReport> start_reset(std::vector<std::string> devices) const {
    return std::async(std::launch::async, [session = attach("resetter"), devices = std::move(devices)] {
      auto report = warm_reset(*session, devices);
      if (!report) throw std::runtime_error(report.error().message);
      return *report;
    });
  }
  [[nodiscard]] json simulated(const std::string& command) const {
    return json::parse(host_.simulator({command, "--json"}).value_or("{}")).value("chips", json::array());
  }
  void fault(const std::string& chip, const std::string& name) const {
    ASSERT_TRUE(host_.simulator({"fault", chip, name})) << name;
  }
  // That many chips of the board are in reset at the same time.
  [[nodiscard]] bool await_resetting(std::ptrdiff_t count) const {
    const auto deadline = std::chrono::steady_clock::now() + kDeadline;
    const auto resetting = [](const json& chip) { return chip.at("state") == "resetting"; };
    while (std::ranges::count_if(simulated("status"), resetting) != count) {
      if (std::chrono::steady_clock::now() > deadline) return false;
    }
    return true;
  }

  Host host_;
};

void expect_read_and_written(Device& device) {
  for (int i = 0; i < kAccesses; ++i) {
    const Pattern pattern = pattern_of(i);
    const Status written = device.write(kTensix, kSomewhere, pattern);
    ASSERT_TRUE(written) << written.error().message;
    Pattern back{};
    const Status read = device.read(kTensix, kSomewhere, back);
    ASSERT_TRUE(read) << read.error().message;
    ASSERT_EQ(back, pattern);
  }
}

Code code_of_read(Device& device) {
  const auto word = device.read32(kTensix, kSomewhere);
  return word ? Code{} : word.error().code;
}

std::vector<std::string> names_of(const std::vector<ListenerOutcome>& listeners) {
  std::vector<std::string> names;
  for (const ListenerOutcome& listener : listeners) names.push_back(listener.name);
  return names;
}

// Proves that while chip 1 is in its reset (which hangs, so that there is no doubt about it) chip 0 is read and written
// as ever, that its handle and its memory outlive the reset, and that only listeners of chip 1 hear of it.
TEST_F(Mesh, OneChipAlone) {
  Recorder first(attach("first"), {card(0)});
  Recorder second(attach("second"), {card(1)});
  const auto session = attach("user");
  auto spared = Device::open(session, card(0));
  auto reset = Device::open(session, card(1));
  ASSERT_TRUE(spared) << spared.error().message;
  ASSERT_TRUE(reset) << reset.error().message;

  fault("1", "reset-hangs");
  auto verdict = start_reset({card(1)});
  ASSERT_TRUE(await_resetting(1)) << host_.daemon().output();
  expect_read_and_written(*spared);
  EXPECT_TRUE(Device::open(session, card(0)));
  EXPECT_EQ(code_of_read(*reset), Code::kResetting);
  ASSERT_TRUE(await_resetting(1)) << "the reset did not last as long as the accesses";
  fault("1", "none");
  const ResetReport report = verdict.get();
  EXPECT_EQ(report.result, ResetResult::kOk) << report.json;
  EXPECT_EQ(report.devices, std::vector<std::string>{card(1)});
  EXPECT_EQ(names_of(report.listeners), std::vector<std::string>{"second"});

  Pattern back{};
  ASSERT_TRUE(spared->read(kTensix, kSomewhere, back));
  EXPECT_EQ(back, pattern_of(kAccesses - 1));
  EXPECT_EQ(code_of_read(*reset), Code::kStale);
  const json stats = simulated("stats");
  EXPECT_EQ(stats.at(0).at("resets").at("asic"), 0) << stats;
  EXPECT_EQ(stats.at(1).at("resets").at("asic"), 1) << stats;
  EXPECT_EQ(stats.at(1).at("bar_accesses_during_reset"), 0) << stats;

  ASSERT_TRUE(second.await_finished(report.reset_id));
  // Events come in order: once the first listener has heard of a later reset, it would have heard of this one.
  const ResetReport later = start_reset({card(0)}).get();
  EXPECT_EQ(names_of(later.listeners), std::vector<std::string>{"first"});
  ASSERT_TRUE(first.await_finished(later.reset_id));
  EXPECT_EQ(first.announced(), std::vector<std::uint64_t>{later.reset_id});
  EXPECT_EQ(second.announced(), std::vector<std::uint64_t>{report.reset_id});
}

// Proves that a reset of all has the chips in reset at the same time, not one after the other, and proves each.
TEST_F(Mesh, AllSideBySide) {
  Recorder first(attach("first"), {card(0)});
  Recorder second(attach("second"), {card(1)});
  const auto session = attach("user");
  std::vector<Device> devices;
  for (int chip : {0, 1}) devices.push_back(*Device::open(session, card(chip)));

  fault("all", "reset-hangs");
  auto verdict = start_reset({});
  ASSERT_TRUE(await_resetting(2)) << host_.daemon().output();
  fault("all", "none");
  const ResetReport report = verdict.get();
  EXPECT_EQ(report.result, ResetResult::kOk) << report.json;
  EXPECT_EQ(report.devices, (std::vector<std::string>{card(0), card(1)}));
  EXPECT_THAT(names_of(report.listeners), testing::UnorderedElementsAre("first", "second"));
  for (int chip : {0, 1}) {
    const auto is_of_chip = [&](const ResetEvidence& piece) { return piece.device == card(chip) && piece.passed; };
    EXPECT_GT(std::ranges::count_if(report.evidence, is_of_chip), 0) << report.json;
    EXPECT_EQ(code_of_read(devices[static_cast<std::size_t>(chip)]), Code::kStale);
    const json stats = simulated("stats").at(static_cast<std::size_t>(chip));
    EXPECT_EQ(stats.at("resets").at("asic"), 1) << stats;
    EXPECT_EQ(stats.at("bar_accesses_during_reset"), 0) << stats;
  }
  EXPECT_TRUE(first.await_finished(report.reset_id));
  EXPECT_TRUE(second.await_finished(report.reset_id));
}

// Proves that one chip that can't be reset fails the reset of all by name, and only that chip is out of use.
TEST_F(Mesh, OneOfTwoFails) {
  fault("1", "reset-ignored");
  const ResetReport report = start_reset({}).get();
  EXPECT_EQ(report.result, ResetResult::kFailed) << report.json;
  EXPECT_THAT(report.reason, HasSubstr(card(1)));
  EXPECT_THAT(report.reason, testing::Not(HasSubstr(card(0))));
  const auto session = attach("user");
  const json listed = json::parse(*session->devices_json());
  EXPECT_EQ(listed.at(0).at("state"), "ready") << listed;
  EXPECT_EQ(listed.at(1).at("state"), "failed") << listed;
  auto device = Device::open(session, card(0));
  ASSERT_TRUE(device) << device.error().message;
  expect_read_and_written(*device);
}

// Proves that a reset of what is not there, or of one chip twice, is refused in one line, and that nothing is reset.
TEST_F(Mesh, RefusesWrongDevices) {
  struct Wrong {
    std::vector<std::string> devices;
    std::vector<std::string> words;
  };
  const std::vector<Wrong> wrongs = {{{"7"}, {"'7'", card(0), card(1)}},
                                     {{card(0), card(7)}, {card(7), card(0), card(1)}},
                                     {{"0", "0"}, {"twice"}},
                                     {{"1", card(1)}, {"twice", card(1)}}};
  for (const Wrong& wrong : wrongs) {
    std::vector<std::string> arguments = {"reset"};
    for (const std::string& device : wrong.devices) arguments.insert(arguments.end(), {"--device", device});
    Process warden = host_.run("warden", arguments);
    EXPECT_EQ(warden.wait(), 1) << warden.output();
    EXPECT_EQ(warden.out(), "");
    EXPECT_EQ(std::ranges::count(warden.err(), '\n'), 1) << warden.err();
    for (const std::string& word : wrong.words) EXPECT_THAT(warden.err(), HasSubstr(word));
  }
  for (const json& chip : simulated("stats")) EXPECT_EQ(chip.at("resets").at("asic"), 0) << chip;
}

}  // namespace
}  // namespace warden::test
