// SPDX-License-Identifier: Apache-2.0
// How much a router sends, from two looks at its counters.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include <warden/result.h>

#include "driver/fabric/control_plane.h"

namespace warden::cli {

struct TrafficSample {
  std::chrono::steady_clock::time_point when;
  std::uint64_t words = 0;  // sent, of 16 bytes
  std::uint64_t packets = 0;
  std::uint64_t active_cycles = 0;  // of the turns in which something was sent
  std::uint64_t cycles = 0;         // of all turns
};

struct TrafficRate {
  double words_per_second = 0;
  double packets_per_second = 0;
  double busy = 0;  // share of its turns in which the router sent something, 0 to 1
};

// Nothing when no time has passed between the two, or the router was started anew.
[[nodiscard]] std::optional<TrafficRate> rate_between(const TrafficSample& before, const TrafficSample& after);

// "0", "950", "12.5 k", "3.40 M", "1.20 G"
[[nodiscard]] std::string format_rate(double per_second);

using TrafficSamples = std::map<fabric::RouterId, TrafficSample>;
// Of the routers that can be read. kUnsupported when they keep no telemetry.
[[nodiscard]] Result<TrafficSamples> sample_traffic(const fabric::ControlPlane& fabric);

using TrafficRates = std::map<fabric::RouterId, TrafficRate>;
[[nodiscard]] TrafficRates rates_between(const TrafficSamples& before, const TrafficSamples& after);

}  // namespace warden::cli
