// SPDX-License-Identifier: Apache-2.0
// From what every Ethernet tile says to meshes with coordinates.
#include "driver/fabric/topology.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <map>

#include "kernels/packet.h"

namespace warden::fabric {
namespace {

constexpr std::size_t kNoMesh = ~std::size_t{0};

class Assembly {
 public:
  Assembly(std::span<const CardLinks> cards, std::span<const std::string> names) : cards_(cards), names_(names) {}

  Result<Topology> build() {
    topology_.devices.resize(cards_.size());
    for (std::size_t card = 0; card < cards_.size(); ++card) {
      topology_.devices[card].card = card;
      if (auto named = name_chip(card); !named) return std::unexpected(std::move(named).error());
    }
    for (std::size_t card = 0; card < cards_.size(); ++card) {
      for (chan_id_t channel = 0; channel < kChannels; ++channel) {
        if (auto joined = join(card, channel); !joined) return std::unexpected(std::move(joined).error());
      }
    }
    mesh_of_.assign(cards_.size(), kNoMesh);
    for (std::size_t card = 0; card < cards_.size(); ++card) {
      if (mesh_of_[card] != kNoMesh) continue;
      if (auto made = make_mesh(collect(card)); !made) return std::unexpected(std::move(made).error());
    }
    return std::move(topology_);
  }

 private:
  [[nodiscard]] std::string end_name(std::size_t card, chan_id_t channel) const {
    return fmt::format("{} E{}", names_[card], channel);
  }

  // Every link that is up names the same chip, and no other card has that name.
  Status name_chip(std::size_t card) {
    for (chan_id_t channel = 0; channel < kChannels; ++channel) {
      const LinkWords& link = cards_[card][channel];
      if (link.state != LinkState::kUp) continue;
      const auto [found, is_new] = chips_.try_emplace(link.here, card);
      if (found->second != card) {
        return fail(Code::kProtocol,
                    fmt::format("{} and {} both say that they are chip ({},{}) of board {:#x}", names_[found->second],
                                end_name(card, channel), link.here.x, link.here.y, link.here.board));
      }
      const auto [mine, is_first] = places_.try_emplace(card, link.here);
      if (mine->second != link.here) {
        return fail(Code::kProtocol,
                    fmt::format("{} says that its chip is ({},{}), another of its links says ({},{})",
                                end_name(card, channel), link.here.x, link.here.y, mine->second.x, mine->second.y));
      }
    }
    return {};
  }

  static std::optional<Direction> direction_of(const ChipName& here, const ChipName& there) {
    const int dx = there.x - here.x;
    const int dy = there.y - here.y;
    if (std::abs(dx) + std::abs(dy) != 1) return std::nullopt;
    if (dx != 0) return dx > 0 ? Direction::kEast : Direction::kWest;
    return dy > 0 ? Direction::kSouth : Direction::kNorth;
  }

  Status join(std::size_t card, chan_id_t channel) {
    const LinkWords& link = cards_[card][channel];
    if (link.state == LinkState::kTraining) leave_out(card, channel, "is still training");
    if (link.state != LinkState::kUp) return {};
    const auto found = chips_.find(link.there);
    if (found == chips_.end()) {
      leave_out(card, channel,
                fmt::format("leads to chip ({},{}) of board {:#x}, which is none of these cards", link.there.x,
                            link.there.y, link.there.board));
      return {};
    }
    const std::size_t peer = found->second;
    const LinkWords& back = cards_[peer][link.remote_channel];
    if (back.state != LinkState::kUp) {
      leave_out(card, channel, fmt::format("is up, but not at its other end, {}", end_name(peer, link.remote_channel)));
      return {};
    }
    if (back.there != link.here || back.remote_channel != channel) {
      return fail(Code::kProtocol,
                  fmt::format("{} says that it leads to {}, which says that it leads to E{} of chip ({},{})",
                              end_name(card, channel), end_name(peer, link.remote_channel), back.remote_channel,
                              back.there.x, back.there.y));
    }
    const auto direction = direction_of(link.here, link.there);
    if (!direction) {
      leave_out(card, channel,
                fmt::format("joins chips ({},{}) and ({},{}), which are no neighbours", link.here.x, link.here.y,
                            link.there.x, link.there.y));
      return {};
    }
    topology_.devices[card].links.push_back({channel, *direction, peer, link.remote_channel});
    return {};
  }

  void leave_out(std::size_t card, chan_id_t channel, const std::string& why) {
    topology_.remarks.push_back(fmt::format("{} {}: the link is left out", end_name(card, channel), why));
  }

  // All cards that hang together with this one.
  std::vector<std::size_t> collect(std::size_t first) {
    std::vector<std::size_t> cards{first};
    mesh_of_[first] = topology_.meshes.size();
    for (std::size_t next = 0; next < cards.size(); ++next) {
      for (const Link& link : topology_.devices[cards[next]].links) {
        if (mesh_of_[link.peer_card] != kNoMesh) continue;
        mesh_of_[link.peer_card] = topology_.meshes.size();
        cards.push_back(link.peer_card);
      }
    }
    return cards;
  }

  [[nodiscard]] ChipName place(std::size_t card) const {
    const auto found = places_.find(card);
    return found == places_.end() ? ChipName{} : found->second;
  }

  Status make_mesh(std::vector<std::size_t> cards) {
    ChipName low{.board = 0, .x = 255, .y = 255};
    ChipName high;
    for (const std::size_t card : cards) {
      const ChipName at = place(card);
      low = {.board = 0, .x = std::min(low.x, at.x), .y = std::min(low.y, at.y)};
      high = {.board = 0, .x = std::max(high.x, at.x), .y = std::max(high.y, at.y)};
    }
    Mesh mesh{.id = static_cast<MeshId>(topology_.meshes.size()),
              .rows = high.y - low.y + 1U,
              .columns = high.x - low.x + 1U,
              .cards = {}};
    if (mesh.rows * mesh.columns > kernels::kNodesMax) {
      return fail(Code::kUnsupported, fmt::format("the mesh of {} is {}x{}: at most {} chips can be addressed",
                                                  names_[cards.front()], mesh.rows, mesh.columns, kernels::kNodesMax));
    }
    for (const std::size_t card : cards) {
      const ChipName at = place(card);
      Device& device = topology_.devices[card];
      device.node = {
          .mesh_id = mesh.id, .logical_x = std::uint32_t{at.x} - low.x, .logical_y = std::uint32_t{at.y} - low.y};
      device.number = static_cast<std::uint16_t>(device.node.logical_y * mesh.columns + device.node.logical_x);
    }
    std::ranges::sort(cards, {}, [this](std::size_t card) { return topology_.devices[card].number; });
    for (std::size_t i = 1; i < cards.size(); ++i) {
      if (topology_.devices[cards[i - 1]].number != topology_.devices[cards[i]].number) continue;
      return fail(Code::kProtocol, fmt::format("{} and {} say that they are in the same place of their mesh",
                                               names_[cards[i - 1]], names_[cards[i]]));
    }
    mesh.cards = std::move(cards);
    topology_.meshes.push_back(std::move(mesh));
    return {};
  }

  std::span<const CardLinks> cards_;
  std::span<const std::string> names_;
  std::map<ChipName, std::size_t> chips_;
  std::map<std::size_t, ChipName> places_;
  std::vector<std::size_t> mesh_of_;
  Topology topology_;
};

}  // namespace

Result<Topology> make_topology(std::span<const CardLinks> cards, std::span<const std::string> names) {
  return Assembly(cards, names).build();
}

}  // namespace warden::fabric
