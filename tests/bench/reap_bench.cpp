// SPDX-License-Identifier: Apache-2.0
// From kill(2) of a client to the moment in which wardend has done what a death asks of it. Marked: it is out of all
// totals, no reset waits for it, and what it held is known. Released: it is gone, and its session with it. Beside the
// bare ways to hear of the same death, in this process, with a victim that has touched as much and filled a ledger of
// its own.
#include <fcntl.h>
#include <fmt/format.h>

#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "shm/allocation_writer.h"
#include "shm/ledger.h"
#include "tests/bench/bare_exit.h"
#include "tests/bench/benchmarks.h"
#include "tests/bench/reap_host.h"
#include "tests/bench/victim.h"

namespace warden::bench {

namespace {

constexpr double kNsPerUs = 1000;
constexpr std::uint64_t kGapNs = 20'000'000;
constexpr std::size_t kLargeMb = 500;

double us_between(std::uint64_t begin_ns, std::uint64_t end_ns) {
  return (static_cast<double>(end_ns) - static_cast<double>(begin_ns)) / kNsPerUs;
}

// What a victim has when it is killed.
struct Load {
  std::uint32_t records = 0;
  std::size_t touched_mb = 0;
};

// As attach_and_record(), with nobody to know of it.
bool record_alone(int ledger_fd, std::uint32_t record_count) {
  static std::optional<shm::LedgerWriter> ledger;  // until this process dies
  static std::shared_ptr<shm::AllocationWriter> writer;
  static const shm::Word64 kClock{1};
  auto opened = shm::LedgerWriter::open(UniqueFd(::fcntl(ledger_fd, F_DUPFD_CLOEXEC, 0)), 1);
  if (!opened) return false;
  ledger.emplace(std::move(*opened));
  writer = shm::AllocationWriter::create(ledger->start(), kClock);
  for (std::uint32_t i = 0; i < record_count; ++i) {
    if (!writer->record({.address = i, .size_bytes = 4096, .tag = i})) return false;
  }
  return true;
}

struct Sample {
  std::vector<double> marked_us, released_us, bare_ring_us, bare_pidfd_us;
};

class ReapBench {
 public:
  ReapBench(std::unique_ptr<ReapHost> host, std::unique_ptr<BareExit> bare)
      : host_(std::move(host)), bare_(std::move(bare)) {}

  Result<Sample> measure(const Load& load, int rounds) {
    Sample sample;
    for (int round = 0; round < rounds; ++round) {
      for (const auto step : {&ReapBench::reaped, &ReapBench::bare_ring, &ReapBench::bare_pidfd}) {
        if (auto ok = (this->*step)(load, sample); !ok) return std::unexpected(std::move(ok).error());
      }
    }
    return sample;
  }

  // What the card adds: from kill(2) to a session being closed whose card had to be cleaned first.
  Result<Entry> measure_cleaning(int rounds) {
    std::vector<double> cleaned_us;
    Sample plain;
    for (int round = 0; round < rounds; ++round) {
      const auto cleaned = reap(0, [&] { return attach_and_use_card(host_->socket_path()); });
      if (!cleaned) return std::unexpected(cleaned.error());
      cleaned_us.push_back(cleaned->released_us);
      if (auto ok = reaped({.records = 1}, plain); !ok) return std::unexpected(std::move(ok).error());
    }
    return Entry{"reap/kill-to-clean",      median(cleaned_us), "us", "released without anything on the card",
                 median(plain.released_us), "for information"};
  }

