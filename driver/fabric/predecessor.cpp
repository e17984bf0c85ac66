// SPDX-License-Identifier: Apache-2.0
// Old routers and workers held; new sessions.
#include "driver/fabric/predecessor.h"

#include <algorithm>
#include <set>

#include "driver/chip/noc_grid.h"
#include "driver/fabric/router_memory.h"
#include "driver/fabric/soft_reset.h"
#include "driver/fabric/survey.h"

namespace warden::fabric {
namespace {

// What its lanes and deliveries say may be anything: only Tensix tiles are held, and those fused off are refused
// anyway.
std::set<Tile> worker_tiles(const kernels::RouterBlock& block) {
  std::set<Tile> tiles;
  const auto add = [&](std::uint32_t word) {
    const Tile tile = tile_of_word(word);
    if (chip::kind_of(tile) == chip::TileKind::kTensix) tiles.insert(tile);
  };
  for (const kernels::LaneBlock& lane : block.lanes) {
    if (lane.kind == kernels::LaneKind::kWorker) add(lane.credit_tile);
  }
  for (const kernels::DeliveryBlock& delivery : block.deliveries) {
    if (delivery.tile != 0) add(delivery.tile);
    if (delivery.owner != 0) add(delivery.owner);
  }
  return tiles;
}

Status hold_old(Card& card, chan_id_t channel, const kernels::RouterBlock& block) {
  if (auto held = hold_ethernet(card, ethernet_tile(channel)); !held) return held;
  for (const Tile tile : worker_tiles(block)) {
    if (std::ranges::find(card.harvested_rows(), tile.y) != card.harvested_rows().end()) continue;
    if (auto held = hold_tensix(card, tile); !held) return held;
  }
  return {};
}

}  // namespace

Status replace_predecessor(std::span<const std::unique_ptr<Card>> cards, std::vector<RouterPlan>& plans) {
  std::vector<std::uint32_t> sessions(plans.size());
  for (std::size_t number = 0; number < cards.size(); ++number) {
    Card& card = *cards[number];
    auto blocks = read_blocks(card);
    // Of another version: its routers are replaced, its workers are not known.
    if (!blocks && blocks.error().code == Code::kUnsupported) continue;
    if (!blocks) return std::unexpected(std::move(blocks).error());
    for (const auto& [channel, block] : *blocks) {
      if (auto held = hold_old(card, channel, block); !held) return held;
      const auto planned = std::ranges::find_if(plans, [&](const RouterPlan& plan) {
        return plan.router.card == number && plan.router.id.channel == channel;
      });
      if (planned != plans.end()) {
        sessions[static_cast<std::size_t>(planned - plans.begin())] = block.configuration.link_session;
      } else if (auto forgotten = card.write32(ethernet_tile(channel), in_router(0), 0); !forgotten) {
        return forgotten;
      }
    }
  }
  choose_sessions(plans, sessions);
  return {};
}

void choose_sessions(std::vector<RouterPlan>& plans, const std::vector<std::uint32_t>& sessions_before) {
  for (std::size_t i = 0; i < plans.size(); ++i) {
    const auto peer = std::ranges::lower_bound(plans, plans[i].router.peer, {},
                                               [](const RouterPlan& plan) { return plan.router.id; });
    const auto peer_index = static_cast<std::size_t>(peer - plans.begin());
    const bool known = peer != plans.end() && peer->router.id == plans[i].router.peer;
    const std::uint32_t before = std::max(sessions_before[i], known ? sessions_before[peer_index] : 0);
    plans[i].block.configuration.link_session = before + 1;
  }
}

}  // namespace warden::fabric
