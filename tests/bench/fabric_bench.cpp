// SPDX-License-Identifier: Apache-2.0
// A fabric under traffic: how long pausing and resuming all routers takes, beside what the slowest of them needed; how
// soon a worker is torn down and traffic is noticed, beside what tt-metal's tests reckon with.
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <vector>

#include "driver/fabric/command_interface.h"
#include "driver/fabric/traffic_validation.h"
#include "tests/bench/benchmarks.h"
#include "tests/conformance/fabric_mesh.h"
#include "tests/conformance/fabric_traffic.h"

namespace warden::bench {

namespace {

using fabric::ControlPlane;
using fabric::FabricCommandInterface;
using fabric::Router;
using fabric::RouterStateCommon;
using fabric::testing::Mesh;
using fabric::testing::Traffic;

constexpr double kNsPerMs = 1e6;
constexpr double kTypicalTransitionMs = 500;  // what tt-metal's documents call typical
constexpr double kTypicalTeardownMs = 100;
constexpr double kTypicalDetectionMs = 200;
constexpr fabric::CardAddress kWallClockLow{0xFFB121F0};
constexpr fabric::CardAddress kWallClockHigh{0xFFB121F4};

double ms_between(std::uint64_t begin_ns, std::uint64_t end_ns) {
  return end_ns > begin_ns ? static_cast<double>(end_ns - begin_ns) / kNsPerMs : 0;
}

// When, by this process's clock, the router came to its present state: its wall clock counts nanoseconds.
Result<std::uint64_t> state_since_ns(const ControlPlane& control_plane, const Router& router) {
  const auto block = control_plane.block(router);
  if (!block) return std::unexpected(block.error());
  fabric::Card& card = control_plane.card(router);
  const std::uint64_t before_ns = now_ns();
  const auto low = card.read32(router.tile, kWallClockLow);
  const std::uint64_t after_ns = now_ns();
  const auto high = card.read32(router.tile, kWallClockHigh);
  if (!low) return std::unexpected(low.error());
  if (!high) return std::unexpected(high.error());
  const auto join = [](std::uint32_t upper, std::uint32_t lower) { return std::uint64_t{upper} << 32 | lower; };
  const std::uint64_t card_ns = join(*high, *low);
  const std::uint64_t since = join(block->counters.state_since_high, block->counters.state_since_low);
  return before_ns + (after_ns - before_ns) / 2 - (card_ns - since);
}

Result<std::uint64_t> slowest_ns(const ControlPlane& control_plane) {
  std::uint64_t slowest = 0;
  for (const Router& router : control_plane.routers()) {
    const auto since = state_since_ns(control_plane, router);
    if (!since) return std::unexpected(since.error());
    slowest = std::max(slowest, *since);
  }
  return slowest;
}

struct Samples {
  std::vector<double> pause;
  std::vector<double> slowest;
  std::vector<double> resume;
};

Status measure_round(ControlPlane& control_plane, FabricCommandInterface& commands, Samples& samples) {
  const std::uint64_t begin_ns = now_ns();
  commands.pause_routers();
  const bool paused = commands.wait_for_pause();
  const std::uint64_t end_ns = now_ns();
  if (!paused) return fail(Code::kTimeout, to_string(commands.last_transition()));
  const auto slowest = slowest_ns(control_plane);
  if (!slowest) return std::unexpected(slowest.error());
  samples.pause.push_back(ms_between(begin_ns, end_ns));
  samples.slowest.push_back(ms_between(begin_ns, *slowest));
  const std::uint64_t resume_ns = now_ns();
  commands.resume_routers();
  if (!commands.wait_for_state(RouterStateCommon::RUNNING)) {
    return fail(Code::kTimeout, to_string(commands.last_transition()));
  }
  samples.resume.push_back(ms_between(resume_ns, now_ns()));
  gap(2'000'000);
  return {};
}

Result<Entries> measure_transitions(unsigned rows, unsigned columns, const char* goal, int rounds) {
  const Mesh board(rows, columns);
  const auto fabric = board.control_plane();
  if (Status up = fabric->bring_up(); !up) return std::unexpected(std::move(up).error());
  FabricCommandInterface commands(*fabric);
  Traffic traffic(*fabric, {});
  traffic.everywhere(1);
  Samples samples;
  for (int round = 0; round < rounds; ++round) {
    if (Status done = measure_round(*fabric, commands, samples); !done) {
      return std::unexpected(std::move(done).error());
    }
  }
  return Entries{{fmt::format("fabric/pause/{}", rows * columns), median(samples.pause), "ms", "slowest router's own",
                  median(samples.slowest), fmt::format("<= 1.5, and {}", goal)},
                 {fmt::format("fabric/resume/{}", rows * columns), median(samples.resume), "ms", "tt-metal's typical",
                  kTypicalTransitionMs, "< 1"}};
}

Result<Entries> measure_workers(int rounds) {
  const Mesh board(1, 2);
  const auto fabric = board.control_plane();
  ControlPlane& control_plane = *fabric;
  if (Status up = control_plane.bring_up(); !up) return std::unexpected(std::move(up).error());
  std::vector<double> detection;
  std::vector<double> teardown;
  for (int round = 0; round < rounds; ++round) {
    Traffic traffic(control_plane, {});
    traffic.everywhere(1);
    const std::uint64_t begin_ns = now_ns();
    if (!warden::fabric::validate_traffic_flowing(control_plane, 0, 2))
      return fail(Code::kFailed, "no traffic is seen");
    detection.push_back(ms_between(begin_ns, now_ns()));
    const fabric::Worker& worker = traffic.flows().front().generator;
    const std::uint64_t told_ns = now_ns();
    if (Status told = fabric::signal_worker_teardown(control_plane, worker); !told) {
      return std::unexpected(std::move(told).error());
    }
    if (Status done = fabric::wait_for_worker_complete(control_plane, worker); !done) {
      return std::unexpected(std::move(done).error());
    }
    teardown.push_back(ms_between(told_ns, now_ns()));
    traffic.end();
  }
  return Entries{{"fabric/teardown", median(teardown), "ms", "tt-metal's typical", kTypicalTeardownMs, "< 1"},
                 {"fabric/detection", median(detection), "ms", "tt-metal's typical", kTypicalDetectionMs, "< 1"}};
}

}  // namespace

Result<Entries> bench_fabric(const Options& options) {
  const int rounds = options.quick ? 2 : 51;
  Entries all;
  try {
    for (auto part : {measure_transitions(1, 2, "< 5 ms", rounds), measure_transitions(4, 8, "< 20 ms", rounds),
                      measure_workers(rounds)}) {
      if (!part) return part;
      all.insert(all.end(), part->begin(), part->end());
    }
  } catch (const std::exception& error) {
    return fail(Code::kFailed, error.what());
  }
  return all;
}

}  // namespace warden::bench
