// SPDX-License-Identifier: Apache-2.0
// How soon a process's death is known: to a reader of the liveness page, counted from the exit program's first
// instruction; to the watcher, counted from kill(2); and what the program costs everybody who is not watched.
#include <fmt/format.h>
#include <linux/bpf.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "bpf/exit_watcher.h"
#include "shm/liveness_page.h"
#include "tests/bench/bare_exit.h"
#include "tests/bench/benchmarks.h"
#include "tests/bench/victim.h"

namespace warden::bench {

namespace {

constexpr double kNsPerUs = 1000;
constexpr std::uint64_t kGapNs = 20'000'000;
constexpr std::uint64_t kBoundNs = 60'000'000'000;
constexpr std::size_t kLargeMb = 500;

void run_on(std::size_t processor) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  (void)::sched_setaffinity(0, sizeof(set), &set);
}

// One way to hear of an exit. Microseconds, or nothing when the hook was not shown this exit.
using Measured = Result<double>;

// The time when `seen` became true, spinning.
template <typename Condition>
Result<std::uint64_t> spin_until(const Condition& seen) {
  const std::uint64_t begin_ns = now_ns();
  for (std::uint64_t looks = 1;; ++looks) {
    if (seen()) return now_ns();
    if (looks % 1'000'000 == 0 && now_ns() - begin_ns > kBoundNs) return fail(Code::kTimeout, "no exit was seen");
  }
}

class ExitBench {
 public:
  static Result<std::unique_ptr<ExitBench>> make(std::unique_ptr<bpf::ExitWatcher> watcher) {
    auto page = shm::LivenessPage::map(watcher->liveness_fd(), watcher->liveness_slots());
    if (!page) return std::unexpected(std::move(page).error());
    auto bare = BareExit::load();
    if (!bare) return std::unexpected(std::move(bare).error());
    return std::make_unique<ExitBench>(std::move(watcher), std::move(*page), std::move(*bare));
  }
  ExitBench(std::unique_ptr<bpf::ExitWatcher> watcher, shm::LivenessPage page, std::unique_ptr<BareExit> bare)
      : watcher_(std::move(watcher)), page_(std::move(page)), bare_(std::move(bare)) {}

  Measured hook_to_reader(const Victim& victim) {
    if (auto ok = watch(victim); !ok) return std::unexpected(std::move(ok).error());
    (void)victim.kill();
    const auto seen_ns = spin_until([&] { return page_.is_dead(0, id_); });
    if (!seen_ns) return std::unexpected(seen_ns.error());
    const auto death = take();
    if (!death) return std::unexpected(death.error());
    return static_cast<double>(*seen_ns - death->time_ns) / kNsPerUs;
  }

  Measured hook_to_bare_reader(const Victim& victim) {
    bare_->await(victim.pid());
    (void)victim.kill();
    const auto seen_ns = spin_until([&] { return bare_->seen_ns() != 0; });
    if (!seen_ns) return std::unexpected(seen_ns.error());
    return static_cast<double>(*seen_ns - bare_->seen_ns()) / kNsPerUs;
  }

  Measured kill_to_event(const Victim& victim) {
    if (auto ok = watch(victim); !ok) return std::unexpected(std::move(ok).error());
    const std::uint64_t begin_ns = victim.kill();
    const auto death = take();
    const std::uint64_t end_ns = now_ns();
    if (!death) return std::unexpected(death.error());
    return static_cast<double>(end_ns - begin_ns) / kNsPerUs;
  }

  Measured kill_to_bare_event(const Victim& victim) {
    bare_->await(victim.pid());
    return timed(victim, [&] { return bare_->sleep_until_event(); });
  }

  static Measured kill_to_pidfd(const Victim& victim) {
    return timed(victim, [&] { return sleep_until_readable(victim.pidfd()); });
  }

  [[nodiscard]] bpf::Counters counters() const { return watcher_->counters(); }

 private:
  Status watch(const Victim& victim) {
    watcher_->forget(id_);
    return watcher_->watch({.id = ++id_, .slot = 0, .pidfd = victim.pidfd()});
  }

  Result<bpf::Death> take() {
    std::vector<bpf::Death> deaths;
    while (deaths.empty()) {
      if (auto ok = sleep_until_readable(watcher_->fd()); !ok) return std::unexpected(std::move(ok).error());
      if (auto ok = watcher_->take(deaths); !ok) return std::unexpected(std::move(ok).error());
    }
    return deaths.front();
  }

  static Measured timed(const Victim& victim, const std::function<Status()>& wait) {
    const std::uint64_t begin_ns = victim.kill();
    if (auto ok = wait(); !ok) return std::unexpected(std::move(ok).error());
    return static_cast<double>(now_ns() - begin_ns) / kNsPerUs;
  }

