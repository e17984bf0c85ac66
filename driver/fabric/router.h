// SPDX-License-Identifier: Apache-2.0
// One router as the host knows it: where it runs and whom it faces. And which routers a command is for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "driver/chip/tile.h"
#include "driver/fabric/node.h"
#include "driver/fabric/router_state.h"

namespace warden::fabric {

struct Router {
  RouterId id;
  std::uint16_t number = 0;  // of its node in the mesh: y * columns + x
  Direction direction = Direction::kEast;
  RouterId peer;
  std::uint16_t peer_number = 0;
  std::size_t card = 0;  // of those of the control plane
  chip::Tile tile;
};

// All that is said must hold; nothing said is every router.
struct Selection {
  std::optional<MeshId> mesh = {};
  std::optional<FabricNodeId> node = {};       // the routers of one device
  std::optional<chan_id_t> channel = {};       // of that device
  std::optional<FabricNodeId> neighbour = {};  // with node: both ends of every link between the two
};

// Routers of a control plane; they are its, and stay until it is brought up or attached again.
using RouterList = std::vector<const Router*>;
using RouterSpan = std::span<const Router* const>;

}  // namespace warden::fabric
