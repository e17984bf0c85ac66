// SPDX-License-Identifier: Apache-2.0
// Deterministic mode: a scripted scenario leaves every bit of memory and every counter the same in each run, however
// the host's clock and threads go, and ordinary clients work.
#include <gtest/gtest.h>
#include <linux/vfio.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>

#include "tests/e2e/sim_process.h"
#include "tests/support/rv32_assembler.h"

namespace warden::sim::testing {
namespace {

using namespace test::rv32;  // NOLINT(google-build-using-namespace): an assembler's mnemonics
using nlohmann::json;

constexpr std::uint32_t kBar0 = VFIO_PCI_BAR0_REGION_INDEX;
constexpr std::uint32_t kNiu = 0xFFB20000;
constexpr std::uint32_t kQueue = 0xFFB90000;
constexpr std::uint32_t kTarget = 0x2000;
constexpr std::uint32_t kArrived = 0x3000;

struct Place {
  unsigned chip = 0;
  unsigned x = 0;
  unsigned y = 0;
};
constexpr Place kWorker{0, 1, 1};  // counts, and writes what it counts to
constexpr Place kSender{0, 9, 0};  // E0 of the first chip, which sends it to
constexpr Place kLogger{1, 7, 0};  // E4 of the second, which keeps the time of each arrival

// One simulator with two chips, and a client for each.
class Scene {
 public:
  explicit Scene(bool deterministic) : sim_(arguments(deterministic)) {
    for (unsigned chip = 0; chip < 2; ++chip) {
      clients_.push_back(std::make_unique<WireClient>(sim_.socket(chip)));
      EXPECT_TRUE(clients_.back()->hello());
    }
  }
  void write(const Place& at, std::uint32_t address, std::uint32_t value) {
    clients_[at.chip]->write32(kBar0, aim(at, address), value);
  }
  std::uint32_t read(const Place& at, std::uint32_t address) {
    return clients_[at.chip]->read32(kBar0, aim(at, address));
  }
  void load(const Place& at, std::initializer_list<Word> program) {
    std::uint32_t address = 0;
    for (const Word word : program) write(at, std::exchange(address, address + 4), word);
    write(at, 0xFFB121B0, at.y == 0 ? 0 : 0x47000);
  }
  // Loads all three cores.
  void start() {
    // The registers of its request are set by us: 16 bytes of its own L1 at kTarget to the sender's.
    constexpr auto kPlace = [](const Place& at) { return at.x << 4 | at.y << 10; };
    write(kWorker, kNiu + 0x00, kTarget);
    write(kWorker, kNiu + 0x04, kPlace(kWorker));
    write(kWorker, kNiu + 0x0C, kTarget);
    write(kWorker, kNiu + 0x10, kPlace(kSender));
    write(kWorker, kNiu + 0x1C, 0x12);
    write(kWorker, kNiu + 0x20, 16);
    write(kSender, kQueue + 0x14, kTarget);
    write(kSender, kQueue + 0x18, 16);
    write(kSender, kQueue + 0x1C, kArrived);
    // Its log: times and counts, at 0x10000, going round in 64 KiB.
    load(kLogger, {lui(6, kArrived), lui(7, 0xFFB12000), lui(10, 0x10000), lui(13, 0xF000), lw(5, 6, 0), beq(5, 8, -4),
                   addi(8, 5, 0), lw(11, 7, 0x1F0), r_type(0, 0, 12, 10, 9), sw(11, 12, 0), sw(5, 12, 4), addi(9, 9, 8),
                   r_type(0, 7, 9, 9, 13), jal(0, -36)});
    load(kSender, {lui(6, kTarget), lui(7, kQueue), addi(9, 0, 2), lw(5, 6, 0), beq(5, 8, -4), addi(8, 5, 0),
                   lw(10, 7, 4), bne(10, 0, -4), sw(9, 7, 4), jal(0, -24)});
    // Waits between two as long as 0x400 says, by its clock.
    load(kWorker, {lui(6, kTarget), lui(7, 0xFFB12000), lui(8, kNiu), addi(9, 0, 1), lw(10, 7, 0x1F0), lw(11, 0, 0x400),
                   lw(12, 7, 0x1F0), r_type(0x20, 0, 13, 12, 10), branch(6, 13, 11, -8), addi(5, 5, 1), sw(5, 6, 0),
                   sw(9, 8, 0x28), jal(0, -32)});
  }
  json step(unsigned us) { return json::parse(sim_.ctl({"step", std::to_string(us), "--json"})); }
  json digest() { return json::parse(sim_.ctl({"digest", "--json"})); }
  [[nodiscard]] const SimProcess& sim() const { return sim_; }
  [[nodiscard]] WireClient& client(unsigned chip) { return *clients_[chip]; }

