// SPDX-License-Identifier: Apache-2.0
// Ledger and doorbell between two processes.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>

#include "shm/ledger.h"
#include "tests/unit/shm_test_support.h"

namespace warden::shm {
namespace {

UniqueFd copy_of(int fd) { return UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 0)); }

// Proves that a client's answer is seen by wardend, and by a successor that adopts the kept descriptor.
TEST(ShmLedger, AnswerIsSeenByReaderAndSuccessor) {
  const auto reader = LedgerReader::create(7);
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_EQ(test::in_child([&] {
              auto writer = LedgerWriter::open(copy_of(reader->fd()), 7);
              if (!writer) return 1;
              writer->acknowledge(41);
              return 0;
            }),
            0);
  EXPECT_EQ(reader->acknowledged_reset_id(), 41U);
  const auto successor = LedgerReader::adopt(copy_of(reader->fd()));
  ASSERT_TRUE(successor) << successor.error().message;
  EXPECT_EQ(successor->acknowledged_reset_id(), 41U);
}

// Proves that wardend's mapping is read-only: a wild write of its own cannot forge a client's answer.
TEST(ShmLedger, ReaderCannotWrite) {
  EXPECT_EQ(test::in_child([] {
              ::signal(SIGSEGV, SIG_DFL);  // a sanitizer has a handler of its own
              const auto reader = LedgerReader::create(7);
              const auto memory = Memory(copy_of(reader->fd())).map(boost::interprocess::read_only);
              *static_cast<volatile char*>(memory->get_address()) = 1;
              return 0;
            }),
            -SIGSEGV);
}

// Proves that a ledger is opened only by the session it was made for.
TEST(ShmLedger, OtherSessionIsRefused) {
  const auto reader = LedgerReader::create(7);
  ASSERT_TRUE(reader);
  const auto writer = LedgerWriter::open(copy_of(reader->fd()), 8);
  ASSERT_FALSE(writer);
  EXPECT_EQ(writer.error().code, Code::kProtocol);
}

// Proves that a forked child has no ledger: touching it there kills the child instead of answering for its parent.
TEST(ShmLedger, ForkedChildHasNone) {
  const auto reader = LedgerReader::create(7);
  ASSERT_TRUE(reader);
  auto writer = LedgerWriter::open(copy_of(reader->fd()), 7);
  ASSERT_TRUE(writer);
  EXPECT_EQ(test::in_child([&] {
              ::signal(SIGSEGV, SIG_DFL);
              writer->acknowledge(41);
              return 0;
            }),
            -SIGSEGV);
  EXPECT_EQ(reader->acknowledged_reset_id(), 0U);
}

// Proves that a ledger without seals, of another size or with another magic is not adopted.
TEST(ShmLedger, ForgedLedgersAreRefused) {
  constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  const auto adopt = [](std::size_t size_bytes, int seals) {
    auto memory = Memory::create("forged", size_bytes);
    EXPECT_TRUE(memory->seal(seals));
    return LedgerReader::adopt(copy_of(memory->fd()));
  };
  for (const auto& ledger : {adopt(kLedgerBytes, 0), adopt(kLedgerBytes * 2, kSeals), adopt(kLedgerBytes, kSeals)}) {
    ASSERT_FALSE(ledger);
    EXPECT_EQ(ledger.error().code, Code::kProtocol);
  }
}

// Proves that rings before the target leave wardend asleep, and that the ring that completes the count wakes it.
TEST(ShmDoorbell, WakesAtTheTarget) {
  const auto doorbell = DoorbellMemory::create();
  ASSERT_TRUE(doorbell) << doorbell.error().message;
  test::Child waiting([&] {
    for (std::uint32_t seen = 0; (seen = doorbell->count()) < 3;) doorbell->wait(seen, std::chrono::minutes(10));
    return 0;
  });
  auto client = DoorbellMemory::open(copy_of(doorbell->fd()));
  ASSERT_TRUE(client) << client.error().message;
  for (int i = 0; i < 3; ++i) client->ring(3);
  EXPECT_EQ(waiting.wait(), 0);
}

// Proves that the target is found also where the count wraps round.
TEST(ShmDoorbell, TargetWrapsRound) {
  auto doorbell = DoorbellMemory::create();
  ASSERT_TRUE(doorbell);
  const std::uint32_t almost = ~std::uint32_t{0};
  ASSERT_EQ(::pwrite(doorbell->fd(), &almost, sizeof(almost), offsetof(Doorbell, count)), 4);
  test::Child waiting([&] {
    while (doorbell->count() == almost) doorbell->wait(almost, std::chrono::minutes(10));
    return 0;
  });
  doorbell->ring(0);
  EXPECT_EQ(waiting.wait(), 0);
  EXPECT_EQ(doorbell->count(), 0U);
}

}  // namespace
}  // namespace warden::shm
