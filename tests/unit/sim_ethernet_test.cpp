// SPDX-License-Identifier: Apache-2.0
// Two chips with a cable between them: what firmware says of the link, what is sent through it, and what resets and
// pulled cables do to both.
#include <gtest/gtest.h>

#include <memory>

#include "tests/support/rv32_assembler.h"
#include "tests/unit/sim_card.h"
#include "tools/sim/board.h"

namespace warden::sim {
namespace {

using namespace test::rv32;  // NOLINT(google-build-using-namespace): an assembler's mnemonics
using std::chrono::milliseconds;
using testing::Card;

constexpr std::uint64_t kTraining = 0x1104;
constexpr std::uint64_t kQueue = 0xFFB90000;
constexpr std::uint32_t kUp = 1;
constexpr std::uint32_t kInProgress = 0;
constexpr std::uint32_t kFailed = 2;
constexpr std::uint32_t kNotConnected = 3;
constexpr std::uint64_t kRetrain = 0x1EFC;
constexpr std::uint64_t kHeartbeat = 0x1C;

// E0 of the first, (9,0), is wired to E4 of the second, (7,0).
class Ethernet : public ::testing::Test {
 protected:
  struct Place {
    Card& card;
    unsigned x, y;
    std::uint32_t word(std::uint64_t address) { return card.tile32(x, y, address); }
    void set(std::uint64_t address, std::uint32_t value) { card.tile_write32(x, y, address, value); }
    void send(std::uint32_t start, std::uint32_t size, std::uint32_t destination, unsigned queue = 0) {
      const std::uint64_t registers = kQueue + 0x1000 * queue;
      set(registers + 0x14, start);
      set(registers + 0x18, size);
      set(registers + 0x1C, destination);
      set(registers + 0x04, 2);
    }
    void load(std::initializer_list<Word> program) {
      std::uint64_t at = 0;
      for (const Word word : program) set(std::exchange(at, at + 4), word);
      set(0xFFB121B0, 0);
    }
    bool latched(unsigned queue = 0) { return word(kQueue + 0x1000 * queue + 0x04) == 0; }
  };

