// SPDX-License-Identifier: Apache-2.0
// The book of one bridged process: what counts how often, and exact sums whenever its writer is killed.
#include "tools/wardend/allocation_book.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <random>

namespace warden::daemon {
namespace {

using Outcome = AllocationBook::Outcome;
using Type = AllocationMessageType;

AllocationRequest request(Type type, std::uint64_t buffer_id, std::uint64_t size_bytes = 0, std::int32_t device = 0,
                          AllocationKind kind = AllocationKind::kDram) {
  return {.type = type, .device = device, .size_bytes = size_bytes, .kind = kind, .buffer_id = buffer_id};
}

class Book : public testing::Test {
 protected:
  Book() {
    auto book = AllocationBook::create();
    EXPECT_TRUE(book) << book.error().message;
    if (book) book_.emplace(std::move(*book));
  }
  Outcome apply(const AllocationRequest& what, bool may_add = true) {
    int done = 0;
    const Outcome outcome = book_->apply(what, 0, may_add, [&] { ++done; });
    EXPECT_EQ(done, 1);
    return outcome;
  }
  // As the next worker would find it.
  [[nodiscard]] AllocationSums sums_after_adoption() const {
    auto again = AllocationBook::adopt(UniqueFd(::fcntl(book_->fd(), F_DUPFD_CLOEXEC, 0)), [](std::uint32_t) {});
    EXPECT_TRUE(again) << again.error().message;
    return again ? again->sums() : AllocationSums();
  }
  std::optional<AllocationBook> book_;
};

// A buffer that is shared is there once, until the last who shares it frees it.
TEST_F(Book, SharedBuffersCountOnce) {
  EXPECT_EQ(apply(request(Type::kAlloc, 64, 1000)), Outcome::kChanged);
  EXPECT_EQ(apply(request(Type::kAlloc, 64, 1000)), Outcome::kChanged);
  EXPECT_EQ(book_->sums().bytes, 1000U);
  EXPECT_EQ(apply(request(Type::kFree, 64)), Outcome::kChanged);
  EXPECT_EQ(book_->sums().bytes, 1000U);
  EXPECT_EQ(book_->sums().records, 1U);
  EXPECT_EQ(apply(request(Type::kFree, 64)), Outcome::kChanged);
  EXPECT_EQ(book_->sums().bytes, 0U);
  EXPECT_EQ(book_->sums().records, 0U);
  EXPECT_EQ(apply(request(Type::kFree, 64)), Outcome::kUnknown);
}

// One id on two devices, or of a buffer and a circular buffer, is two things.
TEST_F(Book, DevicesAndSpacesAreApart) {
  apply(request(Type::kAlloc, 64, 1000, 0));
  apply(request(Type::kAlloc, 64, 2000, 1));
  apply(request(Type::kCbAlloc, 64, 4000, 0, AllocationKind::kCircularBuffer));
  apply(request(Type::kKernelLoad, 64, 8000, 0, AllocationKind::kKernel));
  EXPECT_EQ(book_->sums().records, 4U);
  EXPECT_EQ(book_->sums().bytes, 15000U);
  EXPECT_EQ(apply(request(Type::kFree, 64, 0, 1)), Outcome::kChanged);
  EXPECT_EQ(book_->sums().bytes, 13000U);
  EXPECT_EQ(book_->sums().bytes_by_device.at(0).at(static_cast<std::size_t>(AllocationKind::kKernel)), 8000U);
}

// Circular buffers and kernels take their size each time, and one of another size is another.
TEST_F(Book, CircularBuffersCountEach) {
  for (int i = 0; i < 3; ++i) apply(request(Type::kCbAlloc, 5, 100, 0, AllocationKind::kCircularBuffer));
  apply(request(Type::kCbAlloc, 5, 7, 0, AllocationKind::kCircularBuffer));
  EXPECT_EQ(book_->sums().bytes, 307U);
  EXPECT_EQ(apply(request(Type::kCbFree, 5, 100, 0, AllocationKind::kCircularBuffer)), Outcome::kChanged);
  EXPECT_EQ(book_->sums().bytes, 207U);
  EXPECT_EQ(apply(request(Type::kCbFree, 5, 8, 0, AllocationKind::kCircularBuffer)), Outcome::kUnknown);
  EXPECT_EQ(sums_after_adoption().bytes, 207U);
}

// What can't be is refused: no sum ever overflows, and a quota holds back only what is new.
TEST_F(Book, Bounds) {
  EXPECT_EQ(apply(request(Type::kAlloc, 1, 10)), Outcome::kChanged);
  EXPECT_EQ(apply(request(Type::kAlloc, 2, 10), false), Outcome::kFull);
  EXPECT_EQ(apply(request(Type::kAlloc, 1, 10), false), Outcome::kChanged);
  EXPECT_EQ(apply(request(Type::kFree, 1), false), Outcome::kChanged);
  const std::uint64_t most = AllocationBook::kMaxBytes / kMaxAllocationBytes;
  for (std::uint64_t i = 0; i + 1 < most; ++i) {
    ASSERT_EQ(apply(request(Type::kCbAlloc, 3, kMaxAllocationBytes, 0, AllocationKind::kCircularBuffer)),
              Outcome::kChanged)
        << i;
  }
  EXPECT_EQ(apply(request(Type::kCbAlloc, 3, kMaxAllocationBytes, 0, AllocationKind::kCircularBuffer)),
            Outcome::kNonsense);
  EXPECT_EQ(book_->sums().bytes, (most - 1) * kMaxAllocationBytes + 10);
}

// A million records fit, the next is refused, and places are used again.
TEST_F(Book, Full) {
  for (std::uint64_t id = 0; id < AllocationBook::kCapacity; ++id) {
    ASSERT_EQ(book_->apply(request(Type::kAlloc, id, 1), 0, true, [] {}), Outcome::kChanged);
  }
  EXPECT_EQ(apply(request(Type::kAlloc, AllocationBook::kCapacity, 1)), Outcome::kFull);
  EXPECT_EQ(apply(request(Type::kFree, 4711)), Outcome::kChanged);
  EXPECT_EQ(apply(request(Type::kAlloc, AllocationBook::kCapacity, 1)), Outcome::kChanged);
  EXPECT_EQ(book_->sums().records, AllocationBook::kCapacity);
  EXPECT_EQ(sums_after_adoption().records, AllocationBook::kCapacity);
}

// Memory of another kind is refused.
TEST(BookMemory, IsChecked) {
  UniqueFd small(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_FALSE(AllocationBook::adopt(std::move(small), [](std::uint32_t) {}));
  EXPECT_FALSE(AllocationBook::adopt(UniqueFd(), [](std::uint32_t) {}));
}

// Where a message waits until it is done with, as the desk does it: number 0 is none.
struct Desk {
  std::uint64_t pending;
  std::uint64_t taken;  // messages ever taken
};

AllocationRequest nth_request(std::uint64_t number) {
  std::mt19937_64 random(number);
  const std::uint64_t id = random() % 24;
  switch (random() % 4) {
    case 0: return request(Type::kFree, id);
    case 1: return request(Type::kCbAlloc, id, 1 + id % 3, 1, AllocationKind::kCircularBuffer);
    case 2: return request(Type::kCbFree, id, 1 + id % 3, 1, AllocationKind::kCircularBuffer);
    default: return request(Type::kAlloc, id, 1000 + id);
  }
}

// Marks a message done, and lingers before and behind, where a kill must find everything in order: the instructions
// around are too few for chance.
void mark_done_slowly(Desk& desk) {
  const auto linger = [&] {
    for (int spins = 0; spins < 200; ++spins) (void)std::atomic_ref(desk.taken).load();
  };
  linger();
  std::atomic_ref(desk.pending).store(0);
  linger();
}

[[noreturn]] void write_until_killed(int book_fd, Desk& desk) {
  auto book =
      AllocationBook::adopt(UniqueFd(::fcntl(book_fd, F_DUPFD_CLOEXEC, 0)), [&](std::uint32_t) { desk.pending = 0; });
  if (!book) ::_exit(1);
  for (;;) {
    if (desk.pending == 0) {
      // One store takes a message, as one system call does: its number is how many there were.
      std::atomic_ref(desk.pending).store(desk.taken + 1);
      desk.taken = desk.pending;
    }
    desk.taken = desk.pending;
    (void)book->apply(nth_request(desk.pending), 0, true, [&] { mark_done_slowly(desk); });
  }
}

// Writers are killed at random instructions, one after another, and go on where the last one was. In the end every
// message has counted exactly once.
TEST(BookKilled, EveryMessageCountsOnce) {
  auto book = AllocationBook::create();
  ASSERT_TRUE(book);
  void* memory = ::mmap(nullptr, sizeof(Desk), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  Desk& desk = *new (memory) Desk{};
  std::mt19937 random(2024);
  for (int round = 0; round < 400; ++round) {
    const int child = ::fork();
    if (child == 0) write_until_killed(book->fd(), desk);
    const auto seen = std::atomic_ref(desk.taken).load();
    while (std::atomic_ref(desk.taken).load() == seen) continue;
    for (auto spins = random() % 20'000; spins > 0; --spins) (void)std::atomic_ref(desk.taken).load();
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status));
  }
  auto end = AllocationBook::adopt(UniqueFd(::fcntl(book->fd(), F_DUPFD_CLOEXEC, 0)),
                                   [&](std::uint32_t) { desk.pending = 0; });
  ASSERT_TRUE(end) << end.error().message;
  if (desk.pending != 0) (void)end->apply(nth_request(desk.pending), 0, true, [] {});
  const std::uint64_t messages = std::max(desk.taken, desk.pending);
  ASSERT_GT(messages, 10'000U);

  auto model = AllocationBook::create();
  ASSERT_TRUE(model);
  for (std::uint64_t number = 1; number <= messages; ++number) {
    (void)model->apply(nth_request(number), 0, true, [] {});
  }
  EXPECT_EQ(end->sums().records, model->sums().records);
  EXPECT_EQ(end->sums().bytes, model->sums().bytes);
  const auto references_of = [](const AllocationBook& of) {
    std::map<std::pair<std::uint64_t, int>, std::uint32_t> references;
    std::uint32_t place = 0;
    while (const auto record = of.next(place)) references[{record->buffer_id, record->space}] = record->references;
    return references;
  };
  EXPECT_EQ(references_of(*end), references_of(*model));
  ::munmap(memory, sizeof(Desk));
}

}  // namespace
}  // namespace warden::daemon