 private:
  static std::vector<std::string> arguments(bool deterministic) {
    std::vector<std::string> all = {"--board", "mesh:1x2", "--link-training", "1", "--reset-duration", "5"};
    if (deterministic) all.emplace_back("--deterministic");
    return all;
  }
  std::uint64_t aim(const Place& at, std::uint32_t address) {
    constexpr std::uint64_t kWindow = 0x1FC00000 + 8 * 166;  // the first of 16 MiB
    clients_[at.chip]->write32(kBar0, kWindow, address >> 24 | at.x << 12 | at.y << 18);
    clients_[at.chip]->write32(kBar0, kWindow + 4, 1U << 6);
    return 0xB000000 + (address & 0xFFFFFF);
  }
  SimProcess sim_;
  std::vector<std::unique_ptr<WireClient>> clients_;
};

// The script: what it read on the way, and the digests at its end.
json run_script(unsigned last_step_us) {
  Scene scene(true);
  scene.start();
  scene.step(1000);  // the link trains
  std::vector<std::uint32_t> read;
  for (std::uint32_t round = 0; round < 20; ++round) {
    scene.write(kWorker, 0x400, 500 + 731 * round);
    scene.step(37);
    read.push_back(scene.read(kLogger, kArrived));
  }
  if (read.back() < 50) ADD_FAILURE() << "only so many messages have arrived: " << read.back();
  scene.step(last_step_us);
  return {{"read", read}, {"digests", scene.digest()}};
}

TEST(SimDeterministic, TheSameScriptLeavesTheSame) {
  const json first = run_script(100);
  EXPECT_EQ(run_script(100), first);
  EXPECT_NE(run_script(120), first) << "a digest that does not tell them apart proves nothing";
}

// Proves that no time passes while nobody asks for any: nothing changes between two looks that are no accesses.
TEST(SimDeterministic, TimePassesWithAccessesAndStepsOnly) {
  Scene scene(true);
  scene.start();
  const json now = scene.step(0);
  const json digest = scene.digest();
  ::usleep(20'000);
  EXPECT_EQ(scene.digest(), digest);
  EXPECT_EQ(scene.step(0), now);
  EXPECT_EQ(scene.step(2000).at("now_us"), now.at("now_us").get<std::uint64_t>() + 2000);
  (void)scene.client(0).read32(kBar0, 0x1FF30060);
  EXPECT_EQ(scene.step(0).at("now_us"), now.at("now_us").get<std::uint64_t>() + 2001);
  EXPECT_NE(scene.digest(), digest);
}

// Proves that a client that only polls gets where it wants, and that resets take their time and end.
TEST(SimDeterministic, ClientsThatPollWork) {
  Scene scene(true);
  scene.start();
  scene.write(kWorker, 0x400, 1000);
  std::uint32_t polls = 0;
  while (scene.read(kLogger, kArrived) < 30) ASSERT_LT(++polls, 10'000U);
  const std::uint64_t before_us = scene.step(0).at("now_us");
  const auto reply = scene.client(1).ask(vfio::wire::Command::kDeviceReset);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->header.error_number, 0U);
  EXPECT_GE(scene.step(0).at("now_us"), before_us + 5000);
}

TEST(SimDeterministic, StepsAreRefusedWhereTimePassesByItself) {
  const Scene scene(false);
  const Finished finished = run_sim({"ctl", "--dir", scene.sim().directory(), "step", "1"});
  EXPECT_EQ(finished.status, 1);
  EXPECT_EQ(std::ranges::count(finished.errors, '\n'), 1) << finished.errors;
  EXPECT_NE(finished.errors.find("--deterministic"), std::string::npos) << finished.errors;
}

}  // namespace
}  // namespace warden::sim::testing
