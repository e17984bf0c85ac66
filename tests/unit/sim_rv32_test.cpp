// SPDX-License-Identifier: Apache-2.0
// A baby core: each instruction against a second, plain interpreter, and what is special about these cores.
#include "tools/sim/rv32_core.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/support/rv32_assembler.h"
#include "tests/support/rv32_plain.h"

namespace warden::sim::rv32 {
namespace {

using namespace test::rv32;  // NOLINT(google-build-using-namespace): an assembler's mnemonics

constexpr std::size_t kL1Bytes = 64 * 1024;
constexpr std::uint32_t kClock = 0xFFB121F0;

// Registers that keep what is stored, and a clock.
class StoringBus final : public Bus {
 public:
  std::optional<Load> load(std::uint32_t address) override {
    if (address == kClock) return Load{clock, true};
    if (const auto found = words.find(address); found != words.end()) return Load{found->second, false};
    return std::nullopt;
  }
  void store(std::uint32_t address, std::uint32_t value, unsigned bytes) override {
    words[address] = value;
    widths[address] = bytes;
  }
  std::uint32_t clock = 0;
  std::map<std::uint32_t, std::uint32_t> words;
  std::map<std::uint32_t, unsigned> widths;
};

class BabyCore : public testing::Test {
 protected:
  std::uint32_t word(std::uint32_t address) const {
    std::uint32_t value = 0;
    std::memcpy(&value, l1_.data() + address, sizeof(value));
    return value;
  }
  void set_word(std::uint32_t address, std::uint32_t value) {
    std::memcpy(l1_.data() + address, &value, sizeof(value));
  }
  void program(std::initializer_list<Word> words, std::size_t address = 0) { place(l1_, address, words); }

