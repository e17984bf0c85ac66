// SPDX-License-Identifier: Apache-2.0
// An allocation table between its writer and its reader.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <barrier>
#include <csignal>
#include <map>
#include <random>
#include <thread>

#include "shm/allocation_writer.h"
#include "shm/coarse_clock.h"
#include "shm/directory.h"
#include "shm/ledger.h"
#include "tests/unit/shm_test_support.h"

namespace warden::shm {
namespace {

constexpr std::size_t kThreads = 4;

UniqueFd copy_of(int fd) { return UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 0)); }

class ShmAllocations : public ::testing::Test {
 protected:
  [[nodiscard]] AllocationTotals totals() const {
    const auto totals = reader_.allocations().totals();
    EXPECT_TRUE(totals) << totals.error().message;
    return totals ? *totals : AllocationTotals{};
  }
  [[nodiscard]] std::vector<Allocation> live() const {
    std::vector<Allocation> list;
    const auto summary = reader_.allocations().for_each_live([&](const Allocation& one) { list.push_back(one); });
    EXPECT_TRUE(summary) << summary.error().message;
    EXPECT_EQ(summary->damaged, 0U);
    EXPECT_EQ(summary->visited, list.size());
    return list;
  }
  // What the records say, to be compared with what the counters say.
  void expect_records_add_up() const {
    AllocationTotals sum;
    for (const Allocation& one : live()) {
      auto& cell = sum.cells[one.device][static_cast<std::size_t>(one.kind)];
      ++cell.count;
      cell.bytes += one.size_bytes;
    }
    const AllocationTotals counted = totals();
    EXPECT_TRUE(counted.settled && !counted.damaged);
    for (std::uint32_t device = 0; device < kDeviceCapacity; ++device) {
      for (std::uint32_t kind = 0; kind < kAllocationKinds; ++kind) {
        EXPECT_EQ(counted.cells[device][kind].count, sum.cells[device][kind].count) << device << " " << kind;
        EXPECT_EQ(counted.cells[device][kind].bytes, sum.cells[device][kind].bytes) << device << " " << kind;
      }
    }
  }
  [[nodiscard]] std::uint64_t pages_kib() const {
    struct stat status{};
    EXPECT_EQ(::fstat(reader_.fd(), &status), 0);
    return static_cast<std::uint64_t>(status.st_blocks) / 2;
  }
  AllocationTicket must_record(const NewAllocation& allocation) {
    const auto ticket = writer_->record(allocation);
    EXPECT_TRUE(ticket);
    return ticket;
  }

  Word64 clock_{4711};
  LedgerReader reader_ = std::move(*LedgerReader::create(7));
  LedgerWriter ledger_ = std::move(*LedgerWriter::open(copy_of(reader_.fd()), 7));
  std::shared_ptr<AllocationWriter> writer_ = AllocationWriter::create(ledger_.start(), clock_);
};

// Proves that what was recorded is read back field by field, and is gone when it is released.
TEST_F(ShmAllocations, RecordIsReadBackAndReleased) {
  const AllocationTicket ticket = must_record({.device = 63,
                                               .kind = AllocationKind::kKernel,
                                               .kernel_kind = KernelKind::kDispatch,
                                               .address = 0x1234,
                                               .size_bytes = 4096,
                                               .tag = 99,
                                               .label = "a label that is too long"});
  const auto list = live();
  ASSERT_EQ(list.size(), 1U);
  EXPECT_EQ(list[0].device, 63U);
  EXPECT_EQ(list[0].kind, AllocationKind::kKernel);
  EXPECT_EQ(list[0].kernel_kind, KernelKind::kDispatch);
  EXPECT_EQ(list[0].address, 0x1234U);
  EXPECT_EQ(list[0].size_bytes, 4096U);
  EXPECT_EQ(list[0].tag, 99U);
  EXPECT_EQ(list[0].time_ns, 4711U);
  EXPECT_EQ(list[0].thread_id, static_cast<std::uint32_t>(::gettid()));
  EXPECT_EQ(list[0].label(), "a label that is ");
  EXPECT_EQ(totals().all().count, 1U);
  EXPECT_EQ(totals().of_device(63).bytes, 4096U);
  EXPECT_EQ(totals().of_kind(AllocationKind::kKernel).bytes, 4096U);
  EXPECT_EQ(totals().of_kind(AllocationKind::kDram).count, 0U);
  EXPECT_TRUE(writer_->release(ticket));
  EXPECT_TRUE(live().empty());
  EXPECT_EQ(totals().all().count, 0U);
  EXPECT_EQ(totals().all().bytes, 0U);
}

