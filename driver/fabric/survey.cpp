// SPDX-License-Identifier: Apache-2.0
// Routers first; then the places of cards whose routers are gone, by the links that lead to them.
#include "driver/fabric/survey.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "driver/fabric/router_memory.h"

namespace warden::fabric {
namespace {

FabricNodeId node_of(const kernels::RouterConfiguration& configuration, std::uint32_t number) {
  return {.mesh_id = configuration.mesh_id,
          .logical_x = number % configuration.columns,
          .logical_y = number / configuration.columns};
}

bool makes_sense(const kernels::RouterConfiguration& configuration, chan_id_t channel) {
  const std::uint32_t nodes = std::uint32_t{configuration.rows} * configuration.columns;
  return nodes != 0 && nodes <= kernels::kNodesMax && configuration.node < nodes && configuration.peer_node < nodes &&
         configuration.channel == channel && configuration.peer_channel < kChannels && configuration.direction < 4;
}

class Surveyor {
 public:
  explicit Surveyor(std::span<const std::unique_ptr<Card>> cards) : cards_(cards) {
    result_.nodes.resize(cards.size());
  }

  Result<Survey> run() {
    for (std::size_t card = 0; card < cards_.size(); ++card) {
      if (auto looked = look_at(card); !looked) return std::unexpected(std::move(looked).error());
    }
    std::ranges::sort(result_.routers, {}, [](const RouterPlan& plan) { return plan.router.id; });
    if (!result_.routers.empty()) place_the_bare();
    for (auto& [id, mesh] : meshes_) {
      for (std::size_t card = 0; card < cards_.size(); ++card) {
        if (result_.nodes[card] && result_.nodes[card]->mesh_id == id) mesh.cards.push_back(card);
      }
      std::ranges::sort(mesh.cards, {}, [this](std::size_t card) { return number_in_mesh(*result_.nodes[card]); });
      result_.meshes.push_back(mesh);
    }
    return std::move(result_);
  }

 private:
  [[nodiscard]] std::uint32_t number_in_mesh(const FabricNodeId& node) const {
    return node.logical_y * meshes_.at(node.mesh_id).columns + node.logical_x;
  }

  Status look_at(std::size_t card) {
    auto blocks = read_blocks(*cards_[card]);
    if (!blocks) {
      result_.remarks.push_back(fmt::format("{} does not answer: {}", cards_[card]->name(), blocks.error().message));
      return {};
    }
    for (const auto& [channel, block] : *blocks) {
      const kernels::RouterConfiguration& configuration = block.configuration;
      if (!makes_sense(configuration, channel)) {
        result_.remarks.push_back(
            fmt::format("{} E{}: the router's configuration can't be; it is left out", cards_[card]->name(), channel));
        continue;
      }
      const FabricNodeId node = node_of(configuration, configuration.node);
      if (auto placed = place(card, node, configuration); !placed) return placed;
      result_.routers.push_back(
          {.router = {.id = {node, channel},
                      .number = configuration.node,
                      .direction = static_cast<Direction>(configuration.direction),
                      .peer = {node_of(configuration, configuration.peer_node), configuration.peer_channel},
                      .peer_number = configuration.peer_node,
                      .card = card,
                      .tile = ethernet_tile(channel)},
           .block = block});
    }
    return {};
  }

  Status place(std::size_t card, const FabricNodeId& node, const kernels::RouterConfiguration& configuration) {
    const auto [mesh, is_new] = meshes_.try_emplace(
        node.mesh_id,
        Mesh{.id = node.mesh_id, .rows = configuration.rows, .columns = configuration.columns, .cards = {}});
    if (mesh->second.rows != configuration.rows || mesh->second.columns != configuration.columns) {
      return fail(Code::kProtocol, fmt::format("routers of {} belong to another mesh {} than those before: bring the "
                                               "fabric up anew",
                                               cards_[card]->name(), node.mesh_id));
    }
    for (std::size_t other = 0; other < cards_.size(); ++other) {
      if (other != card && result_.nodes[other] == node) {
        return fail(Code::kProtocol, fmt::format("routers of {} and of {} say that they are device {}: bring the "
                                                 "fabric up anew",
                                                 cards_[other]->name(), cards_[card]->name(), to_string(node)));
      }
    }
    if (result_.nodes[card] && *result_.nodes[card] != node) {
      return fail(Code::kProtocol,
                  fmt::format("routers of {} say that it is device {} and {}: bring the fabric up anew",
                              cards_[card]->name(), to_string(*result_.nodes[card]), to_string(node)));
    }
    result_.nodes[card] = node;
    return {};
  }

  // A chip that was reset has no routers, but those it is cabled to say who is at the other end of their links.
  void place_the_bare() {
    if (std::ranges::all_of(result_.nodes, [](const auto& node) { return node.has_value(); })) return;
    std::map<ChipName, std::size_t> chips;
    std::vector<CardLinks> links(cards_.size());
    std::vector<bool> answers(cards_.size());
    for (std::size_t card = 0; card < cards_.size(); ++card) {
      const auto read = read_links(*cards_[card]);
      if (!read) continue;
      answers[card] = true;
      links[card] = *read;
      for (const LinkWords& link : *read) {
        if (link.state == LinkState::kUp) chips.emplace(link.here, card);
      }
    }
    for (std::size_t card = 0; card < cards_.size(); ++card) {
      if (result_.nodes[card] || !answers[card]) continue;
      for (const LinkWords& link : links[card]) {
        const auto peer = chips.find(link.there);
        if (link.state != LinkState::kUp || peer == chips.end()) continue;
        const auto facing = std::ranges::find_if(result_.routers, [&](const RouterPlan& plan) {
          return plan.router.card == peer->second && plan.router.id.channel == link.remote_channel;
        });
        if (facing != result_.routers.end()) result_.nodes[card] = facing->router.peer.node;
      }
      result_.remarks.push_back(
          result_.nodes[card]
              ? fmt::format("device {} ({}) has no routers", to_string(*result_.nodes[card]), cards_[card]->name())
              : fmt::format("{} is not part of the fabric", cards_[card]->name()));
    }
  }

  std::span<const std::unique_ptr<Card>> cards_;
  std::map<MeshId, Mesh> meshes_;
  Survey result_;
};

}  // namespace

Result<Blocks> read_blocks(Card& card) {
  Blocks blocks;
  for (chan_id_t channel = 0; channel < kChannels; ++channel) {
    const Tile tile = ethernet_tile(channel);
    const auto magic = card.read32(tile, in_router(offsetof(kernels::RouterManifest, magic)));
    if (!magic) return std::unexpected(magic.error());
    if (*magic != kernels::kRouterMagic) continue;
    auto block = read_struct<kernels::RouterBlock>(card, tile, in_router(0));
    if (!block) return std::unexpected(std::move(block).error());
    if (block->manifest.version != kernels::kRouterVersion) {
      return fail(Code::kUnsupported,
                  fmt::format("the router on {} E{} has version {} of the layout, not {}", card.name(), channel,
                              block->manifest.version, kernels::kRouterVersion));
    }
    blocks.emplace_back(channel, *block);
  }
  return blocks;
}

Result<Survey> survey(std::span<const std::unique_ptr<Card>> cards) { return Surveyor(cards).run(); }

}  // namespace warden::fabric
