// SPDX-License-Identifier: Apache-2.0
// Lanes for routers by the channel of their producer, for workers from the other end.
#include "driver/fabric/lanes.h"

#include <fmt/format.h>

#include <algorithm>

#include "driver/fabric/router_memory.h"

namespace warden::fabric {
namespace {

bool passes_on(const RouterPlan& from, chan_id_t to) {
  return std::ranges::any_of(from.block.forward, [to](std::uint32_t forward) { return forward == to; });
}

}  // namespace

Status assign_lanes(std::span<RouterPlan> chip) {
  for (RouterPlan& consumer : chip) {
    std::uint32_t lane = 0;
    for (RouterPlan& producer : chip) {
      const chan_id_t port = consumer.router.id.channel;
      if (!passes_on(producer, port)) continue;
      if (lane == kernels::kLanes) {
        return fail(Code::kUnsupported,
                    fmt::format("router {} is the way on from more than {} links: it has no more lanes",
                                to_string(consumer.router.id), kernels::kLanes));
      }
      producer.block.ports[port].tile = tile_word(consumer.router.tile);
      producer.block.ports[port].lane = lane;
      consumer.block.lanes[lane].kind = kernels::LaneKind::kRouter;
      consumer.block.lanes[lane].credit_tile = tile_word(producer.router.tile);
      consumer.block.lanes[lane].credit_address = port_consumed_address(port);
      ++lane;
    }
  }
  return {};
}

std::optional<std::uint32_t> free_lane(const kernels::RouterBlock& router) noexcept {
  for (std::uint32_t lane = kernels::kLanes; lane-- > 0;) {
    const kernels::LaneBlock& block = router.lanes[lane];
    if (block.kind == kernels::LaneKind::kUnused && block.produced == block.consumed) return lane;
  }
  return std::nullopt;
}

std::uint32_t worker_lanes(const kernels::RouterBlock& router) noexcept {
  return static_cast<std::uint32_t>(
      std::ranges::count(router.lanes, kernels::LaneKind::kWorker, &kernels::LaneBlock::kind));
}

}  // namespace warden::fabric