// Proves that a ticket counts once, that a successor in the same place is not released by it, and that tickets nobody
// gave out are refused.
TEST_F(ShmAllocations, StaleTicketsAreRefused) {
  const AllocationTicket old = must_record({.size_bytes = 1});
  EXPECT_TRUE(writer_->release(old));
  EXPECT_FALSE(writer_->release(old));
  AllocationTicket successor = must_record({.size_bytes = 2});
  for (std::uint32_t i = 0; i < kShardFreeRecords && record_of(successor) != record_of(old); ++i) {
    EXPECT_TRUE(writer_->release(successor));
    successor = must_record({.size_bytes = 2});
  }
  ASSERT_EQ(record_of(successor), record_of(old)) << "the test needs the place to be used again";
  EXPECT_FALSE(writer_->release(old));
  EXPECT_FALSE(writer_->release({successor.value + (std::uint64_t{1} << 21)}));
  EXPECT_FALSE(writer_->release({successor.value + (std::uint64_t{1} << 54)})) << "another writer's";
  EXPECT_FALSE(writer_->release({successor.value | 0x1f'ffff})) << "no such place";
  EXPECT_FALSE(writer_->release({}));
  EXPECT_EQ(totals().all().bytes, 2U);
}

// Proves that an idle client costs a page, one that records a few more, and that reading costs none.
TEST_F(ShmAllocations, MemoryIsUsedPageByPage) {
  (void)totals();
  (void)live();
  EXPECT_EQ(pages_kib(), 4U);
  (void)must_record({.size_bytes = 1});
  EXPECT_EQ(pages_kib(), 16U);
  (void)totals();
  (void)live();
  EXPECT_EQ(pages_kib(), 16U);
}

// Proves that threads that record and release their own, and each other's, leave sums that are exact.
TEST_F(ShmAllocations, ThreadsReleaseEachOthers) {
  constexpr int kRounds = 50;
  constexpr int kEach = 500;
  std::array<std::vector<AllocationTicket>, kThreads> tickets;
  std::barrier turn(kThreads);
  std::vector<std::jthread> threads;
  for (std::size_t me = 0; me < kThreads; ++me) {
    threads.emplace_back([&, me] {
      for (int round = 0; round < kRounds; ++round) {
        for (std::uint32_t i = 0; i < kEach; ++i) {
          const auto kind = static_cast<AllocationKind>(i % kAllocationKinds);
          const auto ticket = writer_->record(
              {.device = static_cast<std::uint32_t>(me), .kind = kind, .size_bytes = std::uint64_t{i} * 3 + me});
          if (ticket) tickets[me].push_back(ticket);
        }
        turn.arrive_and_wait();
        auto& others = tickets[(me + 1) % kThreads];
        while (others.size() > static_cast<std::size_t>(round)) {
          EXPECT_TRUE(writer_->release(others.back()));
          others.pop_back();
        }
        turn.arrive_and_wait();
      }
    });
  }
  threads.clear();
  EXPECT_EQ(live().size(), kThreads * (kRounds - 1));
  EXPECT_EQ(totals().all().count, kThreads * (kRounds - 1));
  expect_records_add_up();
}

// Proves that a reader beside working threads sees whole records alone, all that stay, and that what it calls settled
// is of one instant: what one thread records another releases, so that looks at different moments would not add up.
TEST_F(ShmAllocations, ReadingWhileThreadsWork) {
  constexpr std::size_t kUnderWay = 8;
  std::array<std::atomic<std::uint64_t>, kUnderWay> handed_over{};
  std::atomic<bool> stop{false};
  std::jthread records([&] {
    for (std::uint64_t i = 0; !stop.load(); ++i) {
      const AllocationTicket ticket = must_record({.device = 1, .size_bytes = i, .tag = i});
      std::atomic<std::uint64_t>& place = handed_over[i % kUnderWay];
      while (place.load() != 0 && !stop.load()) std::this_thread::yield();
      if (!stop.load()) place.store(ticket.value);
    }
  });
  std::jthread releases([&] {
    for (std::uint64_t i = 0; !stop.load(); ++i) {
      std::atomic<std::uint64_t>& place = handed_over[i % kUnderWay];
      while (place.load() == 0 && !stop.load()) std::this_thread::yield();
      const AllocationTicket ticket{place.exchange(0)};
      if (ticket) {
        EXPECT_TRUE(writer_->release(ticket));
      }
    }
  });
  const AllocationTicket steady = must_record({.device = 1, .address = 0xabc, .size_bytes = 64, .tag = 64});
  std::uint64_t settled = 0;
  for (int round = 0; round < 20'000; ++round) {
    const AllocationTotals now = totals();
    EXPECT_FALSE(now.damaged);
    settled += now.settled ? 1 : 0;
    if (now.settled) {
      EXPECT_GE(now.all().count, 1U);
      EXPECT_LE(now.all().count, kUnderWay + 3);
    }
    int steady_seen = 0;
    for (const Allocation& one : live()) {
      EXPECT_EQ(one.size_bytes, one.tag);
      steady_seen += one.record == record_of(steady) && one.address == 0xabc ? 1 : 0;
    }
    EXPECT_EQ(steady_seen, 1);
    if (HasFailure()) break;
  }
  stop = true;
  EXPECT_GT(settled, 0U);
}

// Proves that shards are used again when threads end, and that threads without one of their own work all the same.
TEST_F(ShmAllocations, MoreThreadsThanShards) {
  constexpr std::size_t kCrowd = kShardCount * 2;
  for (int round = 0; round < 3; ++round) {
    std::barrier all_here(static_cast<std::ptrdiff_t>(kCrowd));
    std::vector<std::jthread> threads;
    for (std::size_t me = 0; me < kCrowd; ++me) {
      threads.emplace_back([&] {
        for (int i = 0; i < 200; ++i) {
          const auto kept = writer_->record({.device = 2, .size_bytes = 10});
          const auto ticket = writer_->record({.device = 2, .size_bytes = 7});
          EXPECT_TRUE(kept && ticket && writer_->release(ticket));
          if (i == 0) all_here.arrive_and_wait();  // nobody ends before all have begun
        }
      });
    }
    threads.clear();
    EXPECT_EQ(totals().all().count, kCrowd * 200 * static_cast<std::size_t>(round + 1));
  }
  expect_records_add_up();
}

// Proves that a full table refuses and counts, keeps what it has, and takes more once there is room.
TEST_F(ShmAllocations, FullTableRefusesAndCounts) {
  std::vector<AllocationTicket> tickets;
  while (const auto ticket = writer_->record({.size_bytes = 2})) tickets.push_back(ticket);
  EXPECT_GE(tickets.size(), kAllocationCapacity);
  EXPECT_FALSE(writer_->record({.size_bytes = 2}));
  EXPECT_EQ(totals().dropped, 2U);
  EXPECT_EQ(totals().all().count, tickets.size());
  EXPECT_EQ(live().size(), tickets.size());
  // Another thread releases them all, and this one can use every place again.
  std::jthread([&] {
    for (const AllocationTicket ticket : tickets) EXPECT_TRUE(writer_->release(ticket));
  }).join();
  EXPECT_EQ(totals().all().count, 0U);
  for (std::uint32_t i = 0; i < kAllocationCapacity; ++i) ASSERT_TRUE(writer_->record({.size_bytes = 2})) << i;
}

// Proves that a stopped client can be read, and others beside it: nobody waits for its next instruction.
TEST_F(ShmAllocations, StoppedClientIsRead) {
  const auto other = LedgerReader::create(8);
  test::Child stopped([&] {
    auto ledger = LedgerWriter::open(copy_of(other->fd()), 8);
    const auto writer = AllocationWriter::create(ledger->start(), clock_);
    for (std::uint64_t i = 0;; ++i) {
      const auto ticket = writer->record({.size_bytes = 5});
      if (i == 1000) ::raise(SIGSTOP);
      if (i % 2 == 0) (void)writer->release(ticket);
    }
    return 0;
  });
  int status = 0;
  ASSERT_EQ(::waitpid(stopped.pid(), &status, WUNTRACED), stopped.pid());
  ASSERT_TRUE(WIFSTOPPED(status));
  (void)must_record({.size_bytes = 3});
  const auto its = other->allocations().totals();
  ASSERT_TRUE(its);
  EXPECT_TRUE(its->settled);
  EXPECT_EQ(its->all().count, 501U);
  EXPECT_EQ(totals().all().bytes, 3U);
}

// Proves that a forked child has no table: touching it there kills the child, and the end of the child's thread
// neither waits for the parent's locks nor gives its shard away.
TEST_F(ShmAllocations, ForkedChildHasNone) {
  (void)must_record({.size_bytes = 3});
  EXPECT_EQ(test::in_child([&] {
              ::signal(SIGSEGV, SIG_DFL);
              (void)writer_->record({.size_bytes = 4});
              return 0;
            }),
            -SIGSEGV);
  EXPECT_EQ(totals().all().bytes, 3U);
}

// Proves that the clock's address stays while directories come and go, and that it shows the time of the last.
TEST(ShmCoarseClock, FollowsTheDirectoryInPlace) {
  auto clock = CoarseClock::create();
  ASSERT_TRUE(clock);
  const Word64& time = clock->time_ns();
  EXPECT_EQ(time.load(), 0U);
  for (const std::uint64_t now : {41U, 42U}) {
    auto directory = DirectoryWriter::create();
    ASSERT_TRUE(directory);
    ASSERT_TRUE(clock->follow(directory->reader_fd()));
    directory->header().coarse_time_ns.store(now);
    EXPECT_EQ(time.load(), now);
  }
  EXPECT_EQ(time.load(), 42U);  // its directory is gone
}

// Proves that the packed words hold their parts at their largest, and that the places are those of the document.
TEST(ShmAllocationLayout, WordsArePacked) {
  EXPECT_EQ(pack_what(63, 6, 2, 0xffff'ffff), 0xffff'ffff'0002'01feU);
  EXPECT_EQ(record_of_ticket(ticket_of(kAllocationRecords - 1, ~std::uint64_t{0})), kAllocationRecords - 1);
  EXPECT_EQ(ticket_of(kAllocationRecords - 1, 1) & kTicketLive, kTicketLive);
  EXPECT_EQ(ticket_of(0, std::uint64_t{1} << 42), std::uint64_t{1} << 63);
  EXPECT_EQ(first_stamp(63, 1022), 0xfc00'07ff'f800'0004U);
  EXPECT_NE(first_stamp(0, 1023) << kTicketStateShift, first_stamp(0, 1024) << kTicketStateShift);
  EXPECT_EQ(offsetof(AllocationRecord, address), 8U);
  EXPECT_EQ(offsetof(AllocationRecord, what), 40U);
  EXPECT_EQ(offsetof(AllocationRecord, label), 48U);
}

}  // namespace
}  // namespace warden::shm
