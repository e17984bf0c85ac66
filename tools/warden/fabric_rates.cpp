// SPDX-License-Identifier: Apache-2.0
// See fabric_rates.h.
#include "tools/warden/fabric_rates.h"

#include <fmt/format.h>

namespace warden::cli {

std::optional<TrafficRate> rate_between(const TrafficSample& before, const TrafficSample& after) {
  const double seconds = std::chrono::duration<double>(after.when - before.when).count();
  const bool is_anew = after.words < before.words || after.packets < before.packets || after.cycles < before.cycles;
  if (seconds <= 0 || is_anew) return std::nullopt;
  const auto cycles = static_cast<double>(after.cycles - before.cycles);
  const auto active = static_cast<double>(after.active_cycles - before.active_cycles);
  return TrafficRate{.words_per_second = static_cast<double>(after.words - before.words) / seconds,
                     .packets_per_second = static_cast<double>(after.packets - before.packets) / seconds,
                     .busy = cycles > 0 ? active / cycles : 0};
}

std::string format_rate(double per_second) {
  // The limits are those at which two decimals would be rounded up to the next unit.
  if (per_second < 999.5) return fmt::format("{:.0f}", per_second);
  if (per_second < 999'950) return fmt::format("{:.1f} k", per_second / 1e3);
  if (per_second < 999'995'000) return fmt::format("{:.2f} M", per_second / 1e6);
  return fmt::format("{:.2f} G", per_second / 1e9);
}

Result<TrafficSamples> sample_traffic(const fabric::ControlPlane& fabric) {
  if (!fabric.has_telemetry()) {
    return fail(Code::kUnsupported, "the routers keep no telemetry: start them without --no-telemetry to see rates");
  }
  TrafficSamples samples;
  for (const fabric::Router& router : fabric.routers()) {
    const auto telemetry = fabric.telemetry(router);
    if (!telemetry) continue;
    samples[router.id] = {.when = std::chrono::steady_clock::now(),
                          .words = telemetry->transmit.words,
                          .packets = telemetry->transmit.packets,
                          .active_cycles = telemetry->transmit.active_cycles,
                          .cycles = telemetry->transmit.cycles};
  }
  return samples;
}

TrafficRates rates_between(const TrafficSamples& before, const TrafficSamples& after) {
  TrafficRates rates;
  for (const auto& [router, sample] : after) {
    const auto first = before.find(router);
    if (first == before.end()) continue;
    if (const auto rate = rate_between(first->second, sample)) rates[router] = *rate;
  }
  return rates;
}

}  // namespace warden::cli