 private:
  struct Reaped {
    double marked_us = 0, released_us = 0;
  };
  Result<Reaped> reap(std::size_t touched_mb, const std::function<bool()>& prepare) {
    const auto victim = Victim::start(touched_mb, prepare);
    if (!victim) return std::unexpected(victim.error());
    if (auto ok = host_->begin(1); !ok) return std::unexpected(std::move(ok).error());
    gap(kGapNs);
    const std::uint64_t begin_ns = victim->kill();
    // Asleep meanwhile, as the bare ways are.
    if (auto ok = sleep_until_readable(victim->pidfd()); !ok) return std::unexpected(std::move(ok).error());
    const auto times = host_->end();
    if (!times) return std::unexpected(times.error());
    return Reaped{us_between(begin_ns, times->marked_ns), us_between(begin_ns, times->released_ns)};
  }
  Status reaped(const Load& load, Sample& sample) {
    const auto times = reap(load.touched_mb, [&] { return attach_and_record(host_->socket_path(), load.records); });
    if (!times) return std::unexpected(times.error());
    sample.marked_us.push_back(times->marked_us);
    sample.released_us.push_back(times->released_us);
    return {};
  }

  template <typename Hear>
  Status bare(const Load& load, std::vector<double>& samples_us, const Hear& hear) {
    auto ledger = shm::LedgerReader::create(1);
    if (!ledger) return std::unexpected(std::move(ledger).error());
    const auto victim = Victim::start(load.touched_mb, [&] { return record_alone(ledger->fd(), load.records); });
    if (!victim) return std::unexpected(victim.error());
    bare_->await(victim->pid());
    gap(kGapNs);
    const std::uint64_t begin_ns = victim->kill();
    if (auto ok = hear(*victim); !ok) return ok;
    samples_us.push_back(us_between(begin_ns, now_ns()));
    return {};
  }
  Status bare_ring(const Load& load, Sample& sample) {
    return bare(load, sample.bare_ring_us, [this](const Victim&) { return bare_->sleep_until_event(); });
  }
  Status bare_pidfd(const Load& load, Sample& sample) {
    return bare(load, sample.bare_pidfd_us, [](const Victim& victim) { return sleep_until_readable(victim.pidfd()); });
  }

  std::unique_ptr<ReapHost> host_;
  std::unique_ptr<BareExit> bare_;
};

void add_rows(const Load& load, Sample& sample, Entries& entries) {
  const std::string what = std::to_string(load.records) + "/" + std::to_string(load.touched_mb) + "MB";
  const double marked_us = median(sample.marked_us);
  const double pidfd_us = median(sample.bare_pidfd_us);
  entries.push_back(
      {"reap/marked/" + what, marked_us, "us", "bare ring buffer and epoll", median(sample.bare_ring_us), "<= 1.3"});
  if (load.touched_mb != 0) {
    entries.push_back({"reap/marked/" + what, marked_us, "us", "pidfd and epoll", pidfd_us, "<= 0.01"});
  }
  entries.push_back({"reap/released/" + what, median(sample.released_us), "us", "pidfd and epoll", pidfd_us, "<= 1.2"});
}

}  // namespace

Result<Entries> bench_reap(const Options& options) {
  auto host = ReapHost::start();
  if (!host && host.error().code == Code::kUnsupported) {
    fmt::print(stderr, "reap: not measured: {}\n", host.error().message);
    return Entries{};
  }
  if (!host) return std::unexpected(std::move(host).error());
  auto bare = BareExit::load();
  if (!bare) return std::unexpected(std::move(bare).error());
  ReapBench bench(std::move(*host), std::move(*bare));
  const Realtime realtime;
  Entries entries;
  for (const std::size_t touched_mb : {std::size_t{0}, options.quick ? 1 : kLargeMb}) {
    for (const std::uint32_t records : {1U, 1'000U, 1'000'000U}) {
      const int rounds = options.quick ? 1 : (touched_mb == 0 ? 101 : 15);
      const Load load{.records = records, .touched_mb = touched_mb};
      auto sample = bench.measure(load, rounds);
      if (!sample) return std::unexpected(std::move(sample).error());
      add_rows(load, *sample, entries);
    }
  }
  auto cleaning = bench.measure_cleaning(options.quick ? 1 : 101);
  if (!cleaning) return std::unexpected(std::move(cleaning).error());
  entries.push_back(std::move(*cleaning));
  return entries;
}

}  // namespace warden::bench
