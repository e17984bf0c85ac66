// SPDX-License-Identifier: Apache-2.0
// A ledger's death actions from both sides: what was put in is read, in the order of registration; what can't be is
// not.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <random>
#include <vector>

#include "shm/ledger.h"

namespace warden::shm {
namespace {

constexpr std::uint64_t kSession = 7;

class DeathActions : public ::testing::Test {
 protected:
  static DeathAction write_of(std::uint64_t address, std::byte value) {
    DeathAction action{.kind = DeathActionKind::kWrite,
                       .device = 3,
                       .x = 1,
                       .y = 2,
                       .epoch = 5,
                       .address = address,
                       .length_bytes = kDeathActionDataBytes};
    action.data.fill(value);
    return action;
  }
  [[nodiscard]] DeathActionsRead read() const {
    auto read = reader_.death_actions().read();
    EXPECT_TRUE(read);
    return read ? *read : DeathActionsRead{};
  }
  LedgerReader reader_ = *LedgerReader::create(kSession);
  LedgerWriter ledger_ = *LedgerWriter::open(UniqueFd(::dup(reader_.fd())), kSession);
  DeathActionWriter writer_{ledger_.start()};
  // As a client would that writes what it likes.
  DeathActionRecord& record(std::uint32_t index) {
    return *(reinterpret_cast<DeathActionRecord*>(ledger_.start() + kDeathActionsOffsetBytes) + index);
  }
};

TEST_F(DeathActions, AreReadInTheOrderOfRegistration) {
  std::vector<std::uint64_t> tickets;
  for (std::uint64_t i = 0; i < 10; ++i) tickets.push_back(writer_.add(write_of(i, std::byte(i))));
  EXPECT_TRUE(writer_.remove(tickets[2]));
  EXPECT_FALSE(writer_.remove(tickets[2]));
  EXPECT_NE(writer_.add(write_of(10, std::byte{10})), 0U);  // in the place of the third
  EXPECT_FALSE(writer_.remove(tickets[2]));
  EXPECT_FALSE(writer_.remove(0));
  const DeathActionsRead found = read();
  const std::vector<std::uint64_t> expected{0, 1, 3, 4, 5, 6, 7, 8, 9, 10};
  ASSERT_EQ(found.actions.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const DeathAction& action = found.actions[i];
    EXPECT_EQ(action.address, expected[i]);
    EXPECT_EQ(action.data[31], std::byte(expected[i]));
    EXPECT_EQ(action.device, 3U);
    EXPECT_EQ(action.epoch, 5U);
    EXPECT_EQ(action.x, 1);
    EXPECT_EQ(action.y, 2);
  }
  EXPECT_EQ(*reader_.death_actions().count(), expected.size());
  writer_.remove_all();
  EXPECT_EQ(*reader_.death_actions().count(), 0U);
}

TEST_F(DeathActions, FillTheTableAndNoMore) {
  std::uint64_t last = 0;
  for (std::uint32_t i = 0; i < kDeathActions; ++i) ASSERT_NE(last = writer_.add(write_of(i, {})), 0U);
  EXPECT_EQ(writer_.add(write_of(0, {})), 0U);
  EXPECT_TRUE(writer_.remove(last));
  EXPECT_NE(writer_.add(write_of(0, {})), 0U);
  EXPECT_EQ(read().actions.size(), kDeathActions);
}

TEST_F(DeathActions, ThatCantBeAreLeftOut) {
  const std::uint64_t good = pack_death_action(DeathActionKind::kWrite, 0, 1, 1, 4);
  const std::uint64_t bad[] = {pack_death_action(DeathActionKind{0}, 0, 1, 1, 4),
                               pack_death_action(DeathActionKind{4}, 0, 1, 1, 4),
                               pack_death_action(DeathActionKind::kWrite, kDeviceCapacity, 1, 1, 4),
                               pack_death_action(DeathActionKind::kWrite, 0, 1, 1, 0),
                               pack_death_action(DeathActionKind::kWrite, 0, 1, 1, 33),
                               pack_death_action(DeathActionKind::kWrite32, 0, 1, 1, 8),
                               pack_death_action(DeathActionKind::kResetCores, 0, 1, 1, 1)};
  for (std::uint32_t i = 0; i <= std::size(bad); ++i) (void)writer_.add(write_of(i, {}));
  for (std::uint32_t i = 0; i < std::size(bad); ++i) record(i).what.store(bad[i]);
  record(static_cast<std::uint32_t>(std::size(bad))).what.store(good);
  const DeathActionsRead found = read();
  EXPECT_EQ(found.damaged, std::size(bad));
  ASSERT_EQ(found.actions.size(), 1U);
  EXPECT_EQ(found.actions[0].length_bytes, 4U);
}

// Also the number of records is the client's word.
TEST_F(DeathActions, OfAnyContentsAreRead) {
  std::mt19937_64 random(1);
  auto* header = reinterpret_cast<LedgerHeader*>(ledger_.start());
  for (int round = 0; round < 50; ++round) {
    header->death_actions_begun.store(round % 2 == 0 ? random() : random() % (kDeathActions + 1));
    auto* words = reinterpret_cast<Word64*>(&record(0));
    for (std::size_t i = 0; i < kDeathActions * sizeof(DeathActionRecord) / sizeof(Word64); ++i) {
      words[i].store(random() % 4 == 0 ? 0 : random());
    }
    const DeathActionsRead found = read();
    EXPECT_LE(found.actions.size() + found.damaged, kDeathActions);
    for (const DeathAction& action : found.actions) EXPECT_LE(action.length_bytes, kDeathActionDataBytes);
  }
}

}  // namespace
}  // namespace warden::shm
