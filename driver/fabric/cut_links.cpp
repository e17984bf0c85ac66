// SPDX-License-Identifier: Apache-2.0
// What is known of the others, together with what the chips themselves say.
#include "driver/fabric/cut_links.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "driver/fabric/routes.h"

namespace warden::fabric {
namespace {

bool contains(std::span<const FabricNodeId> chips, const FabricNodeId& node) {
  return std::ranges::find(chips, node) != chips.end();
}

// Both ends say that they lead to each other.
bool is_up(const ControlPlane& fabric, const Router& router, const std::vector<CardLinks>& words) {
  const auto here = read_link(fabric.card(router), router.id.channel);
  const auto peer_card = fabric.card_of(router.peer.node);
  if (!here || !peer_card || here->state != LinkState::kUp) return false;
  const LinkWords& there = words[*peer_card][router.peer.channel];
  return there.state == LinkState::kUp && there.there == here->here && there.remote_channel == router.id.channel &&
         here->remote_channel == router.peer.channel;
}

Result<CutLinks> look(const ControlPlane& fabric, std::span<const FabricNodeId> chips, RouterSpan facing,
                      bool& settled) {
  CutLinks links;
  settled = true;
  links.words.resize(fabric.cards().size());
  for (const FabricNodeId& chip : chips) {
    const std::size_t card = *fabric.card_of(chip);
    if (auto renewed = fabric.cards()[card]->renew(); !renewed) return std::unexpected(std::move(renewed).error());
    auto read = read_links(*fabric.cards()[card]);
    if (!read) return std::unexpected(std::move(read).error());
    links.words[card] = *read;
    for (const LinkWords& link : *read) settled = settled && link.state != LinkState::kTraining;
  }
  for (const Router* router : facing) {
    (is_up(fabric, *router, links.words) ? links.facing_up : links.facing_down).push_back(router->id);
  }
  settled = settled && links.facing_down.empty();
  return links;
}

Direction direction_between(const FabricNodeId& here, const FabricNodeId& there) {
  if (here.logical_x != there.logical_x) {
    return here.logical_x < there.logical_x ? Direction::kEast : Direction::kWest;
  }
  return here.logical_y < there.logical_y ? Direction::kSouth : Direction::kNorth;
}

bool are_neighbours(const FabricNodeId& one, const FabricNodeId& other) {
  const auto distance = [](std::uint32_t a, std::uint32_t b) { return a < b ? b - a : a - b; };
  return distance(one.logical_x, other.logical_x) + distance(one.logical_y, other.logical_y) == 1;
}

class CutTopology {
 public:
  CutTopology(const ControlPlane& fabric, std::span<const FabricNodeId> chips, const CutLinks& links)
      : fabric_(fabric), chips_(chips), links_(links) {}

  Topology build() {
    topology_.devices.resize(fabric_.cards().size());
    for (const Mesh& mesh : fabric_.meshes()) {
      topology_.meshes.push_back(mesh);
      for (const FabricNodeId& node : fabric_.devices(mesh.id)) {
        const std::size_t card = *fabric_.card_of(node);
        topology_.devices[card] = {.card = card, .node = node, .number = fabric_.number_of(node), .links = {}};
      }
    }
    for (const Router& router : fabric_.routers()) add_known(router);
    add_inner();
    for (Device& device : topology_.devices) std::ranges::sort(device.links, {}, &Link::channel);
    return std::move(topology_);
  }

 private:
  // Links of the others, with those into the cut that are up again.
  void add_known(const Router& router) {
    const auto peer = fabric_.card_of(router.peer.node);
    if (contains(chips_, router.id.node) || !peer) return;
    const bool faces_cut = contains(chips_, router.peer.node);
    if (faces_cut && std::ranges::find(links_.facing_up, router.id) == links_.facing_up.end()) return;
    topology_.devices[router.card].links.push_back({router.id.channel, router.direction, *peer, router.peer.channel});
    if (!faces_cut) return;
    topology_.devices[*peer].links.push_back(
        {router.peer.channel, opposite(router.direction), router.card, router.id.channel});
  }

  // Links between two chips of the cut, which have only each other's word.
  void add_inner() {
    std::map<ChipName, std::size_t> names;
    for (std::size_t card = 0; card < links_.words.size(); ++card) {
      for (const LinkWords& link : links_.words[card]) {
        if (link.state == LinkState::kUp) names.emplace(link.here, card);
      }
    }
    for (std::size_t card = 0; card < links_.words.size(); ++card) {
      for (chan_id_t channel = 0; channel < kChannels; ++channel) {
        const LinkWords& link = links_.words[card][channel];
        const auto peer = link.state == LinkState::kUp ? names.find(link.there) : names.end();
        if (peer == names.end()) continue;
        const LinkWords& back = links_.words[peer->second][link.remote_channel];
        const FabricNodeId& here = topology_.devices[card].node;
        const FabricNodeId& there = topology_.devices[peer->second].node;
        if (back.state != LinkState::kUp || back.there != link.here || back.remote_channel != channel) continue;
        if (here.mesh_id != there.mesh_id || !are_neighbours(here, there)) continue;
        topology_.devices[card].links.push_back(
            {channel, direction_between(here, there), peer->second, link.remote_channel});
      }
    }
  }

  const ControlPlane& fabric_;
  std::span<const FabricNodeId> chips_;
  const CutLinks& links_;
  Topology topology_;
};

}  // namespace

Result<CutLinks> await_cut_links(const ControlPlane& fabric, std::span<const FabricNodeId> chips, RouterSpan facing,
                                 Patience& patience) {
  while (true) {
    bool settled = false;
    auto links = look(fabric, chips, facing, settled);
    if (links && settled) return links;
    if (!patience.again()) return links;
  }
}

Result<std::vector<RouterPlan>> plan_cut(const ControlPlane& fabric, std::span<const FabricNodeId> chips,
                                         const CutLinks& links) {
  auto plans = make_plan(CutTopology(fabric, chips, links).build());
  if (!plans) return plans;
  std::erase_if(*plans, [&](const RouterPlan& plan) { return !contains(chips, plan.router.id.node); });
  return plans;
}

}  // namespace warden::fabric
