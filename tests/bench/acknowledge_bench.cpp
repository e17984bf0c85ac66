// SPDX-License-Identifier: Apache-2.0
// How long wardend takes from announcing a reset to the last acknowledgement, with N listeners in as many processes,
// beside a bare futex broadcast with a shared counter. Real resets of a simulated card by a real wardend; the time is
// the one of its own report.
#include <unistd.h>

#include <string>
#include <vector>

#include <warden/listener.h>
#include <warden/reset.h>
#include <warden/session.h>

#include "tests/bench/benchmarks.h"
#include "tests/bench/child.h"
#include "tests/bench/futex_word.h"
#include "tests/bench/shared_page.h"
#include "tests/support/host.h"

namespace warden::bench {

namespace {

constexpr double kNsPerUs = 1000;
constexpr double kUmdWaitUs = 2'000'000;  // tt-umd waits this long whenever there is a listener
// A reset comes out of the quiet, and so does the broadcast it is compared with.
constexpr std::uint64_t kGapNs = 200'000'000;

struct Counters {
  FutexWord ready{0};
  FutexWord answered{0};
  FutexWord target{0};
};

void listen_for_ever(const std::string& socket_path, Counters& counters) {
  AttachOptions options;
  options.socket_path = socket_path;
  options.timeout = std::chrono::seconds(60);
  const auto session = Session::attach(options);
  if (!session) return;
  const auto listener = Listener::start(*session, ListenerCallbacks{});
  if (!listener) return;
  counters.ready.fetch_add(1);
  for (;;) ::pause();
}

void count_for_ever(const FutexWord& word, Counters& counters) {
  std::uint32_t seen = word.load();
  counters.ready.fetch_add(1);
  for (;;) {
    bare_wait(word, seen);
    const std::uint32_t now = word.load();
    if (now == seen) continue;
    seen = now;
    if (counters.answered.fetch_add(1) + 1 == counters.target.load()) bare_wake_all(counters.answered);
  }
}

// N processes, each with a listener of libwarden's, and N that wait on a bare word.
class Crowd {
 public:
  Crowd(SharedWord word, SharedPage<Counters> counters, std::string socket_path)
      : word_(std::move(word)), counters_(std::move(counters)), socket_path_(std::move(socket_path)) {}

  Status grow_to(std::size_t count) {
    while (listeners_.size() < count) {
      auto listener = Child::fork([&] { listen_for_ever(socket_path_, *counters_.get()); });
      if (!listener) return std::unexpected(std::move(listener).error());
      listeners_.push_back(std::move(*listener));
      auto waiter = Child::fork([&] { count_for_ever(word_.readable(), *counters_.get()); });
      if (!waiter) return std::unexpected(std::move(waiter).error());
      waiters_.push_back(std::move(*waiter));
      // One after the other: what is measured is a broadcast to them, not their arrival.
      const auto all = static_cast<std::uint32_t>(2 * listeners_.size());
      auto ready =
          await("listener " + std::to_string(listeners_.size()), [&] { return counters_->ready.load() == all; });
      if (!ready) return ready;
    }
    return {};
  }

  double broadcast_us() {
    counters_->answered.store(0);
    counters_->target.store(static_cast<std::uint32_t>(waiters_.size()));
    const std::uint64_t begin_ns = now_ns();
    word_.writable().fetch_add(1);
    bare_wake_all(word_.writable());
    for (;;) {
      const std::uint32_t answered = counters_->answered.load();
      if (answered == waiters_.size()) break;
      bare_wait(counters_->answered, answered);
    }
    return static_cast<double>(now_ns() - begin_ns) / kNsPerUs;
  }

 private:
  SharedWord word_;
  SharedPage<Counters> counters_;
  std::string socket_path_;
  std::vector<Child> listeners_;
  std::vector<Child> waiters_;
};

Result<double> reset_wait_us(Session& session, std::size_t count) {
  auto report = warm_reset(session);
  if (!report) return std::unexpected(std::move(report).error());
  if (report->result != ResetResult::kOk) return fail(Code::kFailed, "reset: " + report->reason);
  if (report->listeners.size() != count) {
    return fail(Code::kFailed,
                std::to_string(report->listeners.size()) + " listeners in the report, not " + std::to_string(count));
  }
  for (const ResetPhaseTime& phase : report->phases) {
    if (phase.name == "announced") return static_cast<double>(phase.duration_us);
  }
  return fail(Code::kFailed, "no announced phase in the report");
}

struct Medians {
  double reset_us = 0;
  double broadcast_us = 0;
};

Result<Medians> measure(Session& session, Crowd& crowd, std::size_t count, int rounds) {
  if (auto ok = crowd.grow_to(count); !ok) return std::unexpected(std::move(ok).error());
  std::vector<double> resets;
  std::vector<double> broadcasts;
  for (int round = 0; round < rounds; ++round) {
    gap(kGapNs);
    const auto reset = reset_wait_us(session, count);
    if (!reset) return std::unexpected(reset.error());
    resets.push_back(*reset);
    gap(kGapNs);
    broadcasts.push_back(crowd.broadcast_us());
  }
  return Medians{median(resets), median(broadcasts)};
}

}  // namespace

Result<Entries> bench_acknowledge(const Options& options) {
  test::Host host;
  // Nobody reads what they log.
  if (!host.start_simulator({"--reset-duration", "10"}) || !host.start_daemon({"--log-level", "off"})) {
    return fail(Code::kFailed, host.why());
  }
  AttachOptions attach;
  attach.socket_path = host.socket_path();
  auto session = Session::attach(attach);
  if (!session) return std::unexpected(std::move(session).error());
  auto word = SharedWord::make();
  if (!word) return std::unexpected(std::move(word).error());
  auto counters = SharedPage<Counters>::make();
  if (!counters) return std::unexpected(std::move(counters).error());
  Crowd crowd(std::move(*word), std::move(*counters), host.socket_path());

  Entries entries;
  const std::vector<std::size_t> counts =
      options.quick ? std::vector<std::size_t>{1, 4} : std::vector<std::size_t>{1, 16, 128, 1024};
  for (const std::size_t count : counts) {
    const auto medians = measure(**session, crowd, count, options.quick ? 1 : 15);
    if (!medians) return std::unexpected(medians.error());
    entries.push_back({"acknowledge/" + std::to_string(count), medians->reset_us, "us", "futex broadcast and counter",
                       medians->broadcast_us, "<= 1.25"});
    if (count == 1) {
      entries.push_back({"reset/waiting", medians->reset_us, "us", "tt-umd's fixed wait", kUmdWaitUs, "< 0.01"});
    }
  }
  return entries;
}

}  // namespace warden::bench
