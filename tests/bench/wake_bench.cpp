// SPDX-License-Identifier: Apache-2.0
// How long it takes to wake one listener in another process, 10 ms apart, through libwarden, a bare futex word and
// tt-umd's pattern in turns.
#include <array>
#include <vector>

#include "tests/bench/benchmarks.h"
#include "tests/bench/child.h"
#include "tests/bench/wakers.h"

namespace warden::bench {

namespace {

constexpr std::uint64_t kGapNs = 10'000'000;
constexpr double kNsPerUs = 1000;

Result<double> sample_us(Waker& waker) {
  Heard& heard = waker.heard();
  heard.time_ns.store(0);
  const std::uint64_t begin_ns = now_ns();
  if (auto ok = waker.wake(); !ok) return std::unexpected(std::move(ok).error());
  gap(kGapNs);
  if (auto ok = await("wake of a listener", [&] { return heard.time_ns.load() != 0; }); !ok) {
    return std::unexpected(std::move(ok).error());
  }
  const std::uint64_t heard_ns = heard.time_ns.load();
  if (auto ok = waker.rest(); !ok) return std::unexpected(std::move(ok).error());
  gap(kGapNs);
  return static_cast<double>(heard_ns - begin_ns) / kNsPerUs;
}

}  // namespace

Result<Entries> bench_wake(const Options& options) {
  std::array<std::unique_ptr<Waker>, 3> wakers;
  const std::array makers = {libwarden_waker, futex_waker, umd_waker};
  for (std::size_t i = 0; i < makers.size(); ++i) {
    auto waker = makers[i]();
    if (!waker) return std::unexpected(std::move(waker).error());
    wakers[i] = std::move(*waker);
  }
  std::array<std::vector<double>, 3> samples;
  const int rounds = options.quick ? 3 : 300;
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < wakers.size(); ++i) {
      const auto sample = sample_us(*wakers[i]);
      if (!sample) return std::unexpected(sample.error());
      samples[i].push_back(*sample);
    }
  }
  const double libwarden = median(samples[0]);
  return Entries{{"wake/futex", libwarden, "us", "bare futex word", median(samples[1]), "<= 1.25"},
                 {"wake/umd", libwarden, "us", "tt-umd's pattern", median(samples[2]), "<= 0.33"}};
}

}  // namespace warden::bench