  std::unique_ptr<bpf::ExitWatcher> watcher_;
  shm::LivenessPage page_;
  std::unique_ptr<BareExit> bare_;
  std::uint64_t id_ = 0;
};

using Way = std::function<Measured(const Victim&)>;

// All ways in turns, each with a victim of its own.
Result<std::vector<double>> medians(const std::vector<Way>& ways, int rounds, std::size_t touched_mb,
                                    std::optional<std::size_t> processor = {}) {
  std::vector<std::vector<double>> samples(ways.size());
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < ways.size(); ++i) {
      const auto victim = Victim::start(touched_mb, [&] {
        if (processor) run_on(*processor);
        return true;
      });
      if (!victim) return std::unexpected(victim.error());
      gap(kGapNs);
      const auto sample = ways[i](*victim);
      if (!sample) return std::unexpected(sample.error());
      samples[i].push_back(*sample);
    }
  }
  std::vector<double> middle;
  for (auto& of_way : samples) middle.push_back(median(of_way));
  return middle;
}

Status measure_reader(ExitBench& exits, bool quick, Entries& entries) {
  cpu_set_t before;
  (void)::sched_getaffinity(0, sizeof(before), &before);
  if (CPU_COUNT(&before) < 2) return {};  // reader and victim need a processor each
  run_on(0);
  const auto us = medians({[&](const Victim& victim) { return exits.hook_to_reader(victim); },
                           [&](const Victim& victim) { return exits.hook_to_bare_reader(victim); }},
                          quick ? 3 : 200, 0, 1);
  (void)::sched_setaffinity(0, sizeof(before), &before);
  if (!us) return std::unexpected(us.error());
  entries.push_back({"exit/hook-to-reader", us->at(0), "us", "bare BPF array, reader spins", us->at(1), "<= 2"});
  return {};
}

Status measure_event(ExitBench& exits, bool quick, Entries& entries) {
  const Realtime realtime;
  const Way ours = [&](const Victim& victim) { return exits.kill_to_event(victim); };
  const Way bare = [&](const Victim& victim) { return exits.kill_to_bare_event(victim); };
  const auto small = medians({ours, bare}, quick ? 3 : 200, 0);
  if (!small) return std::unexpected(small.error());
  entries.push_back(
      {"exit/kill-to-event/0MB", small->at(0), "us", "bare ring buffer and epoll", small->at(1), "<= 1.3"});
  const auto large = medians({ours, bare, ExitBench::kill_to_pidfd}, quick ? 1 : 20, quick ? 1 : kLargeMb);
  if (!large) return std::unexpected(large.error());
  entries.push_back(
      {"exit/kill-to-event/500MB", large->at(0), "us", "bare ring buffer and epoll", large->at(1), "<= 1.3"});
  entries.push_back({"exit/kill-to-event/500MB", large->at(0), "us", "pidfd and epoll", large->at(2), "<= 0.01"});
  return {};
}

// By the kernel's own statistics, which cost something themselves. Processes of one thread: one run each.
Status measure_unregistered(const ExitBench& exits, bool quick, Entries& entries) {
  bpf_attr attributes{};
  attributes.enable_stats.type = BPF_STATS_RUN_TIME;
  const UniqueFd enabled(
      static_cast<int>(::syscall(SYS_bpf, BPF_ENABLE_STATS, &attributes, sizeof(attributes.enable_stats))));
  if (!enabled) return fail_errno("BPF_ENABLE_STATS");
  const auto before = exits.counters();
  const int processes = quick ? 100 : 3000;
  const std::uint64_t begin_ns = now_ns();
  for (int i = 0; i < processes; ++i) {
    const pid_t pid = ::fork();
    if (pid < 0) return fail_errno("fork");
    if (pid == 0) ::_exit(0);
    (void)::waitpid(pid, nullptr, 0);
  }
  const double life_us = static_cast<double>(now_ns() - begin_ns) / kNsPerUs / processes;
  const auto after = exits.counters();
  const double us = static_cast<double>(after.run_time_ns - before.run_time_ns) / kNsPerUs /
                    static_cast<double>(after.runs - before.runs);
  entries.push_back({"exit/unregistered", us, "us", "a fork and its exit", life_us, "<= 0.6 us"});
  return {};
}

}  // namespace

Result<Entries> bench_exit(const Options& options) {
  auto watcher = bpf::ExitWatcher::open({});
  if (!watcher) return std::unexpected(std::move(watcher).error());
  if ((*watcher)->mechanism() == bpf::Mechanism::kPidfd) {
    fmt::print(stderr, "exit: not measured: {}\n", (*watcher)->reason());
    return Entries{};
  }
  auto exits = ExitBench::make(std::move(*watcher));
  if (!exits) return std::unexpected(std::move(exits).error());
  Entries entries;
  for (const auto measure : {&measure_reader, &measure_event}) {
    if (auto ok = measure(**exits, options.quick, entries); !ok) return std::unexpected(std::move(ok).error());
  }
  if (auto ok = measure_unregistered(**exits, options.quick, entries); !ok) {
    return std::unexpected(std::move(ok).error());
  }
  return entries;
}

}  // namespace warden::bench
