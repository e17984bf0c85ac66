// SPDX-License-Identifier: Apache-2.0
// Many clients killed by one kill(2): the time until the last of them was marked, and released, for each of them,
// beside as many bare processes with a pidfd each in one epoll set. That none was lost and nothing of theirs is counted
// is checked each time.
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include "tests/bench/benchmarks.h"
#include "tests/bench/child.h"
#include "tests/bench/reap_host.h"
#include "tests/bench/shared_page.h"

namespace warden::bench {

namespace {

constexpr double kNsPerUs = 1000;
constexpr std::uint64_t kGapNs = 200'000'000;
constexpr int kBoundMs = 60'000;
constexpr std::size_t kMost = 1024;

struct CrowdPage {
  std::atomic<pid_t> group{0};
  std::atomic<std::uint32_t> ready{0};
  std::atomic<pid_t> pids[kMost];
};

// Processes of one group.
class Crowd {
 public:
  // `prepare` runs in each of them.
  static Result<Crowd> start(std::size_t count, const std::function<bool()>& prepare) {
    auto page = SharedPage<CrowdPage>::make();
    if (!page) return std::unexpected(std::move(page).error());
    Crowd crowd(std::move(*page));
    CrowdPage& shared = *crowd.page_.get();
    for (std::uint32_t me = 0; me < count; ++me) {
      auto child = Child::fork([&] {
        if (::setpgid(0, shared.group.load()) != 0 || !prepare()) return;
        if (me == 0) shared.group.store(::getpid());
        shared.pids[me].store(::getpid());
        shared.ready.fetch_add(1);
        for (;;) ::pause();
      });
      if (!child) return std::unexpected(std::move(child).error());
      crowd.children_.push_back(std::move(*child));
      // One after the other: what is measured is their end.
      auto ready = bench::await("process " + std::to_string(me), [&] { return shared.ready.load() == me + 1; });
      if (!ready) return std::unexpected(std::move(ready).error());
    }
    return crowd;
  }

  [[nodiscard]] pid_t pid(std::size_t index) const { return page_->pids[index].load(); }
  [[nodiscard]] std::size_t size() const { return children_.size(); }
  // Returns when that was.
  [[nodiscard]] std::uint64_t kill() const {
    const std::uint64_t time_ns = now_ns();
    (void)::kill(-page_->group.load(), SIGKILL);
    return time_ns;
  }

 private:
  explicit Crowd(SharedPage<CrowdPage> page) : page_(std::move(page)) {}
  SharedPage<CrowdPage> page_;
  std::vector<Child> children_;
};

// A pidfd each in one epoll set.
class CrowdWatch {
 public:
  static Result<CrowdWatch> watch(const Crowd& crowd) {
    CrowdWatch self(UniqueFd(::epoll_create1(EPOLL_CLOEXEC)));
    for (std::size_t i = 0; i < crowd.size(); ++i) {
      self.pidfds_.emplace_back(static_cast<int>(::syscall(SYS_pidfd_open, crowd.pid(i), 0)));
      epoll_event event{.events = EPOLLIN, .data = {.u64 = i}};
      if (::epoll_ctl(self.epoll_.get(), EPOLL_CTL_ADD, self.pidfds_.back().get(), &event) != 0) {
        return fail_errno("watch a process of a crowd");
      }
    }
    return self;
  }
  Status sleep_until_all_are_gone() {
    epoll_event events[64];
    for (std::size_t left = pidfds_.size(); left > 0;) {
      const int count = ::epoll_wait(epoll_.get(), events, 64, kBoundMs);
      if (count <= 0) return fail(Code::kTimeout, std::to_string(left) + " processes of a crowd live on");
      for (int i = 0; i < count; ++i) {
        ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, pidfds_[events[i].data.u64].get(), nullptr);
      }
      left -= static_cast<std::size_t>(count);
    }
    return {};
  }

 private:
  explicit CrowdWatch(UniqueFd epoll) : epoll_(std::move(epoll)) {}
  UniqueFd epoll_;
  std::vector<UniqueFd> pidfds_;
};

// Microseconds a session.
struct Each {
  std::vector<double> marked, released, bare;
};

Status measure_reaped(ReapHost& host, std::size_t count, Each& each) {
  const auto crowd = Crowd::start(count, [&] { return attach_and_record(host.socket_path(), 1); });
  if (!crowd) return std::unexpected(crowd.error());
  if (auto ok = host.begin(count); !ok) return ok;
  auto watch = CrowdWatch::watch(*crowd);
  if (!watch) return std::unexpected(std::move(watch).error());
  gap(kGapNs);
  const std::uint64_t begin_ns = crowd->kill();
  if (auto ok = watch->sleep_until_all_are_gone(); !ok) return ok;
  const auto times = host.end();
  if (!times) return std::unexpected(times.error());
  const double unit = kNsPerUs * static_cast<double>(count);
  each.marked.push_back(static_cast<double>(times->marked_ns - begin_ns) / unit);
  each.released.push_back(static_cast<double>(times->released_ns - begin_ns) / unit);
  return {};
}

Status measure_bare(std::size_t count, Each& each) {
  const auto crowd = Crowd::start(count, [] { return true; });
  if (!crowd) return std::unexpected(crowd.error());
  auto watch = CrowdWatch::watch(*crowd);
  if (!watch) return std::unexpected(std::move(watch).error());
  gap(kGapNs);
  const std::uint64_t begin_ns = crowd->kill();
  if (auto ok = watch->sleep_until_all_are_gone(); !ok) return ok;
  each.bare.push_back(static_cast<double>(now_ns() - begin_ns) / (kNsPerUs * static_cast<double>(count)));
  return {};
}

void allow_many_descriptors() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

Result<Entries> bench_reap_crowd(const Options& options) {
  allow_many_descriptors();
  auto host = ReapHost::start();
  if (!host && host.error().code == Code::kUnsupported) {
    fmt::print(stderr, "reap-crowd: not measured: {}\n", host.error().message);
    return Entries{};
  }
  if (!host) return std::unexpected(std::move(host).error());
  Entries entries;
  double smallest_us = 0;
  const std::vector<std::size_t> counts =
      options.quick ? std::vector<std::size_t>{4, 8} : std::vector<std::size_t>{64, 256, kMost};
  for (const std::size_t count : counts) {
    Each each;
    for (int round = 0; round < (options.quick ? 1 : 5); ++round) {
      if (auto ok = measure_reaped(**host, count, each); !ok) return std::unexpected(std::move(ok).error());
      if (auto ok = measure_bare(count, each); !ok) return std::unexpected(std::move(ok).error());
    }
    const double marked_us = median(each.marked);
    if (smallest_us == 0) smallest_us = marked_us;
    const std::string number = std::to_string(count);
    entries.push_back({"reap/crowd-marked/" + number, marked_us, "us", "the same for " + std::to_string(counts[0]),
                       smallest_us, "<= 1.3, a session"});
    entries.push_back({"reap/crowd-released/" + number, median(each.released), "us", "bare processes, pidfds in epoll",
                       median(each.bare), "for information, a session"});
  }
  return entries;
}

}  // namespace warden::bench
