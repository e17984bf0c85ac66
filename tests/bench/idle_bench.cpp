// SPDX-License-Identifier: Apache-2.0
// What the simulator costs the host while the largest board's routers run and nobody sends.
#include <ctime>
#include <exception>
#include <vector>

#include "driver/fabric/control_plane.h"
#include "tests/bench/benchmarks.h"
#include "tests/conformance/fabric_mesh.h"

namespace warden::bench {

namespace {

constexpr double kShareMax = 5;  // per cent of one processor that quiet routers may cost

// Seconds of processor time that the process has used.
double seconds_of(pid_t process) {
  clockid_t clock{};
  timespec used{};
  (void)::clock_getcpuclockid(process, &clock);
  (void)::clock_gettime(clock, &used);
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
}

Result<std::uint64_t> heartbeats(const fabric::ControlPlane& control_plane) {
  std::uint64_t sum = 0;
  for (const fabric::Router& router : control_plane.routers()) {
    const auto telemetry = control_plane.telemetry(router);
    if (!telemetry) return std::unexpected(telemetry.error());
    sum += telemetry->cores[0].transmit_heartbeat;
  }
  return sum;
}

Result<Entry> measure(unsigned links, const Options& options) {
  fabric::testing::Mesh board(4, 8, {"--links", std::to_string(links)});
  const auto control_plane = board.control_plane();
  if (Status up = control_plane->bring_up(); !up) return std::unexpected(std::move(up).error());
  const auto before = heartbeats(*control_plane);
  if (!before) return std::unexpected(before.error());
  const pid_t simulator = board.simulator().pid();
  gap(1'000'000'000);  // until all doze
  std::vector<double> shares;
  for (int round = 0; round < (options.quick ? 1 : 9); ++round) {
    const double used = seconds_of(simulator);
    const std::uint64_t begin = now_ns();
    gap(options.quick ? 200'000'000 : 1'000'000'000);
    shares.push_back((seconds_of(simulator) - used) * 100e9 / static_cast<double>(now_ns() - begin));
  }
  const auto after = heartbeats(*control_plane);
  if (!after) return std::unexpected(after.error());
  if (*after == *before) return fail(Code::kFailed, "no router has a heartbeat");
  return Entry{.name = "idle/4x8/" + std::to_string(links),
               .value = median(shares),
               .unit = "%",
               .baseline = "what quiet routers may cost",
               .baseline_value = kShareMax,
               .goal = links == 1 ? "<= 1" : ""};
}

}  // namespace

Result<Entries> bench_idle(const Options& options) {
  Entries entries;
  try {
    for (const unsigned links : {1U, 4U}) {
      auto entry = measure(links, options);
      if (!entry) return std::unexpected(std::move(entry).error());
      entries.push_back(*entry);
    }
  } catch (const std::exception& error) {
    return fail(Code::kFailed, error.what());
  }
  return entries;
}

}  // namespace warden::bench
