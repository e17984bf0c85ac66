// SPDX-License-Identifier: Apache-2.0
// Baby cores in their tiles: let go by the host through windows, and what they do to the NoC.
#include <gtest/gtest.h>

#include <initializer_list>
#include <string>

#include "tests/support/rv32_assembler.h"
#include "tests/unit/sim_card.h"

namespace warden::sim {
namespace {

using namespace test::rv32;  // NOLINT(google-build-using-namespace): an assembler's mnemonics
using testing::Card;

constexpr std::uint64_t kSoftReset = 0xFFB121B0;
constexpr std::uint32_t kAllHeld = 0x47800;
constexpr std::uint32_t kBriscRuns = 0x47000;
constexpr std::uint64_t kNiu0 = 0xFFB20000;
constexpr std::uint64_t kCounters = kNiu0 + 0x200;

class BabyCores : public ::testing::Test {
 protected:
  BabyCores() { card_.config_write(testing::kCommand, 0x6); }

  void load(unsigned x, unsigned y, std::initializer_list<Word> program, std::uint64_t address = 0) {
    for (const Word word : program) {
      card_.tile_write32(x, y, address, word);
      address += 4;
    }
  }
  void start(unsigned x, unsigned y, std::uint32_t held = kAllHeld, std::uint32_t runs = kBriscRuns) {
    card_.tile_write32(x, y, kSoftReset, held);
    card_.tile_write32(x, y, kSoftReset, runs);
  }
  std::optional<TimePoint> run(std::uint64_t instructions = 100'000) { return card_.chip.run_cores(instructions); }

  // The recipe of a request on NoC #0: the registers of initiator 0 of (x, y), from the host.
  struct Request {
    std::uint32_t target_low = 0, target_mid = 0, return_low = 0, return_mid = 0, control = 0, length = 0, data = 0;
  };
  static constexpr std::uint32_t at(unsigned x, unsigned y) { return x << 4 | y << 10; }
  void send(unsigned x, unsigned y, const Request& request, std::uint64_t niu = kNiu0) {
    card_.tile_write32(x, y, niu + 0x00, request.target_low);
    card_.tile_write32(x, y, niu + 0x04, request.target_mid);
    card_.tile_write32(x, y, niu + 0x0C, request.return_low);
    card_.tile_write32(x, y, niu + 0x10, request.return_mid);
    card_.tile_write32(x, y, niu + 0x1C, request.control);
    card_.tile_write32(x, y, niu + 0x20, request.length);
    card_.tile_write32(x, y, niu + 0x24, request.data);
    card_.tile_write32(x, y, niu + 0x28, 1);
  }
  bool accepted(unsigned x, unsigned y, std::uint64_t niu = kNiu0) { return card_.tile32(x, y, niu + 0x28) == 0; }
  std::uint32_t counter(unsigned x, unsigned y, unsigned which) { return card_.tile32(x, y, kCounters + 4 * which); }

  Card card_;
};

TEST_F(BabyCores, RunWhenLetGo) {
  load(1, 1, {addi(5, 0, 42), sw(5, 0, 0x100), kEbreak});
  EXPECT_FALSE(run()) << "held: nothing to do";
  EXPECT_EQ(card_.tile32(1, 1, 0x100), 0U);
  start(1, 1);
  EXPECT_FALSE(run()) << "ended";
  EXPECT_EQ(card_.tile32(1, 1, 0x100), 42U);
}

TEST_F(BabyCores, GoOnWhenTheHostWritesWhatTheyPoll) {
  load(1, 1, {lw(5, 0, 0x200), beq(5, 0, -4), sw(5, 0, 0x204), sw(0, 0, 0x200), jal(0, -16)});
  start(1, 1);
  EXPECT_FALSE(run()) << "waits";
  for (const std::uint32_t value : {7U, 9U}) {
    card_.tile_write32(1, 1, 0x200, value);
    EXPECT_FALSE(run());
    EXPECT_EQ(card_.tile32(1, 1, 0x204), value);
  }
}

TEST_F(BabyCores, AreLetRunAgainWhenTheyPollTheClock) {
  // Counts at 0x204 how often it has seen a microsecond pass.
  load(1, 1,
       {lui(7, 0xFFB12000), lw(5, 7, 0x1F0), lw(6, 7, 0x1F0), r_type(0x20, 0, 8, 6, 5), i_type(0x13, 2, 9, 8, 1000),
        bne(9, 0, -12), lw(10, 0, 0x204), addi(10, 10, 1), sw(10, 0, 0x204), jal(0, -32)});
  start(1, 1);
  for (std::uint32_t round = 0; round < 20; ++round) {
    ASSERT_EQ(card_.tile32(1, 1, 0x204), round);
    const auto next = run();
    ASSERT_TRUE(next);
    ASSERT_GT(*next, card_.now);
    ASSERT_LE(*next, card_.now + std::chrono::milliseconds(41));
    card_.now = std::max(*next, card_.now + std::chrono::microseconds(2));
    (void)run();
  }
}

TEST_F(BabyCores, DozeWhileTheyWaitForTheClock) {
  // Counts at 0x204 every 50 ms, and at 0x208 how often 0x200 was written.
  load(1, 1,
       {lui(7, 0xFFB12000), lui(10, 0x2FAF000), lw(11, 7, 0x1F0), lw(8, 0, 0x200), bne(8, 0, 36), lw(12, 7, 0x1F0),
        r_type(0x20, 0, 13, 12, 11), branch(6, 13, 10, -16), addi(11, 12, 0), lw(14, 0, 0x204), addi(14, 14, 1),
        sw(14, 0, 0x204), jal(0, -36), sw(0, 0, 0x200), lw(14, 0, 0x208), addi(14, 14, 1), sw(14, 0, 0x208),
        jal(0, -56)});
  start(1, 1);
  const TimePoint begin = card_.now;
  int looks = 0;
  for (; card_.now < begin + std::chrono::seconds(2); ++looks) {
    const auto next = run();
    ASSERT_TRUE(next);
    ASSERT_GT(*next, card_.now);
    ASSERT_LE(*next, card_.now + std::chrono::milliseconds(41));
    card_.now = *next;
  }
  EXPECT_LT(looks, 160);
  EXPECT_GE(card_.tile32(1, 1, 0x204), 21U) << "each at most 41 ms late";
  card_.tile_write32(1, 1, 0x200, 1);
  EXPECT_EQ(*run(),
            card_.now + std::chrono::microseconds(20) - card_.now.time_since_epoch() % std::chrono::microseconds(20))
      << "and soon again";
  EXPECT_EQ(card_.tile32(1, 1, 0x208), 1U) << "at once";
}

TEST_F(BabyCores, StopWhenPutBackIntoReset) {
  load(1, 1, {lw(5, 0, 0x200), addi(5, 5, 1), sw(5, 0, 0x200), jal(0, -12)});
  start(1, 1);
  EXPECT_TRUE(run());
  card_.tile_write32(1, 1, kSoftReset, kAllHeld);
  const std::uint32_t reached = card_.tile32(1, 1, 0x200);
  EXPECT_GT(reached, 100U);
  EXPECT_FALSE(run());
  EXPECT_EQ(card_.tile32(1, 1, 0x200), reached) << "L1 survives, and nobody writes";
}

TEST_F(BabyCores, HangOnDemandWithTheirMemoryInReach) {
  EXPECT_FALSE(card_.chip.freeze_core({1, 1})) << "held in reset";
  EXPECT_FALSE(card_.chip.freeze_core({0, 0})) << "no core";
  load(1, 1, {lw(5, 0, 0x200), addi(5, 5, 1), sw(5, 0, 0x200), jal(0, -12)});
  start(1, 1);
  EXPECT_TRUE(run());
  ASSERT_TRUE(card_.chip.freeze_core({1, 1}));
  EXPECT_EQ(card_.chip.frozen_cores(), std::vector<Coordinate>({{1, 1}}));
  EXPECT_FALSE(run()) << "nobody's turn";
  card_.tile_write32(1, 1, 0x200, 1);
  EXPECT_FALSE(run());
  EXPECT_EQ(card_.tile32(1, 1, 0x200), 1U);
  EXPECT_TRUE(card_.chip.thaw_core({1, 1}));
  EXPECT_FALSE(card_.chip.thaw_core({1, 1})) << "does not hang";
  EXPECT_TRUE(run());
  EXPECT_GT(card_.tile32(1, 1, 0x200), 100U);
  EXPECT_EQ(card_.chip.frozen_cores(), std::vector<Coordinate>());

  ASSERT_TRUE(card_.chip.freeze_core({1, 1}));
  start(1, 1);
  EXPECT_EQ(card_.chip.frozen_cores(), std::vector<Coordinate>()) << "healed by its reset";
  EXPECT_TRUE(run());
}

// What is written to a core that hangs is not lost on one that waited for it.
TEST_F(BabyCores, ThatHangSeeAfterwardsWhatTheyWaitedFor) {
  load(1, 1, {lw(5, 0, 0x200), beq(5, 0, -4), sw(5, 0, 0x204), kEbreak});
  start(1, 1);
  EXPECT_FALSE(run());
  ASSERT_TRUE(card_.chip.freeze_core({1, 1}));
  card_.tile_write32(1, 1, 0x200, 5);
  EXPECT_FALSE(run());
  EXPECT_EQ(card_.tile32(1, 1, 0x204), 0U);
  EXPECT_TRUE(card_.chip.thaw_core({1, 1}));
  EXPECT_FALSE(run());
  EXPECT_EQ(card_.tile32(1, 1, 0x204), 5U);
}

TEST_F(BabyCores, AreGoneAfterAReset) {
  load(1, 1, {jal(0, 0)});
  start(1, 1);
  load(1, 2, {lw(5, 0, 0x200), addi(5, 5, 1), sw(5, 0, 0x200), jal(0, -12)});
  start(1, 2);
  EXPECT_TRUE(run());
  card_.message(0x56, 0);
  EXPECT_EQ(run(), card_.now + std::chrono::milliseconds(200)) << "nothing runs before its end";
  card_.pass(std::chrono::milliseconds(200));
  EXPECT_FALSE(run());
  card_.config_write(testing::kCommand, 0x6);
  EXPECT_EQ(card_.tile32(1, 2, 0x200), 0U);
  EXPECT_EQ(card_.tile32(1, 2, kSoftReset), kAllHeld);
}

TEST_F(BabyCores, OfEthernetTilesRunToo) {
  load(1, 0, {addi(5, 0, 42), sw(5, 0, 0x100), kEbreak});
  EXPECT_EQ(card_.tile32(1, 0, kSoftReset), 0x800U);
  start(1, 0, 0x800, 0);
  run();
  EXPECT_EQ(card_.tile32(1, 0, 0x100), 42U);
}

// A core of (1,1) writes a word to (2,3) and rings there; the one of (2,3) answers.
TEST_F(BabyCores, TalkThroughTheNoc) {
  load(1, 1,
       {lui(7, 0xFFB20000), addi(5, 0, 0x300), sw(5, 7, 0x00), lui(6, 0), addi(6, 6, 0x410), sw(6, 7, 0x04),
        addi(5, 0, 0x300), sw(5, 7, 0x0C), lui(6, 0x1000), addi(6, 6, -0x3E0), sw(6, 7, 0x10), addi(5, 0, 0x12),
        sw(5, 7, 0x1C), addi(5, 0, 16), sw(5, 7, 0x20), addi(5, 0, 1), sw(5, 7, 0x28), lw(5, 7, 0x204), kEbreak});
  card_.tile_write32(1, 1, 0x300, 77);
  load(2, 3, {lw(5, 0, 0x300), beq(5, 0, -4), sw(5, 0, 0x400), kEbreak});
  start(2, 3);
  EXPECT_FALSE(run());
  start(1, 1);
  EXPECT_FALSE(run());
  EXPECT_EQ(card_.tile32(2, 3, 0x400), 77U);
  EXPECT_EQ(counter(1, 1, 1), 1U) << "write acknowledged";
}

// ---- the initiators ----

TEST_F(BabyCores, RequestsDoWhatTheyAreKnownTo) {
  for (std::uint32_t i = 0; i < 64; ++i) {
    card_.tile_write32(1, 1, 0x9000 + 4 * i, 0x1000 + i);
    card_.tile_write32(2, 3, 0xB000 + 4 * i, 0x2000 + i);
  }
  send(1, 1,
       {.target_low = 0x9000,
        .target_mid = at(1, 1),
        .return_low = 0xA000,
        .return_mid = at(2, 3),
        .control = 0x12,
        .length = 256});
  send(1, 1,
       {.target_low = 0xB000,
        .target_mid = at(2, 3),
        .return_low = 0xC000,
        .return_mid = at(1, 1),
        .control = 0x10,
        .length = 256});
  for (std::uint32_t i = 0; i < 64; ++i) {
    ASSERT_EQ(card_.tile32(2, 3, 0xA000 + 4 * i), 0x1000 + i);
    ASSERT_EQ(card_.tile32(1, 1, 0xC000 + 4 * i), 0x2000 + i);
  }
  send(1, 1, {.target_low = 0xA104, .target_mid = at(2, 3), .control = 0x1A, .length = 0xF << 4, .data = 0x1234ABCD});
  EXPECT_EQ(card_.tile32(2, 3, 0xA100), 0U);
  EXPECT_EQ(card_.tile32(2, 3, 0xA104), 0x1234ABCDU);
  card_.tile_write32(2, 3, 0xA200, 100);
  send(1, 1,
       {.target_low = 0xA200,
        .target_mid = at(2, 3),
        .return_low = 0xC200,
        .return_mid = at(1, 1),
        .control = 0x11,
        .length = 0x107C,
        .data = 5});
  EXPECT_EQ(card_.tile32(2, 3, 0xA200), 105U);
  EXPECT_EQ(card_.tile32(1, 1, 0xC200), 100U);
  EXPECT_EQ(counter(1, 1, 1), 2U) << "write acknowledgements";
  EXPECT_EQ(counter(1, 1, 2), 1U) << "read responses";
  EXPECT_EQ(counter(1, 1, 3), 8U) << "words of 32 bytes read";
  EXPECT_EQ(counter(1, 1, 0), 1U) << "atomic responses";
  EXPECT_EQ(counter(1, 1, 4), 4U) << "commands accepted";
  EXPECT_TRUE(accepted(1, 1));
}

TEST_F(BabyCores, RequestsReachRegistersAndMemoryEverywhere) {
  send(1, 1, {.target_low = 0xFFB121B0, .target_mid = at(2, 3), .control = 0x1A, .length = 0xF, .data = 0x47000});
  EXPECT_EQ(card_.tile32(2, 3, kSoftReset), kBriscRuns);
  card_.tile_write32(1, 1, 0x1000, 0x5555);
  send(1, 1,
       {.target_low = 0x1000,
        .target_mid = at(1, 1),
        .return_low = 0x2000,
        .return_mid = at(0, 0),
        .control = 0x02,
        .length = 16});
  EXPECT_EQ(card_.tile32(0, 1, 0x2000), 0x5555U) << "the other port of the same bank";
  EXPECT_EQ(counter(1, 1, 11), 1U) << "posted";
  EXPECT_EQ(counter(1, 1, 1), 1U) << "only the inline one asked";
}

TEST_F(BabyCores, FourInitiatorsAreFour) {
  for (unsigned b = 0; b < 4; ++b) {
    card_.tile_write32(1, 1, 0x1000 + 16 * b, 10 + b);
    send(1, 1,
         {.target_low = 0x1000 + 16 * b,
          .target_mid = at(1, 1),
          .return_low = 0x2000 + 16 * b,
          .return_mid = at(2, 3),
          .control = 0x12,
          .length = 16},
         kNiu0 + 0x400 * b);
    EXPECT_EQ(card_.tile32(2, 3, 0x2000 + 16 * b), 10 + b);
  }
  EXPECT_EQ(counter(1, 1, 4), 4U) << "one set of counters";
}

TEST_F(BabyCores, BroadcastsCountTheirReceivers) {
  card_.tile_write32(1, 1, 0x1000, 3);
  send(1, 1,
       {.target_low = 0x1000,
        .target_mid = at(1, 1),
        .return_low = 0x2000,
        .return_mid = at(4, 3) | 2U << 16 | 2U << 22,
        .control = 0x32,
        .length = 16});
  for (unsigned x : {2U, 3U, 4U}) {
    for (unsigned y : {2U, 3U}) EXPECT_EQ(card_.tile32(x, y, 0x2000), 3U) << x << "," << y;
  }
  EXPECT_EQ(counter(1, 1, 1), 6U);
}

TEST_F(BabyCores, WhatTheHardwareDoesNotTakeIsNeverAccepted) {
  const Request good{.target_low = 0x1000,
                     .target_mid = at(1, 1),
                     .return_low = 0x2000,
                     .return_mid = at(2, 3),
                     .control = 0x12,
                     .length = 16};
  std::vector<Request> bad(8, good);
  bad[0].length = 0;
  bad[1].return_low = 0x2008;    // not the same place in a line
  bad[2].target_mid = at(2, 3);  // not its own memory
  bad[3].control |= 1U << 2;     // byte enables
  bad[4].control = 0x13;         // no kind
  bad[5].length = 8193;          // cut only when aligned
  bad[5].target_low = bad[5].return_low = 0x1004;
  bad[6] = {.target_low = 0xFFB12000, .target_mid = at(2, 3), .return_mid = at(1, 1), .control = 0x10, .length = 8};
  bad[7] = {.target_low = 0x1000, .target_mid = at(2, 3), .return_mid = at(1, 1), .control = 0x11, .length = 0x2000};
  for (std::size_t i = 0; i < bad.size(); ++i) {
    send(1, 1, good);
    const std::uint32_t accepted_before = counter(1, 1, 4);
    send(1, 1, bad[i], kNiu0 + 0x400);
    EXPECT_FALSE(accepted(1, 1, kNiu0 + 0x400)) << i;
    EXPECT_EQ(counter(1, 1, 4), accepted_before) << i;
    EXPECT_EQ(card_.tile32(1, 1, kNiu0 + 0x54), 2U) << "initiator 1 is busy";
    card_.message(0x56, 0);
    card_.pass(std::chrono::milliseconds(200));
    card_.config_write(testing::kCommand, 0x6);
    EXPECT_TRUE(accepted(1, 1, kNiu0 + 0x400)) << "after a reset";
  }
}

TEST_F(BabyCores, WhatNobodyAnswersStaysOutstanding) {
  Card card({11});
  card.config_write(testing::kCommand, 0x6);
  const auto send_one = [&](std::uint64_t offset, std::uint32_t value) {
    card.tile_write32(1, 1, kNiu0 + offset, value);
  };
  send_one(0x00, 0x1000);
  send_one(0x04, at(1, 11));
  send_one(0x0C, 0x1000);
  send_one(0x10, at(1, 1));
  send_one(0x18, 3U << 10);
  send_one(0x1C, 0x10);
  send_one(0x20, 16);
  send_one(0x28, 1);
  EXPECT_EQ(card.tile32(1, 1, kNiu0 + 0x28), 0U) << "accepted";
  EXPECT_EQ(card.tile32(1, 1, kCounters + 4 * 2), 0U) << "no response";
  EXPECT_EQ(card.tile32(1, 1, kCounters + 4 * (16 + 3)), 1U);
  card.tile_write32(1, 1, kNiu0 + 0x50, 1U << 3);
  EXPECT_EQ(card.tile32(1, 1, kCounters + 4 * (16 + 3)), 0U);
}

}  // namespace
}  // namespace warden::sim
