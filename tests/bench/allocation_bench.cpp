// SPDX-License-Identifier: Apache-2.0
// What it costs to record and release an allocation, and to read what a thousand processes recorded.
//
// The baseline of recording is what no record can do without: 64 bytes, each of the eight words stored by itself from a
// value that is only known then, the last with release, inlined into the loop as record() is. It goes round as many
// places as the ledger does, the live allocations and a thread's free ones, in the same order, so that both meet the
// same caches. It stores once for each allocation, counts nothing, gives nothing back, and could be found half done.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <warden/allocation_ledger.h>

#include <array>
#include <atomic>
#include <barrier>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "shm/allocation_writer.h"
#include "shm/ledger.h"
#include "tests/bench/benchmarks.h"
#include "tests/support/host.h"

namespace warden::bench {

namespace {

constexpr std::uint64_t kFew = 64;        // live at a time: stays in the first cache
constexpr std::uint64_t kMany = 1 << 16;  // 4 MiB of records: each is fetched from memory or the last cache
constexpr std::uint64_t kFreePlaces = shm::kShardFreeRecords / 2;  // that a thread fetches at a time, and goes through
constexpr std::size_t kMessageBytes = 128;

// Keeps the compiler from dropping or moving what made `value`.
template <typename T>
void keep(const T& value) {
  asm volatile("" : : "g"(value) : "memory");
}
// The same of a value that is not in memory, without any word on what else is there.
void keep_word(std::uint64_t value) { asm volatile("" : : "r"(value)); }

// The baseline: a record of 64 bytes of which the last word, its number, says that it is whole.
struct alignas(64) BareRecord {
  std::array<shm::Word64, 7> words;
  shm::Word64 sequence;
};
static_assert(sizeof(BareRecord) == 64);

// A value that the compiler knows nothing of.
std::uint64_t unknown(std::uint64_t value) {
  asm volatile("" : "+r"(value));
  return value;
}

[[gnu::always_inline]] inline void bare_store(BareRecord& record, std::uint64_t number) {
  for (shm::Word64& word : record.words) word.store(unknown(number), std::memory_order_relaxed);  // before the release
  record.sequence.store(number, std::memory_order_release);  // for nobody: this is what a reader would pair with
}

// Time that this thread has had on a processor: what others do on a small machine does not count.
double thread_ns() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

// Nanoseconds an operation, when so many threads do it at once.
template <typename Work>
double ns_each(int thread_count, std::uint64_t rounds, const Work& work) {
  std::barrier start(thread_count);
  std::vector<double> times(static_cast<std::size_t>(thread_count));
  std::vector<std::jthread> threads;
  for (int me = 0; me < thread_count; ++me) {
    threads.emplace_back([&, me] {
      auto step = work(me);
      for (std::uint64_t i = 0; i < kMany; ++i) step(i);  // neither the first touch of a page nor a thread's first call
      start.arrive_and_wait();
      const double begin_ns = thread_ns();
      for (std::uint64_t i = 0; i < rounds; ++i) step(i);
      times[static_cast<std::size_t>(me)] = (thread_ns() - begin_ns) / static_cast<double>(rounds);
    });
  }
  threads.clear();
  return median(times);
}

struct Pair {
  double subject = 0;
  double baseline = 0;
};

template <typename Subject, typename Baseline>
Pair compare(int repeats, const Subject& subject, const Baseline& baseline) {
  std::vector<double> subjects;
  std::vector<double> baselines;
  for (int i = 0; i < repeats; ++i) {
    if (i % 2 == 0) subjects.push_back(subject());
    baselines.push_back(baseline());
    if (i % 2 != 0) subjects.push_back(subject());
  }
  return {median(subjects), median(baselines)};
}

// With so many live allocations a thread: each round records one and releases the oldest. For the bare
// store, see the top.
Pair record_and_release(AllocationLedger& ledger, int thread_count, std::uint64_t live_count, const Options& options) {
  const std::uint64_t rounds = options.quick ? 10'000 : 1'000'000;
  const auto count = static_cast<std::size_t>(thread_count);
  std::vector<std::vector<AllocationHandle>> held(count, std::vector<AllocationHandle>(live_count));
  std::vector<std::vector<BareRecord>> bare(count);
  for (auto& records : bare) records = std::vector<BareRecord>(live_count + kFreePlaces);
  const Pair pair = compare(
      options.quick ? 1 : 21,
      [&] {
        return ns_each(thread_count, rounds, [&](int me) {
          AllocationHandle* const handles = held[static_cast<std::size_t>(me)].data();
          return [&ledger, handles, live_count] [[gnu::always_inline]] (std::uint64_t i) {
            AllocationHandle& place = handles[i & (live_count - 1)];
            const auto handle = ledger.record(0, AllocationKind::kDram, i, 4096, i);
            keep_word(ledger.release(place).has_value());  // not in the first round, where there is none yet
            if (handle) place = *handle;
          };
        });
      },
      [&] {
        return ns_each(thread_count, rounds, [&](int me) {
          BareRecord* const records = bare[static_cast<std::size_t>(me)].data();
          return [records, places = live_count + kFreePlaces,
                  next = std::uint64_t{0}] [[gnu::always_inline]] (std::uint64_t i) mutable {
            bare_store(records[next], i);
            next = next + 1 == places ? 0 : next + 1;
          };
        });
      });
  for (auto& handles : held) {
    for (const AllocationHandle handle : handles) (void)ledger.release(handle);
  }
  return pair;
}

// A thread that takes messages until its socket is closed, as a server of allocations would.
double ns_of_message(const std::array<int, 2>& ends, std::uint64_t count) {
  const UniqueFd client(ends[0]);
  UniqueFd server(ends[1]);
  std::jthread reader([fd = server.get()] {
    std::array<char, kMessageBytes> message;
    while (::recv(fd, message.data(), message.size(), MSG_WAITALL) > 0) keep(message);
  });
  const std::array<char, kMessageBytes> message{};
  const std::uint64_t begin_ns = now_ns();
  for (std::uint64_t i = 0; i < count; ++i) {
    if (::send(client.get(), message.data(), message.size(), MSG_NOSIGNAL) < 0) break;
  }
  const std::uint64_t taken_ns = now_ns() - begin_ns;
  ::shutdown(client.get(), SHUT_RDWR);
  return static_cast<double>(taken_ns) / static_cast<double>(count);
}

Result<double> ns_of_message(const Options& options) {
  std::vector<double> times;
  for (int i = 0; i < (options.quick ? 1 : 11); ++i) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) return fail_errno("socketpair");
    times.push_back(ns_of_message(ends, options.quick ? 1000 : 50'000));
  }
  return median(times);
}

// Ledgers as 1,024 clients would have filled them.
Result<std::vector<shm::LedgerReader>> filled_ledgers(std::size_t ledger_count, std::uint32_t record_count) {
  std::vector<shm::LedgerReader> readers;
  const shm::Word64 clock{1};
  for (std::size_t i = 0; i < ledger_count; ++i) {
    auto reader = shm::LedgerReader::create(i + 1);
    if (!reader) return std::unexpected(std::move(reader).error());
    auto ledger = shm::LedgerWriter::open(UniqueFd(::fcntl(reader->fd(), F_DUPFD_CLOEXEC, 0)), i + 1);
    if (!ledger) return std::unexpected(std::move(ledger).error());
    const auto writer = shm::AllocationWriter::create(ledger->start(), clock);
    for (std::uint32_t record = 0; record < record_count; ++record) {
      if (!writer->record({.address = record, .size_bytes = 4096, .tag = i})) return fail(Code::kFailed, "ledger full");
    }
    readers.push_back(std::move(*reader));
  }
  return readers;
}

Result<Entries> bench_reading(const Options& options) {
  const std::size_t ledger_count = options.quick ? 16 : 1024;
  constexpr std::uint32_t kRecords = 1000;
  auto readers = filled_ledgers(ledger_count, kRecords);
  if (!readers) return std::unexpected(std::move(readers).error());
  const std::size_t len_bytes = ledger_count * kRecords * sizeof(shm::AllocationRecord);
  std::vector<char> from(len_bytes, 1);
  std::vector<char> to(len_bytes, 2);
  std::uint64_t seen = 0;
  const int repeats = options.quick ? 1 : 21;
  const auto timed_ms = [](const auto& work) {
    const std::uint64_t begin_ns = now_ns();
    work();
    return static_cast<double>(now_ns() - begin_ns) / 1e6;
  };
  const auto copy = [&] {
    return timed_ms([&] {
      std::memcpy(to.data(), from.data(), len_bytes);
      keep(to.data());
    });
  };
  const Pair snapshot = compare(
      repeats,
      [&] {
        return timed_ms([&] {
          std::uint64_t bytes = 0;
          for (const shm::LedgerReader& reader : *readers) {
            const auto done =
                reader.allocations().for_each_live([&](const shm::Allocation& one) { bytes += one.size_bytes; });
            if (done) seen = done->visited;
          }
          keep(bytes);
        });
      },
      copy);
  if (seen != kRecords) return fail(Code::kFailed, "a snapshot showed " + std::to_string(seen) + " records");
  const Pair totals = compare(
      repeats,
      [&] {
        return timed_ms([&] {
          shm::AllocationTotals sum;
          for (const shm::LedgerReader& reader : *readers) {
            if (const auto one = reader.allocations().totals()) sum += *one;
          }
          keep(sum.all().bytes);
        });
      },
      copy);
  const std::string size = std::to_string(ledger_count) + "x" + std::to_string(kRecords);
  return Entries{{"allocation/snapshot/" + size, snapshot.subject, "ms", "memcpy of the same bytes", snapshot.baseline,
                  "bounded by memory"},
                 {"allocation/totals/" + size, totals.subject, "ms", "memcpy of the records' bytes", totals.baseline,
                  "for information"}};
}

}  // namespace

Result<Entries> bench_allocation(const Options& options) {
  test::Host host;
  if (!host.start()) return fail(Code::kFailed, host.why());
  AttachOptions attach;
  attach.socket_path = host.socket_path();
  auto session = Session::attach(attach);
  if (!session) return std::unexpected(std::move(session).error());
  auto ledger = AllocationLedger::open(*session);
  if (!ledger) return std::unexpected(std::move(ledger).error());
  Entries entries;
  double one_thread_ns = 0;
  for (const int thread_count : {1, 4}) {
    for (const std::uint64_t live_count : {kFew, kMany}) {
      const Pair pair = record_and_release(**ledger, thread_count, live_count, options);
      if (thread_count == 1 && live_count == kFew) one_thread_ns = pair.subject;
      entries.push_back({"allocation/record+release/" + std::to_string(thread_count) + "/" + std::to_string(live_count),
                         pair.subject, "ns", "64-byte store, release sequence", pair.baseline, "<= 2"});
    }
  }
  const auto message_ns = ns_of_message(options);
  if (!message_ns) return std::unexpected(message_ns.error());
  entries.push_back(
      {"allocation/message", *message_ns, "ns", "record + release, 1 thread, 64 live", one_thread_ns, ">= 100"});
  auto reading = bench_reading(options);
  if (!reading) return reading;
  entries.insert(entries.end(), reading->begin(), reading->end());
  return entries;
}

}  // namespace warden::bench