  std::vector<std::byte> l1_ = std::vector<std::byte>(kL1Bytes);
  StoringBus bus_;
  Core core_{l1_, bus_};
};

// A random instruction that computes, loads or stores in the upper half, or jumps a little ahead.
Word random_instruction(std::mt19937& random) {
  const auto pick = [&](std::uint32_t below) { return static_cast<Word>(random() % below); };
  const Word rd = pick(31);  // never x31, which points to the data
  const Word rs1 = pick(32);
  const Word rs2 = pick(32);
  switch (pick(8)) {
    case 0: return lui(rd, static_cast<Word>(random()));
    case 1: return auipc(rd, static_cast<Word>(random()));
    case 2: {
      const Word f3 = pick(8);
      const std::int32_t value = static_cast<std::int32_t>(pick(4096)) - 2048;
      if (f3 == 1) return i_type(0x13, f3, rd, rs1, value & 31);
      if (f3 == 5) return i_type(0x13, f3, rd, rs1, (value & 31) | (pick(2) != 0 ? 0x400 : 0));
      return i_type(0x13, f3, rd, rs1, value);
    }
    case 3: {
      const Word f3 = pick(8);
      return r_type((f3 == 0 || f3 == 5) && pick(2) != 0 ? 0x20 : 0, f3, rd, rs1, rs2);
    }
    case 4: return r_type(1, pick(8), rd, rs1, rs2);
    case 5: {
      constexpr Word kKinds[] = {0, 1, 2, 4, 5};
      return load(kKinds[pick(5)], rd, 31, static_cast<std::int32_t>(pick(4096)) - 2048);
    }
    case 6: return store(pick(3), rs2, 31, static_cast<std::int32_t>(pick(4096)) - 2048);
    default: {
      constexpr Word kKinds[] = {0, 1, 4, 5, 6, 7};
      const std::int32_t ahead = 4 * (1 + static_cast<std::int32_t>(pick(4)));
      return pick(8) == 0 ? jal(rd, ahead) : branch(kKinds[pick(6)], rs1, rs2, ahead);
    }
  }
}

TEST_F(BabyCore, DoesWhatAPlainInterpreterDoes) {
  constexpr std::uint32_t kData = kL1Bytes / 2;
  constexpr std::size_t kInstructions = 4000;
  for (unsigned seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    std::fill(l1_.begin(), l1_.end(), std::byte{0});
    for (std::uint32_t at = kData - 2048; at < kData + 2048; at += 4)
      set_word(at, static_cast<std::uint32_t>(random()));
    std::uint32_t at = 0;
    for (std::uint32_t reg = 1; reg < 31; ++reg) {
      program({lui(reg, static_cast<Word>(random())), addi(reg, reg, static_cast<std::int32_t>(random() % 2048))}, at);
      at += 8;
    }
    program({lui(31, kData)}, at);
    at += 4;
    for (std::size_t i = 0; i < kInstructions; ++i, at += 4) program({random_instruction(random)}, at);
    program({kEbreak, kEbreak, kEbreak, kEbreak, kEbreak}, at);

    std::vector<std::byte> other = l1_;
    PlainCore plain(other);
    std::uint64_t steps = 0;
    while (plain.step()) ++steps;
    core_.start(0);
    const std::uint64_t before = core_.instructions();
    ASSERT_EQ(core_.run(1'000'000), Stop::kPaused) << core_.hang_reason();
    EXPECT_EQ(core_.instructions() - before, steps);
    EXPECT_EQ(core_.pc(), plain.pc);
    for (unsigned reg = 0; reg < 32; ++reg) ASSERT_EQ(core_.x(reg), plain.x[reg]) << "x" << reg;
    ASSERT_EQ(l1_, other);
  }
}

TEST_F(BabyCore, RunsAFunctionInALoop) {
  // x6 = 10!, by calling x6 = x6 * x7 at 0x40.
  program({addi(6, 0, 1), addi(7, 0, 10), jal(1, 0x40 - 8), addi(7, 7, -1), bne(7, 0, -8), sw(6, 0, 0x100), kEcall});
  program({r_type(1, 0, 6, 6, 7), jalr(0, 1, 0)}, 0x40);
  EXPECT_EQ(core_.run(1000), Stop::kPaused);
  EXPECT_EQ(word(0x100), 3628800U);
  EXPECT_EQ(core_.run(1000), Stop::kPaused) << "paused until a reset";
  core_.start(0);
  EXPECT_EQ(core_.x(6), 0U);
  EXPECT_EQ(core_.run(1000), Stop::kPaused);
}

TEST_F(BabyCore, DivisionHasNoTraps) {
  program({lui(5, 0x80000000), addi(6, 0, -1), r_type(1, 4, 7, 5, 6), r_type(1, 6, 8, 5, 6), r_type(1, 4, 9, 5, 0),
           r_type(1, 6, 10, 5, 0), r_type(1, 5, 11, 5, 0), r_type(1, 7, 12, 5, 0), kEbreak});
  EXPECT_EQ(core_.run(1000), Stop::kPaused);
  EXPECT_EQ(core_.x(7), 0x80000000U);
  EXPECT_EQ(core_.x(8), 0U);
  EXPECT_EQ(core_.x(9), ~0U);
  EXPECT_EQ(core_.x(10), 0x80000000U);
  EXPECT_EQ(core_.x(11), ~0U);
  EXPECT_EQ(core_.x(12), 0x80000000U);
}

TEST_F(BabyCore, MisalignedAccessesRoundDown) {
  set_word(0x200, 0x11223344);
  program({addi(5, 0, 0x203), lw(6, 5, 0), load(1, 7, 5, 0), store(1, 6, 5, 4), sw(6, 5, 8), kFence, kEbreak});
  EXPECT_EQ(core_.run(1000), Stop::kPaused);
  EXPECT_EQ(core_.x(6), 0x11223344U);
  EXPECT_EQ(core_.x(7), 0x1122U);
  EXPECT_EQ(word(0x204), 0x33440000U);
  EXPECT_EQ(word(0x208), 0x11223344U);
}

TEST_F(BabyCore, HasRamOfItsOwn) {
  program(
      {lui(5, Core::kLocalBegin), addi(6, 0, -2), sw(6, 5, 2044), load(4, 7, 5, 2045), load(1, 8, 5, 2046), kEbreak});
  EXPECT_EQ(core_.run(1000), Stop::kPaused) << core_.hang_reason();
  EXPECT_EQ(core_.x(7), 0xFFU);
  EXPECT_EQ(core_.x(8), ~0U);
  EXPECT_TRUE(bus_.words.empty());
}

TEST_F(BabyCore, ReachesRegistersOfItsTile) {
  bus_.words[0xFFB20000] = 0x12345678;
  program({lui(5, 0xFFB20000), lw(6, 5, 0), load(4, 7, 5, 2), sw(6, 5, 4), store(0, 6, 5, 9), kEbreak});
  EXPECT_EQ(core_.run(1000), Stop::kPaused) << core_.hang_reason();
  EXPECT_EQ(core_.x(6), 0x12345678U);
  EXPECT_EQ(core_.x(7), 0x34U);
  EXPECT_EQ(bus_.words[0xFFB20004], 0x12345678U);
  EXPECT_EQ(bus_.widths[0xFFB20004], 4U);
  EXPECT_EQ(bus_.widths[0xFFB20009], 1U);
}

TEST_F(BabyCore, HangsWhereNothingIs) {
  program({lui(5, 0x70000000), addi(6, 0, 7), lw(6, 5, 0x10)});
  EXPECT_EQ(core_.run(1000), Stop::kHung);
  EXPECT_EQ(core_.hang_reason(), "load at 0x8 from 0x70000010, where nothing is");
  EXPECT_EQ(core_.x(6), 7U);
  EXPECT_EQ(core_.run(1000), Stop::kHung);
}

TEST_F(BabyCore, HangsAtWhatIsNoInstruction) {
  program({addi(5, 0, 1), 0});
  EXPECT_EQ(core_.run(1000), Stop::kHung);
  EXPECT_EQ(core_.hang_reason(), "0x00000000 at 0x4 is no instruction of RV32IM");
}

TEST_F(BabyCore, HangsWhenItLeavesItsCode) {
  for (const Word jump : {jal(0, 0x80000), jal(0, 2), jalr(0, 5, -2), jalr(0, 5, 0)}) {
    program({lui(5, kL1Bytes), jump});
    core_.start(0);
    EXPECT_EQ(core_.run(1000), Stop::kHung);
  }
  program({addi(5, 0, 1)}, kL1Bytes - 4);
  core_.start(kL1Bytes - 4);
  EXPECT_EQ(core_.run(1000), Stop::kHung) << "runs over the end";
  EXPECT_EQ(core_.x(5), 1U);
}

TEST_F(BabyCore, StopsWhenItsBudgetIsUsedUp) {
  program({addi(5, 5, 1), jal(0, -4)});
  EXPECT_EQ(core_.run(1000), Stop::kBudget);
  EXPECT_EQ(core_.x(5), 500U);
  EXPECT_EQ(core_.instructions(), 1000U);
  EXPECT_EQ(core_.run(1000), Stop::kBudget);
  EXPECT_EQ(core_.x(5), 1000U);
}

TEST_F(BabyCore, IsIdleWhenItPollsMemory) {
  program({addi(6, 0, 3), lw(5, 0, 0x400), beq(5, 0, -4), sw(5, 0, 0x404), kEbreak});
  EXPECT_EQ(core_.run(1'000'000), Stop::kIdle);
  EXPECT_FALSE(core_.polls_clock());
  EXPECT_LT(core_.instructions(), 1000U);
  set_word(0x400, 9);
  EXPECT_EQ(core_.run(1'000'000), Stop::kPaused);
  EXPECT_EQ(word(0x404), 9U);
}

TEST_F(BabyCore, IsIdleWhenItPollsTheClockToo) {
  program({lui(7, 0xFFB12000), lw(6, 7, 0x1F0), lw(5, 0, 0x400), r_type(0, 6, 8, 5, 6), beq(8, 0, -12), kEbreak});
  EXPECT_EQ(core_.run(1'000'000), Stop::kIdle);
  EXPECT_TRUE(core_.polls_clock());
  bus_.clock = 1;
  EXPECT_EQ(core_.run(1'000'000), Stop::kPaused);
}

TEST_F(BabyCore, IsNotIdleWhileItCountsOrStores) {
  program({addi(5, 5, 1), jal(0, -4)});
  EXPECT_EQ(core_.run(100'000), Stop::kBudget);
  program({sw(0, 0, 0x400), jal(0, -4)});
  core_.start(0);
  EXPECT_EQ(core_.run(100'000), Stop::kBudget) << "somebody may be counting the stores";
}

TEST_F(BabyCore, IsIdleInALoopThatItComesToLate) {
  // 150 jumps that are not part of it, and 90 that are.
  std::uint32_t at = 0;
  for (int i = 0; i < 150; ++i, at += 4) program({jal(0, 4)}, at);
  for (int i = 0; i < 90; ++i, at += 4) program({jal(0, 4)}, at);
  program({jal(0, -360)}, at);
  EXPECT_EQ(core_.run(2000), Stop::kIdle);
  EXPECT_EQ(core_.run(2000), Stop::kIdle);
  EXPECT_LT(core_.instructions(), 1500U) << "is asked sooner when it was idle before";
}

TEST_F(BabyCore, IsIdleInALongLoopOfManyBranches) {
  std::uint32_t at = 0;
  for (int i = 0; i < 50; ++i, at += 12) program({lw(5, 0, 0x600), beq(5, 0, 8), kEbreak}, at);
  program({jal(0, -static_cast<std::int32_t>(at))}, at);
  EXPECT_EQ(core_.run(1'000'000), Stop::kIdle);
}

// Code written over what has run is seen after a reset and, as with a cache of instructions, not before.
TEST_F(BabyCore, NewCodeNeedsAReset) {
  program({addi(5, 5, 1), jal(0, -4)});
  EXPECT_EQ(core_.run(10), Stop::kBudget);
  program({kEbreak});
  EXPECT_EQ(core_.run(10), Stop::kBudget);
  core_.start(0);
  EXPECT_EQ(core_.run(10), Stop::kPaused);
}

}  // namespace
}  // namespace warden::sim::rv32
