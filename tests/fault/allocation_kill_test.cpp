// SPDX-License-Identifier: Apache-2.0
// Processes that die while they record and release: what their ledger says is exact, whichever instruction was the
// last. WARDEN_KILLS says how many are killed at random (10,000; fewer with a sanitizer); WARDEN_FUZZ_SEED repeats a
// run.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <list>
#include <random>
#include <thread>

#include "shm/allocation_writer.h"
#include "shm/ledger.h"
#include "tests/support/rounds.h"
#include "tests/unit/shm_test_support.h"

namespace warden::shm {
namespace {

constexpr std::size_t kThreads = 3;
constexpr std::size_t kKillers = 4;  // at a time: most of a kill is waiting
constexpr auto kKills = test::rounds<std::uint64_t>(10'000, 1'000);

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

struct Sum {
  Word64 count;
  Word64 bytes;
};

// What a thread of a client says of itself, beside its ledger: its sum now and after the operation under way. Each is
// written before the operation that makes it true, `done` after the one that made it so.
struct Shadow {
  Word64 done;
  Sum sums[2];  // [operations done & 1], and the other for the one more
};

struct ShadowPage {
  Word64 ready;
  Shadow threads[kThreads];
};

class SharedPage {
 public:
  SharedPage()
      : page_(static_cast<ShadowPage*>(
            ::mmap(nullptr, kPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {}
  ~SharedPage() { ::munmap(page_, kPageBytes); }
  SharedPage(const SharedPage&) = delete;
  SharedPage& operator=(const SharedPage&) = delete;
  ShadowPage* operator->() const { return page_; }
  ShadowPage& operator*() const { return *page_; }
  void clear() const { std::memset(static_cast<void*>(page_), 0, sizeof(*page_)); }

 private:
  ShadowPage* page_;
};
static_assert(sizeof(ShadowPage) <= kPageBytes);

// One thread of a client, recording and releasing at random for ever.
class Worker {
 public:
  Worker(AllocationWriter& writer, Shadow& shadow, std::uint64_t seed)
      : writer_(writer), shadow_(shadow), random_(seed) {}

  void step() {
    const bool records = held_.empty() || (held_.size() < kMostHeld && random_() % 2 == 0);
    if (records) {
      const std::uint64_t size = random_() % 1'000'000;
      announce(1, size);
      const auto ticket = writer_.record({.device = static_cast<std::uint32_t>(random_() % 3),
                                          .kind = static_cast<AllocationKind>(random_() % kAllocationKinds),
                                          .size_bytes = size,
                                          .tag = size});
      if (!ticket) std::_Exit(3);
      held_.push_back({ticket, size});
    } else {
      std::swap(held_[random_() % held_.size()], held_.back());
      announce(~std::uint64_t{0}, -held_.back().size_bytes);
      if (!writer_.release(held_.back().ticket)) std::_Exit(4);
      held_.pop_back();
    }
    order_stores();
    shadow_.done.store(++done_, std::memory_order_release);
  }

 private:
  static constexpr std::size_t kMostHeld = 200;  // more than a thread keeps free for itself
  struct Held {
    AllocationTicket ticket;
    std::uint64_t size_bytes;
  };
  void announce(std::uint64_t count_delta, std::uint64_t bytes_delta) {
    count_ += count_delta;
    bytes_ += bytes_delta;
    Sum& next = shadow_.sums[(done_ + 1) & 1];
    next.count.store(count_, std::memory_order_release);
    next.bytes.store(bytes_, std::memory_order_release);
    order_stores();
  }

  AllocationWriter& writer_;
  Shadow& shadow_;
  std::minstd_rand random_;
  std::vector<Held> held_;
  std::uint64_t done_ = 0;
  std::uint64_t count_ = 0;
  std::uint64_t bytes_ = 0;
};

int run_client(const LedgerReader& reader, ShadowPage& shadows, std::uint64_t seed, std::size_t thread_count) {
  const Word64 clock{1};
  auto ledger = LedgerWriter::open(UniqueFd(::fcntl(reader.fd(), F_DUPFD_CLOEXEC, 0)), 7);
  if (!ledger) return 2;
  const auto writer = AllocationWriter::create(ledger->start(), clock);
  const auto work = [&](std::size_t me) {
    Worker worker(*writer, shadows.threads[me], seed + me);
    shadows.ready.fetch_add(1);
    while (true) worker.step();
  };
  std::vector<std::jthread> others;
  for (std::size_t me = 1; me < thread_count; ++me) others.emplace_back(work, me);
  work(0);
  return 0;
}

// The counters against the records.
void expect_sums_of_records(const AllocationReader& reader, const AllocationTotals& totals) {
  AllocationTotals sum;
  const auto summary = reader.for_each_live([&](const Allocation& one) {
    AllocationSum& cell = sum.cells[one.device][static_cast<std::size_t>(one.kind)];
    ++cell.count;
    cell.bytes += one.size_bytes;
    EXPECT_EQ(one.tag, one.size_bytes) << "half written";
  });
  ASSERT_TRUE(summary) << summary.error().message;
  EXPECT_EQ(summary->damaged + summary->moving, 0U);
  EXPECT_FALSE(totals.damaged);
  EXPECT_TRUE(totals.settled);
  for (std::uint32_t device = 0; device < kDeviceCapacity; ++device) {
    for (std::uint32_t kind = 0; kind < kAllocationKinds; ++kind) {
      ASSERT_EQ(totals.cells[device][kind].count, sum.cells[device][kind].count) << device << " " << kind;
      ASSERT_EQ(totals.cells[device][kind].bytes, sum.cells[device][kind].bytes) << device << " " << kind;
    }
  }
}

// The counters against what the client's threads said: for each thread what it had done, or that and the operation
// under way; one choice for each must give the sum.
void expect_sums_of_shadows(const ShadowPage& page, std::size_t thread_count, const AllocationSum& found) {
  std::string seen;
  for (std::size_t choice = 0; choice < std::size_t{1} << thread_count; ++choice) {
    AllocationSum sum;
    for (std::size_t me = 0; me < thread_count; ++me) {
      const Shadow& shadow = page.threads[me];
      const Sum& said = shadow.sums[(shadow.done.load() + (choice >> me & 1)) & 1];
      sum.count += said.count.load();
      sum.bytes += said.bytes.load();
    }
    if (sum.count == found.count && sum.bytes == found.bytes) return;
    seen += " " + std::to_string(sum.count) + "/" + std::to_string(sum.bytes);
  }
  FAIL() << "the ledger says " << found.count << " of " << found.bytes << " bytes, the client's threads said" << seen;
}

void expect_exact(const LedgerReader& reader, const ShadowPage& shadows, std::size_t thread_count) {
  const auto totals = reader.allocations().totals();
  ASSERT_TRUE(totals) << totals.error().message;
  ASSERT_NO_FATAL_FAILURE(expect_sums_of_shadows(shadows, thread_count, totals->all()));
  ASSERT_NO_FATAL_FAILURE(expect_sums_of_records(reader.allocations(), *totals));
}

// Proves for every single instruction of recording and releasing that a client stopped for good behind it leaves exact
// sums: one client is led through thousands of them, and through several whole operations however many instructions a
// build without optimisation or with a sanitizer makes of one; its ledger is read after each.
TEST(AllocationKill, BehindEveryInstruction) {
  constexpr std::uint64_t kOperations = 4;
  const std::uint64_t instructions = number_from("WARDEN_STEPS", 20'000);
  const std::uint64_t stuck = instructions + 1'000'000;
  const SharedPage shadows;
  auto reader = LedgerReader::create(7);
  ASSERT_TRUE(reader);
  test::Child client([&] {
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) return 5;
    const Word64 clock{1};
    auto ledger = LedgerWriter::open(UniqueFd(::fcntl(reader->fd(), F_DUPFD_CLOEXEC, 0)), 7);
    const auto writer = AllocationWriter::create(ledger->start(), clock);
    Worker worker(*writer, shadows->threads[0], 4711);
    for (int i = 0; i < 50; ++i) worker.step();
    ::raise(SIGSTOP);
    while (true) worker.step();
  });
  int status = 0;
  ASSERT_EQ(::waitpid(client.pid(), &status, 0), client.pid());
  ASSERT_TRUE(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP) << "ptrace is not permitted here? " << status;
  const std::uint64_t goal = shadows->threads[0].done.load() + kOperations;
  for (std::uint64_t step = 0; step < instructions || shadows->threads[0].done.load() < goal; ++step) {
    ASSERT_LT(step, stuck) << "the client got no further";
    ASSERT_EQ(::ptrace(PTRACE_SINGLESTEP, client.pid(), nullptr, nullptr), 0);
    ASSERT_EQ(::waitpid(client.pid(), &status, 0), client.pid());
    ASSERT_TRUE(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP) << status;
    ASSERT_NO_FATAL_FAILURE(expect_exact(*reader, *shadows, 1)) << "instruction " << step;
  }
}

void kill_clients(std::uint64_t kills, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const SharedPage shadows;
  std::uint64_t operations = 0;
  for (std::uint64_t kill = 0; kill < kills; ++kill) {
    const std::size_t thread_count = kill % 2 == 0 ? 1 : kThreads;
    shadows.clear();
    auto reader = LedgerReader::create(7);
    ASSERT_TRUE(reader);
    test::Child client([&, its_seed = random()] { return run_client(*reader, *shadows, its_seed, thread_count); });
    ASSERT_TRUE(test::eventually([&] { return shadows->ready.load() == thread_count; }));
    const timespec moment{.tv_sec = 0, .tv_nsec = static_cast<long>(random() % 300'000)};
    ::nanosleep(&moment, nullptr);
    ASSERT_EQ(::kill(client.pid(), SIGKILL), 0);
    ASSERT_EQ(client.wait(), -SIGKILL);
    ASSERT_NO_FATAL_FAILURE(expect_exact(*reader, *shadows, thread_count)) << "kill " << kill;
    for (const Shadow& shadow : shadows->threads) operations += shadow.done.load();
  }
  EXPECT_GT(operations, kills) << "most were killed before they had begun";
}

// Proves it for real deaths of processes with one and with several threads, at random moments, thousands of times.
TEST(AllocationKill, AtRandomMoments) {
  const std::uint64_t kills = number_from("WARDEN_KILLS", kKills);
  const std::uint64_t seed = number_from("WARDEN_FUZZ_SEED", std::random_device{}());
  SCOPED_TRACE("WARDEN_FUZZ_SEED=" + std::to_string(seed));
  std::list<test::Child> killers;
  for (std::size_t me = 0; me < kKillers; ++me) {
    killers.emplace_back([&] {
      kill_clients(kills / kKillers + (me < kills % kKillers ? 1 : 0), seed + me);
      (void)std::fflush(stdout);
      return testing::Test::HasFailure() ? 1 : 0;
    });
  }
  for (test::Child& killer : killers) EXPECT_EQ(killer.wait(), 0) << "its output is above";
}

}  // namespace
}  // namespace warden::shm
