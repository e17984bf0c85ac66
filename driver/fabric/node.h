// SPDX-License-Identifier: Apache-2.0
// Names of places in the fabric: meshes, the chips in them, and the Ethernet channels that routers serve.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <tuple>

namespace warden::fabric {

using MeshId = std::uint32_t;
using chan_id_t = std::uint8_t;  // NOLINT(readability-identifier-naming): tt-metal's name. E0 to E15

// A chip by its place in its mesh, x to the east, y to the south, both from 0.
struct FabricNodeId {
  MeshId mesh_id = 0;
  std::uint32_t logical_x = 0;
  std::uint32_t logical_y = 0;
  // Row by row, as their numbers go.
  constexpr auto operator<=>(const FabricNodeId& other) const noexcept {
    return std::tie(mesh_id, logical_y, logical_x) <=> std::tie(other.mesh_id, other.logical_y, other.logical_x);
  }
  constexpr bool operator==(const FabricNodeId&) const noexcept = default;
};
[[nodiscard]] std::string to_string(const FabricNodeId& node);  // "0:(1,2)": mesh, x, y

struct RouterId {
  FabricNodeId node;
  chan_id_t channel = 0;
  auto operator<=>(const RouterId&) const = default;
};
[[nodiscard]] std::string to_string(const RouterId& router);  // "0:(1,2) E4"

}  // namespace warden::fabric
