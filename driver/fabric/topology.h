// SPDX-License-Identifier: Apache-2.0
// The meshes that cards form, found in what the firmware of their Ethernet tiles says about the links.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <warden/result.h>

#include "driver/fabric/card.h"
#include "driver/fabric/node.h"
#include "driver/fabric/router_state.h"

namespace warden::fabric {

inline constexpr std::size_t kChannels = 16;  // Ethernet tiles of a chip
[[nodiscard]] Tile ethernet_tile(chan_id_t channel) noexcept;

// What the training word says.
enum class LinkState : std::uint8_t { kTraining, kUp, kDown };

// A chip as links name it.
struct ChipName {
  std::uint32_t board = 0;
  std::uint8_t x = 0;  // of the chips that are cabled together
  std::uint8_t y = 0;
  auto operator<=>(const ChipName&) const = default;
};

// What one Ethernet tile says. The names mean something only while the link is up.
struct LinkWords {
  LinkState state = LinkState::kDown;
  ChipName here;
  ChipName there;
  chan_id_t remote_channel = 0;
};
using CardLinks = std::array<LinkWords, kChannels>;
[[nodiscard]] Result<LinkWords> read_link(Card& card, chan_id_t channel);
[[nodiscard]] Result<CardLinks> read_links(Card& card);

// One end of a link that is up.
struct Link {
  chan_id_t channel = 0;
  Direction direction = Direction::kEast;
  std::size_t peer_card = 0;
  chan_id_t peer_channel = 0;
};

struct Device {
  std::size_t card = 0;
  FabricNodeId node;
  std::uint16_t number = 0;  // y * columns + x
  std::vector<Link> links;   // by channel
};

struct Mesh {
  MeshId id = 0;
  std::uint32_t rows = 0;
  std::uint32_t columns = 0;
  std::vector<std::size_t> cards;  // by number of their node; a mesh may have holes
};

struct Topology {
  std::vector<Device> devices;       // one for each card, in the same order
  std::vector<Mesh> meshes;          // by id; a card without links is a mesh of its own
  std::vector<std::string> remarks;  // one line for each link that was left out
};

// The meshes are the parts that hang together, numbered by their first cards. kProtocol when the two ends of a link
// contradict each other, or a chip contradicts itself. Links to chips that are not among these, and links that do not
// join neighbours, are left out with a remark. `names`: of the cards, for errors.
[[nodiscard]] Result<Topology> make_topology(std::span<const CardLinks> cards, std::span<const std::string> names);

// Reads all; links that train are waited for, and after the deadline left out with a remark.
[[nodiscard]] Result<Topology> discover(std::span<const std::unique_ptr<Card>> cards,
                                        std::chrono::milliseconds link_deadline);

}  // namespace warden::fabric
