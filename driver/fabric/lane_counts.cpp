// SPDX-License-Identifier: Apache-2.0
// Lanes read while their routers go on.
#include "driver/fabric/lane_counts.h"

#include <algorithm>
#include <array>

#include "driver/fabric/router_memory.h"

namespace warden::fabric {
namespace {

using Lanes = std::array<kernels::LaneBlock, kernels::kLanes>;

Result<Lanes> read_lanes(const ControlPlane& fabric, const Router& router) {
  return read_struct<Lanes>(fabric.card(router), router.tile, lane_address(0));
}

// Of a worker's lane only what was taken has been admitted.
std::uint32_t admitted_end(const kernels::LaneBlock& lane) {
  return lane.kind == kernels::LaneKind::kRouter ? lane.produced : lane.taken;
}

}  // namespace

HeldCounts read_held_counts(const ControlPlane& fabric) {
  HeldCounts counts;
  for (const Router& router : fabric.routers()) {
    const auto lanes = read_lanes(fabric, router);
    for (std::uint32_t lane = 0; lanes && lane < kernels::kLanes; ++lane) {
      if ((*lanes)[lane].held != 0) counts[{router.id, lane}] = (*lanes)[lane].held;
    }
  }
  return counts;
}

std::uint64_t held_since(const HeldCounts& before, const HeldCounts& now) {
  std::uint64_t sum = 0;
  for (const auto& [lane, count] : now) {
    const auto earlier = before.find(lane);
    sum += earlier == before.end() || earlier->second > count ? count : count - earlier->second;
  }
  return sum;
}

PairCounts packets_in_lanes(const ControlPlane& fabric, RouterSpan routers) {
  PairCounts counts;
  for (const Router* router : routers) {
    const auto lanes = read_lanes(fabric, *router);
    for (std::uint32_t lane = 0; lanes && lane < kernels::kLanes; ++lane) {
      const kernels::LaneBlock& block = (*lanes)[lane];
      const std::uint32_t count = std::min(admitted_end(block) - block.consumed, kernels::kLaneSlots);
      for (std::uint32_t i = 0; i < count; ++i) {
        const std::uint32_t slot = (block.consumed + i) % kernels::kLaneSlots;
        const auto header = read_struct<kernels::PacketHeader>(fabric.card(*router), router->tile,
                                                               {kernels::lane_ring(lane) + slot * kernels::kSlotBytes});
        if (!header) continue;
        const MeshId mesh = router->id.node.mesh_id;
        ++counts[{fabric.node_at(mesh, header->source_node), fabric.node_at(mesh, header->destination_node)}];
      }
    }
  }
  return counts;
}

}  // namespace warden::fabric
