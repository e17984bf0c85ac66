// SPDX-License-Identifier: Apache-2.0
// Which fabric runs on these cards, by what its routers say of themselves.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <warden/result.h>

#include "driver/fabric/card.h"
#include "driver/fabric/plan.h"
#include "driver/fabric/topology.h"

namespace warden::fabric {

struct Survey {
  std::vector<RouterPlan> routers;  // by id; the block is what was read
  std::vector<Mesh> meshes;
  std::vector<std::optional<FabricNodeId>> nodes;  // of the cards
  std::vector<std::string> remarks;
};

// Cards that don't answer, and routers whose words can't be, become remarks; kProtocol when two cards claim one place.
[[nodiscard]] Result<Survey> survey(std::span<const std::unique_ptr<Card>> cards);

// The blocks of a card's Ethernet tiles on which a router was started, with their channels.
using Blocks = std::vector<std::pair<chan_id_t, kernels::RouterBlock>>;
[[nodiscard]] Result<Blocks> read_blocks(Card& card);

}  // namespace warden::fabric
