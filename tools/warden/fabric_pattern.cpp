// SPDX-License-Identifier: Apache-2.0
// See fabric_pattern.h.
#include "tools/warden/fabric_pattern.h"

namespace warden::cli {

std::vector<Route> routes_of(TrafficPattern pattern, std::span<const fabric::FabricNodeId> devices) {
  std::vector<Route> routes;
  const auto add = [&](std::size_t from, std::size_t to) {
    if (from != to) routes.emplace_back(devices[from], devices[to]);
  };
  for (std::size_t from = 0; from < devices.size(); ++from) {
    switch (pattern) {
      case TrafficPattern::kPairs:
        if ((from ^ 1U) < devices.size()) add(from, from ^ 1U);
        break;
      case TrafficPattern::kRing: add(from, (from + 1) % devices.size()); break;
      case TrafficPattern::kAll:
        for (std::size_t to = 0; to < devices.size(); ++to) add(from, to);
        break;
    }
  }
  return routes;
}

}  // namespace warden::cli
