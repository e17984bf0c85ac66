// SPDX-License-Identifier: Apache-2.0
// The meshes as they are drawn and listed: devices, and links with what is known of both ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "driver/fabric/control_plane.h"
#include "tools/warden/fabric_rates.h"
#include "tools/warden/fabric_words.h"

namespace warden::cli {

struct MapMesh {
  fabric::MeshId id = 0;
  std::uint32_t rows = 0;
  std::uint32_t columns = 0;
};

struct MapDevice {
  fabric::FabricNodeId node;
  std::uint16_t number = 0;
  std::string card = {};  // empty: not known
};

struct MapEnd {
  fabric::RouterId router;
  std::optional<fabric::RouterStateCommon> state = {};  // nothing: no router that answers
  std::optional<TrafficRate> rate = {};
};

struct MapLink {
  MapEnd one;
  MapEnd other;
  fabric::Direction direction = fabric::Direction::kEast;  // from one to the other
};

struct FabricMap {
  std::vector<MapMesh> meshes = {};
  std::vector<MapDevice> devices = {};
  std::vector<MapLink> links = {};
};

// Of the routers that run, with their states as they are now.
[[nodiscard]] FabricMap map_of(const fabric::ControlPlane& fabric, const TrafficRates& rates = {});
// Of what the links say, without routers.
[[nodiscard]] FabricMap map_of(const fabric::Topology& topology, std::span<const std::unique_ptr<fabric::Card>> cards);

[[nodiscard]] Json json_of(const FabricMap& map);
[[nodiscard]] std::string format_map(const FabricMap& map);
// "RUNNING", or "none" where no router answers.
[[nodiscard]] std::string state_text(const MapEnd& end);

}  // namespace warden::cli
