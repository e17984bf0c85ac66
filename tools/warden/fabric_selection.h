// SPDX-License-Identifier: Apache-2.0
// Devices, channels and edges of the fabric as people type them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <warden/result.h>

#include "driver/fabric/control_plane.h"

namespace warden::cli {

// A device of the fabric, and what it goes by.
struct Place {
  fabric::FabricNodeId node;
  std::optional<std::size_t> card = {};  // its number in `warden devices`, when the card is known
  std::string name = {};                 // and its name there
};
[[nodiscard]] std::vector<Place> places_of(const fabric::ControlPlane& fabric);

struct SelectionWords {
  std::string device = {};
  std::string channel = {};
  std::string edge = {};
  std::optional<fabric::MeshId> mesh = {};
};

// "X,Y" in `mesh` (0), "MESH:X,Y" or "MESH:(X,Y)", the number of a card in `warden devices`, or its name.
[[nodiscard]] Result<fabric::FabricNodeId> find_device(std::string_view text, std::span<const Place> places,
                                                       std::optional<fabric::MeshId> mesh = {});
// "4", "e4" or "E4".
[[nodiscard]] Result<fabric::chan_id_t> parse_channel(std::string_view text);
// Two devices with '-' between them.
struct Edge {
  fabric::FabricNodeId one;
  fabric::FabricNodeId other;
};
[[nodiscard]] Result<Edge> find_edge(std::string_view text, std::span<const Place> places,
                                     std::optional<fabric::MeshId> mesh = {});

[[nodiscard]] Result<fabric::Selection> make_selection(const SelectionWords& words, std::span<const Place> places);

}  // namespace warden::cli