  Ethernet() {
    options_.board = {.kind = "mesh", .rows = 1, .columns = 2};
    const Cable cable = cables_of(options_).front();
    link_ = std::make_shared<EthernetLink>(milliseconds(50));
    for (unsigned end : {0U, 1U}) {
      Card& card = end == 0 ? first_ : second_;
      card.config_write(testing::kCommand, 0x6);
      card.chip.connect(cable.ends[end].channel, {link_, end}, link_identity(options_, cable, end));
    }
  }
  void pass(std::chrono::nanoseconds time) {
    first_.pass(time);
    second_.pass(time);
  }
  std::optional<TimePoint> serve(Card& card) { return card.chip.run_cores(10'000); }
  void serve() {
    (void)serve(first_);
    (void)serve(second_);
  }
  void train() {
    pass(milliseconds(50));
    serve();
  }
  void reset(Card& card) {
    card.message(0x56, 0);
    pass(milliseconds(200));
    card.config_write(testing::kCommand, 0x6);
  }

  BoardOptions options_;
  Card first_;
  Card second_;
  std::shared_ptr<EthernetLink> link_;
  Place here_{first_, 9, 0};
  Place there_{second_, 7, 0};
};

TEST_F(Ethernet, FirmwareTellsOfItsLink) {
  serve();
  EXPECT_EQ(here_.word(kTraining), kInProgress) << "the second has come up";
  EXPECT_EQ(first_.tile32(1, 0, kTraining), kNotConnected) << "no cable";
  EXPECT_EQ(serve(first_), first_.now + milliseconds(50));
  train();
  EXPECT_EQ(here_.word(kTraining), kUp);
  EXPECT_EQ(there_.word(kTraining), kUp);
  EXPECT_EQ(here_.word(0x1108), 0U) << "chip (0,0)";
  EXPECT_EQ(there_.word(0x1108), 1U << 16) << "chip (1,0)";
  EXPECT_EQ(here_.word(0x1124), 1U << 16);
  EXPECT_EQ(there_.word(0x1124), 0U);
  EXPECT_EQ(here_.word(0x1EC0 + 4 * 64), there_.word(0x1EC0 + 4 * 72));
  EXPECT_EQ(here_.word(0x1EC0 + 4 * 76), 4U) << "the channel over there";
  EXPECT_EQ(there_.word(0x1EC0 + 4 * 76), 0U);
  EXPECT_FALSE(serve(first_)) << "nothing more to do";
}

TEST_F(Ethernet, WritesArriveOnTheOtherSide) {
  train();
  for (std::uint32_t i = 0; i < 64; ++i) here_.set(0x31000 + 4 * i, 100 + i);
  here_.send(0x31000, 256, 0x32000);
  EXPECT_TRUE(here_.latched());
  serve();
  for (std::uint32_t i = 0; i < 64; ++i) ASSERT_EQ(there_.word(0x32000 + 4 * i), 100 + i);
  there_.send(0x32000, 16, 0x33000, 1);
  serve();
  EXPECT_EQ(here_.word(0x33000), 100U) << "the other queue, the other way";
}

// A queue that needs its time: what it is told meanwhile is lost, and it sends what is there when it looks.
TEST_F(Ethernet, ASlowQueueLooksLate) {
  const auto slow = std::make_shared<EthernetLink>(milliseconds(50), std::chrono::microseconds(100));
  for (unsigned end : {0U, 1U}) {
    const Cable cable = cables_of(options_).front();
    (end == 0 ? first_ : second_)
        .chip.connect(cable.ends[end].channel, {slow, end}, link_identity(options_, cable, end));
  }
  train();
  here_.set(0x31000, 1);
  here_.send(0x31000, 16, 0x32000);
  EXPECT_FALSE(here_.latched());
  EXPECT_EQ(serve(first_), first_.now + std::chrono::microseconds(100));
  here_.send(0x31000, 32, 0x33000);
  pass(std::chrono::microseconds(100));
  serve();
  EXPECT_TRUE(here_.latched());
  here_.set(0x31000, 2);
  pass(milliseconds(1));
  serve();
  EXPECT_EQ(there_.word(0x32000), 0U) << "where it was to go was changed too early";
  EXPECT_EQ(there_.word(0x33000), 2U);
  here_.set(0x31000, 3);
  pass(milliseconds(1));
  serve();
  EXPECT_EQ(there_.word(0x33000), 2U) << "the second command is lost";
}

TEST_F(Ethernet, RegistersAreWrittenByTheFirstQueueOnly) {
  train();
  const auto write_register = [&](std::uint64_t queue) {
    here_.set(queue + 0x1C, 0xFFB121B0);
    here_.set(queue + 0x44, 0);
    here_.set(queue + 0x04, 4);
  };
  EXPECT_EQ(there_.word(0xFFB121B0), 0x800U);
  write_register(kQueue);
  serve();
  EXPECT_EQ(there_.word(0xFFB121B0), 0U) << "let go";
  write_register(kQueue + 0x1000);
  EXPECT_FALSE(here_.latched(1));
}

TEST_F(Ethernet, WhatMakesNoSenseIsNeverLatched) {
  train();
  struct Bad {
    std::uint32_t start, size, destination;
  };
  for (const Bad& bad : {Bad{0x1008, 16, 0x2000}, Bad{0x1000, 8, 0x2000}, Bad{0x1000, 16, 0x2008},
                         Bad{0x1000, 0, 0x2000}, Bad{0x3FFF0, 32, 0x2000}}) {
    here_.send(bad.start, bad.size, bad.destination);
    serve();
    EXPECT_FALSE(here_.latched()) << bad.start << " " << bad.size;
    reset(first_);
    train();
    EXPECT_TRUE(here_.latched());
  }
  Place alone{first_, 1, 0};
  alone.send(0x1000, 16, 0x2000);
  EXPECT_FALSE(alone.latched()) << "no cable";
}

TEST_F(Ethernet, NothingIsLostOrTurnedRoundWhenItIsFull) {
  train();
  constexpr std::uint32_t kPacket = 4096;
  std::uint32_t sent = 0;
  std::uint32_t seen = 0;
  for (; sent < 200; ++sent) {
    while (!here_.latched()) {
      const int rung = first_.rung;
      (void)serve(second_);
      ASSERT_GT(first_.rung, rung) << "told that there is room again";
      const std::uint32_t last = there_.word(0x20000);
      ASSERT_GE(last, seen);
      seen = last;
      (void)serve(first_);
    }
    here_.set(0x10000, sent + 1);
    here_.send(0x10000, kPacket, 0x20000);
  }
  for (int i = 0; i < 3; ++i) serve();
  EXPECT_EQ(there_.word(0x20000), sent);
}

TEST_F(Ethernet, AResetTakesTheLinkDownAndItTrainsAgain) {
  train();
  here_.set(0x1000, 7);
  second_.message(0x56, 0);
  serve();
  EXPECT_EQ(here_.word(kTraining), kNotConnected);
  here_.send(0x1000, 16, 0x2000);
  EXPECT_FALSE(here_.latched()) << "held back";
  pass(milliseconds(200));
  second_.config_write(testing::kCommand, 0x6);
  serve();
  EXPECT_EQ(here_.word(kTraining), kInProgress);
  EXPECT_FALSE(here_.latched());
  train();
  serve();
  EXPECT_EQ(here_.word(kTraining), kUp);
  EXPECT_EQ(there_.word(kTraining), kUp);
  EXPECT_TRUE(here_.latched());
  EXPECT_EQ(there_.word(0x2000), 7U) << "sent when the link was up again";
}

TEST_F(Ethernet, AFunctionResetLeavesTheLinkAlone) {
  train();
  EXPECT_TRUE(second_.chip.begin_reset(ResetKind::kFunction));
  pass(milliseconds(200));
  serve();
  EXPECT_EQ(here_.word(kTraining), kUp);
}

TEST_F(Ethernet, ACableCanBePulled) {
  train();
  here_.set(0x1000, 7);
  EXPECT_FALSE(first_.chip.set_plugged(9, false)) << "no cable there";
  EXPECT_TRUE(first_.chip.set_plugged(0, false));
  serve();
  EXPECT_EQ(there_.word(kTraining), kNotConnected);
  here_.send(0x1000, 16, 0x2000);
  EXPECT_TRUE(second_.chip.set_plugged(4, true));
  train();
  serve();
  EXPECT_EQ(there_.word(0x2000), 7U);
}

TEST_F(Ethernet, AWordMakesItTrainAnew) {
  train();
  here_.set(0x1000, 7);
  for (Place* asks : {&here_, &there_}) {
    asks->set(kRetrain, 1);
    EXPECT_EQ(asks->word(kTraining), kInProgress);
    serve();
    EXPECT_EQ(here_.word(kTraining), kInProgress);
    EXPECT_EQ(there_.word(kTraining), kInProgress);
    here_.send(0x1000, 16, 0x2000);
    EXPECT_FALSE(here_.latched()) << "held back";
    pass(milliseconds(49));
    serve();
    EXPECT_EQ(asks->word(kRetrain), 1U) << "not yet";
    pass(milliseconds(1));
    serve();
    EXPECT_EQ(asks->word(kRetrain), 0U);
    EXPECT_EQ(here_.word(kTraining), kUp);
    EXPECT_EQ(there_.word(kTraining), kUp);
    serve();
    EXPECT_EQ(there_.word(0x2000), 7U);
    there_.set(0x2000, 0);
  }
  first_.tile_write32(1, 0, kRetrain, 1);
  EXPECT_EQ(first_.tile32(1, 0, kRetrain), 0U) << "no cable: nothing to train";
  here_.set(kRetrain, 2);
  EXPECT_EQ(here_.word(kTraining), kUp) << "only 1 is an order";
}

// The core over here gives the order, waits until its word is 0, and counts how often the link was up then.
TEST_F(Ethernet, ACoreCanGiveTheOrder) {
  train();
  here_.load({lui(6, 0x2000), addi(5, 0, 1), sw(5, 6, -260), lw(5, 6, -260), bne(5, 0, -4), lui(7, 0x1000),
              lw(5, 7, 0x104), sw(5, 0, 0x200), jal(0, 0)});
  serve();
  EXPECT_EQ(here_.word(kTraining), kInProgress);
  EXPECT_EQ(there_.word(kTraining), kInProgress);
  train();
  serve();
  EXPECT_EQ(here_.word(0x200), kUp);
}

TEST_F(Ethernet, TrainingCanFail) {
  train();
  second_.chip.set_fault(Fault::kTrainingFails);
  serve();
  EXPECT_EQ(here_.word(kTraining), kUp) << "it was up";
  here_.set(0x1000, 7);
  here_.set(kRetrain, 1);
  train();
  EXPECT_EQ(here_.word(kTraining), kFailed);
  EXPECT_EQ(there_.word(kTraining), kFailed);
  EXPECT_EQ(here_.word(kRetrain), 0U) << "over";
  here_.send(0x1000, 16, 0x2000);
  EXPECT_FALSE(here_.latched());
  reset(second_);
  train();
  EXPECT_EQ(here_.word(kTraining), kFailed) << "again";
  second_.chip.set_fault(Fault::kNone);
  serve();
  EXPECT_EQ(here_.word(kTraining), kInProgress);
  train();
  serve();
  EXPECT_EQ(here_.word(kTraining), kUp);
  EXPECT_EQ(there_.word(0x2000), 7U);
}

TEST_F(Ethernet, FirmwareHasAHeartbeatUntilItIsWrittenOver) {
  const std::uint32_t before = here_.word(kHeartbeat);
  EXPECT_EQ(before >> 16, 0xABCDU);
  pass(milliseconds(3));
  EXPECT_EQ(here_.word(kHeartbeat), 0xABCD0000U | ((before + 3) & 0xFFFF));
  here_.set(kHeartbeat, 0x13);
  pass(milliseconds(3));
  EXPECT_EQ(here_.word(kHeartbeat), 0x13U);
}

// A core that waits for its command to be latched goes on when there is room, and one over there for what arrives.
TEST_F(Ethernet, CoresHearOfWhatHappens) {
  train();
  there_.load({lui(6, 0x2000), lw(5, 6, 0), beq(5, 0, -4), sw(5, 6, 16), jal(0, 0)});
  // Sends, waits until that is latched, and says so at 0x3000.
  here_.load({lui(6, kQueue), addi(5, 0, 2), sw(5, 6, 4), lw(5, 6, 4), bne(5, 0, -4), lui(7, 0x3000), addi(5, 0, 1),
              sw(5, 7, 0), jal(0, 0)});
  EXPECT_TRUE(first_.chip.set_plugged(0, false));
  here_.set(0x1000, 7);
  here_.set(kQueue + 0x14, 0x1000);
  here_.set(kQueue + 0x18, 16);
  here_.set(kQueue + 0x1C, 0x2000);
  serve();
  EXPECT_EQ(here_.word(0x3000), 0U) << "waits";
  EXPECT_TRUE(first_.chip.set_plugged(0, true));
  train();
  serve();
  EXPECT_EQ(here_.word(0x3000), 1U);
  EXPECT_EQ(there_.word(0x2010), 7U);
}

// Serving the links of a chip does not keep those awake for whom there is nothing.
TEST_F(Ethernet, CoresThatPollTheClockAreLookedAtLessAndLess) {
  train();
  std::uint64_t at = 0;
  for (const Word word : {lui(7, 0xFFB12000), lw(5, 7, 0x1F0), jal(0, -4)}) here_.set(std::exchange(at, at + 4), word);
  here_.set(0xFFB121B0, 0);
  std::chrono::nanoseconds pause{};
  for (int i = 0; i < 20; ++i) {
    const auto next = serve(first_);
    ASSERT_TRUE(next);
    pause = *next - first_.now;
    pass(pause);
  }
  EXPECT_GE(pause, milliseconds(1));
}

TEST(Cables, JoinNeighbours) {
  BoardOptions options;
  EXPECT_TRUE(cables_of(options).empty()) << "n150";
  options.board = {.kind = "mesh", .rows = 4, .columns = 8};
  EXPECT_EQ(cables_of(options).size(), 4U * 7 + 8U * 3);
  options.links_per_edge = 4;
  EXPECT_EQ(cables_of(options).size(), 4U * (4U * 7 + 8U * 3));
  for (const Cable& cable : cables_of(options)) {
    const unsigned a = cable.ends[0].chip;
    const unsigned b = cable.ends[1].chip;
    EXPECT_TRUE(b == a + 1 ? b % 8 != 0 : b == a + 8) << a << " " << b;
  }
}

}  // namespace
}  // namespace warden::sim
