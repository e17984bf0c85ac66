// SPDX-License-Identifier: Apache-2.0
// Tensix tiles for workers, and the workers that are on them.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "driver/chip/noc_grid.h"
#include "driver/fabric/router_memory.h"
#include "driver/fabric/soft_reset.h"
#include "driver/fabric/worker.h"

namespace warden::fabric {
namespace {

Result<std::size_t> card_of(const ControlPlane& fabric, const FabricNodeId& node) {
  const auto card = fabric.card_of(node);
  if (!card) return fail(Code::kNotFound, fmt::format("there is no device {}", to_string(node)));
  return *card;
}

Result<Worker> worker_at(const ControlPlane& fabric, const Router& router, std::uint32_t tile,
                         kernels::WorkerKind kind) {
  Worker worker{.kind = kind, .node = router.id.node, .card = router.card, .tile = tile_of_word(tile)};
  const auto header = read_struct<kernels::WorkerHeader>(fabric.card(router), worker.tile, {kernels::kWorkerBlock});
  if (!header) return wrap(header.error(), "read " + to_string(worker));
  worker.teardown_signal_address = header->teardown_address;
  return worker;
}

std::uint32_t sink_of(const kernels::DeliveryBlock& delivery) {
  return delivery.tile != 0 ? delivery.tile : delivery.owner;
}

// Those that lanes and deliveries of the device's routers name, whether their cores run or not.
Result<std::vector<Tile>> named_tiles(const ControlPlane& fabric, const FabricNodeId& node) {
  std::vector<Tile> tiles;
  for (const Router& router : fabric.routers()) {
    if (router.id.node != node) continue;
    const auto block = fabric.block(router);
    if (!block) return std::unexpected(block.error());
    for (const kernels::LaneBlock& lane : block->lanes) {
      if (lane.kind == kernels::LaneKind::kWorker) tiles.push_back(tile_of_word(lane.credit_tile));
    }
    for (const kernels::DeliveryBlock& delivery : block->deliveries) {
      if (sink_of(delivery) != 0) tiles.push_back(tile_of_word(sink_of(delivery)));
    }
  }
  return tiles;
}

using Blocks = std::vector<std::pair<const Router*, kernels::RouterBlock>>;

Result<Blocks> read_blocks(const ControlPlane& fabric) {
  Blocks blocks;
  for (const Router& router : fabric.routers()) {
    auto block = fabric.block(router);
    if (!block) return std::unexpected(std::move(block).error());
    blocks.emplace_back(&router, *block);
  }
  return blocks;
}

// It runs, and every router of its chip delivers to it.
Result<bool> is_whole(const ControlPlane& fabric, const Blocks& blocks, const Worker& sink) {
  for (const auto& [router, block] : blocks) {
    if (router->id.node != sink.node) continue;
    const auto open = std::ranges::find(block.deliveries, tile_word(sink.tile), &kernels::DeliveryBlock::tile);
    if (open == std::end(block.deliveries)) return false;
  }
  const auto held = brisc_is_held(*fabric.cards()[sink.card], sink.tile);
  if (!held) return std::unexpected(held.error());
  return !*held;
}

}  // namespace

std::vector<Tile> working_tiles(const Card& card) {
  std::vector<Tile> tiles;
  for (std::uint8_t y = 0; y < chip::wormhole::kGridHeight; ++y) {
    if (std::ranges::find(card.harvested_rows(), y) != card.harvested_rows().end()) continue;
    for (std::uint8_t x = 0; x < chip::wormhole::kGridWidth; ++x) {
      if (chip::kind_of({x, y}) == chip::TileKind::kTensix) tiles.push_back({x, y});
    }
  }
  return tiles;
}

Result<Tile> free_tile(const ControlPlane& fabric, const FabricNodeId& node) {
  const auto number = card_of(fabric, node);
  if (!number) return std::unexpected(number.error());
  Card& card = *fabric.cards()[*number];
  auto tiles = working_tiles(card);
  std::ranges::reverse(tiles);
  const auto named = named_tiles(fabric, node);
  if (!named) return std::unexpected(named.error());
  for (const Tile tile : tiles) {
    if (std::ranges::find(*named, tile) != named->end()) continue;
    const auto held = brisc_is_held(card, tile);
    if (!held) return std::unexpected(held.error());
    if (*held) return tile;
  }
  return fail(Code::kBusy, fmt::format("all {} cores of device {} run something", tiles.size(), to_string(node)));
}

Result<std::vector<Worker>> find_workers(const ControlPlane& fabric) {
  const auto blocks = read_blocks(fabric);
  if (!blocks) return std::unexpected(blocks.error());
  std::vector<Worker> workers;
  for (const auto& [router, block] : *blocks) {
    for (std::uint32_t lane = 0; lane < kernels::kLanes; ++lane) {
      if (block.lanes[lane].kind != kernels::LaneKind::kWorker) continue;
      auto worker = worker_at(fabric, *router, block.lanes[lane].credit_tile, kernels::WorkerKind::kGenerator);
      if (!worker) return std::unexpected(std::move(worker).error());
      worker->router = router->id;
      worker->lane = lane;
      workers.push_back(*worker);
    }
    for (const kernels::DeliveryBlock& delivery : block.deliveries) {
      const std::uint32_t tile = sink_of(delivery);
      const bool known = std::ranges::any_of(workers, [&](const Worker& worker) {
        return worker.card == router->card && worker.tile == tile_of_word(tile);
      });
      if (tile == 0 || known) continue;
      auto worker = worker_at(fabric, *router, tile, kernels::WorkerKind::kSink);
      if (!worker) return std::unexpected(std::move(worker).error());
      const auto whole = is_whole(fabric, *blocks, *worker);
      if (!whole) return std::unexpected(whole.error());
      worker->whole = *whole;
      workers.push_back(*worker);
    }
  }
  return workers;
}

}  // namespace warden::fabric
