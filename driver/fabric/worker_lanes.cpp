// SPDX-License-Identifier: Apache-2.0
// Choosing a lane by the ways that the routers' tables offer.
#include "driver/fabric/worker_lanes.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <tuple>

#include "driver/fabric/lanes.h"
#include "driver/fabric/patience.h"
#include "driver/fabric/router_memory.h"

namespace warden::fabric {
namespace {

constexpr std::uint32_t kCreditAddress = kernels::kWorkerBlock + offsetof(kernels::GeneratorBlock, credit);

Status write_word(const ControlPlane& fabric, const Router& router, CardAddress address, std::uint32_t value) {
  auto written = fabric.card(router).write32(router.tile, address, value);
  if (!written) return wrap(std::move(written).error(), "write to router " + to_string(router.id));
  return written;
}

CardAddress in_lane(std::uint32_t lane, std::size_t offset) { return {lane_address(lane).value + offset}; }

}  // namespace

Result<LanePlace> choose_lane(const ControlPlane& fabric, const FabricNodeId& node, const GeneratorOptions& options) {
  const std::uint16_t destination = fabric.number_of(options.destination);
  using Rank = std::tuple<std::size_t, Direction, std::uint32_t, chan_id_t>;  // smaller is better
  std::optional<Rank> best;
  LanePlace place;
  bool any_way = false;
  for (const Router& router : fabric.routers()) {
    if (router.id.node != node || (options.channel && router.id.channel != *options.channel)) continue;
    const auto path = fabric.paths().from(router.id, destination);
    if (!path || options.destination.mesh_id != node.mesh_id) continue;
    any_way = true;
    const auto block = fabric.block(router);
    if (!block) return std::unexpected(block.error());
    const auto lane = free_lane(*block);
    if (!lane) continue;
    const Rank rank{path->size(), router.direction, worker_lanes(*block), router.id.channel};
    if (best && *best <= rank) continue;
    best = rank;
    place = {.router = &router, .lane = *lane, .count = block->lanes[*lane].consumed};
  }
  if (best) return place;
  const std::string through = options.channel ? fmt::format(" by E{}", *options.channel) : "";
  if (any_way) {
    return fail(Code::kBusy, fmt::format("no router of {} on the way to {}{} has a lane left: take workers away first",
                                         to_string(node), to_string(options.destination), through));
  }
  return fail(Code::kNotFound,
              fmt::format("there is no way from {} to {}{}", to_string(node), to_string(options.destination), through));
}

Status give_lane(const ControlPlane& fabric, const LanePlace& place, Tile generator) {
  using Lane = kernels::LaneBlock;
  const auto write = [&](std::size_t offset, std::uint32_t value) {
    return write_word(fabric, *place.router, in_lane(place.lane, offset), value);
  };
  if (auto done = write(offsetof(Lane, held), 0); !done) return done;
  if (auto done = write(offsetof(Lane, credit_tile), tile_word(generator)); !done) return done;
  if (auto done = write(offsetof(Lane, credit_address), kCreditAddress); !done) return done;
  return write(offsetof(Lane, kind), static_cast<std::uint32_t>(kernels::LaneKind::kWorker));
}

Status take_lane_back(const ControlPlane& fabric, const Router& router, std::uint32_t lane,
                      std::chrono::milliseconds timeout) {
  Patience patience(timeout);
  while (true) {
    const auto block = read_struct<kernels::LaneBlock>(fabric.card(router), router.tile, lane_address(lane));
    if (!block) return wrap(block.error(), "read a lane of router " + to_string(router.id));
    if (block->produced == block->consumed) break;
    if (!patience.again()) {
      return fail(
          Code::kTimeout,
          fmt::format("lane {} of router {} did not become empty within {} ms: {} packets put in, {} taken, {} "
                      "consumed by its peer",
                      lane, to_string(router.id), timeout.count(), block->produced, block->taken, block->consumed));
    }
  }
  return write_word(fabric, router, in_lane(lane, offsetof(kernels::LaneBlock, kind)),
                    static_cast<std::uint32_t>(kernels::LaneKind::kUnused));
}

}  // namespace warden::fabric
