// SPDX-License-Identifier: Apache-2.0
// A hung router told from a slow one: whether it answers, and whether its heart beats.
#include <fmt/format.h>

#include "driver/fabric/patience.h"
#include "driver/fabric/router_memory.h"
#include "driver/fabric/router_state_manager.h"

namespace warden::fabric {

const char* to_string(Health health) noexcept {
  switch (health) {
    case Health::kAlive: return "alive";
    case Health::kSlow: return "slow";
    case Health::kHung: return "hung";
    case Health::kUnreachable: return "unreachable";
  }
  return "unknown";
}

Diagnosis FabricRouterStateManager::probe(const Router& router, std::chrono::milliseconds patience_time) const {
  Diagnosis diagnosis;
  Card& card = fabric_->card(router);
  const auto unreachable = [&](Error error) {
    diagnosis.health = Health::kUnreachable;
    diagnosis.problem = std::move(error).message;
    return diagnosis;
  };
  auto before = fabric_->telemetry(router);
  if (!before) return unreachable(std::move(before).error());
  diagnosis.heartbeat_before = diagnosis.heartbeat_after = before->cores[0].transmit_heartbeat;
  auto probe = card.read32(router.tile, kProbe);
  if (!probe) return unreachable(std::move(probe).error());
  if (auto written = card.write32(router.tile, kProbe, *probe + 1); !written) {
    return unreachable(std::move(written).error());
  }
  Patience patience(patience_time);
  std::uint32_t answer = 0;
  do {
    auto read = card.read32(router.tile, kProbeAnswer);
    if (!read) return unreachable(std::move(read).error());
    answer = *read;
  } while (answer != *probe + 1 && patience.again());
  diagnosis.answered_after = patience.elapsed();
  auto after = fabric_->telemetry(router);
  if (!after) return unreachable(std::move(after).error());
  diagnosis.heartbeat_after = after->cores[0].transmit_heartbeat;
  if (answer == *probe + 1) {
    diagnosis.health = Health::kAlive;
    return diagnosis;
  }
  const bool beats = diagnosis.heartbeat_after != diagnosis.heartbeat_before;
  diagnosis.health = beats ? Health::kSlow : Health::kHung;
  diagnosis.problem =
      fmt::format("router {} did not answer probe {} within {} ms; its heartbeat {} {}", to_string(router.id),
                  *probe + 1, patience_time.count(), beats ? "moves, now" : "stands at", diagnosis.heartbeat_after);
  return diagnosis;
}

}  // namespace warden::fabric
