// SPDX-License-Identifier: Apache-2.0
// See fabric_map.h.
#include "tools/warden/fabric_map.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/warden/terminal.h"

namespace warden::cli {
namespace {

MapEnd end_of(const fabric::ControlPlane& fabric, const fabric::Router& router, const TrafficRates& rates) {
  MapEnd end{.router = router.id};
  if (const auto state = fabric.state(router)) end.state = *state;
  if (const auto rate = rates.find(router.id); rate != rates.end()) end.rate = rate->second;
  return end;
}

Json json_of(const MapEnd& end) {
  Json json = cli::json_of(end.router);
  json["state"] = end.state ? Json(fabric::router_state_name(*end.state)) : Json();
  json["words_per_second"] = end.rate ? Json(end.rate->words_per_second) : Json();
  return json;
}

template <typename Of>
std::size_t count_in(const std::vector<Of>& list, fabric::MeshId mesh, const fabric::FabricNodeId& (*node)(const Of&)) {
  return static_cast<std::size_t>(
      std::ranges::count_if(list, [&](const Of& item) { return node(item).mesh_id == mesh; }));
}

const fabric::FabricNodeId& node_of(const MapDevice& device) { return device.node; }
const fabric::FabricNodeId& node_of(const MapLink& link) { return link.one.router.node; }

}  // namespace

FabricMap map_of(const fabric::ControlPlane& fabric, const TrafficRates& rates) {
  FabricMap map;
  for (const fabric::Mesh& mesh : fabric.meshes()) {
    map.meshes.push_back({.id = mesh.id, .rows = mesh.rows, .columns = mesh.columns});
    for (const fabric::FabricNodeId& node : fabric.devices(mesh.id)) {
      MapDevice& device = map.devices.emplace_back(MapDevice{.node = node, .number = fabric.number_of(node)});
      if (const auto card = fabric.card_of(node)) device.card = fabric.cards()[*card]->name();
    }
  }
  for (const fabric::Router& router : fabric.routers()) {
    const fabric::Router* peer = fabric.find(router.peer);
    if (peer != nullptr && peer->id < router.id) continue;  // told from its other end
    map.links.push_back({.one = end_of(fabric, router, rates),
                         .other = peer != nullptr ? end_of(fabric, *peer, rates) : MapEnd{.router = router.peer},
                         .direction = router.direction});
  }
  return map;
}

FabricMap map_of(const fabric::Topology& topology, std::span<const std::unique_ptr<fabric::Card>> cards) {
  FabricMap map;
  for (const fabric::Mesh& mesh : topology.meshes) {
    map.meshes.push_back({.id = mesh.id, .rows = mesh.rows, .columns = mesh.columns});
  }
  for (const fabric::Device& device : topology.devices) {
    map.devices.push_back({.node = device.node, .number = device.number, .card = cards[device.card]->name()});
    for (const fabric::Link& link : device.links) {
      const fabric::RouterId here{.node = device.node, .channel = link.channel};
      const fabric::RouterId there{.node = topology.devices[link.peer_card].node, .channel = link.peer_channel};
      if (there < here) continue;
      map.links.push_back({.one = {.router = here}, .other = {.router = there}, .direction = link.direction});
    }
  }
  return map;
}

Json json_of(const FabricMap& map) {
  Json meshes = Json::array();
  for (const MapMesh& mesh : map.meshes) {
    Json devices = Json::array();
    for (const MapDevice& device : map.devices) {
      if (device.node.mesh_id != mesh.id) continue;
      devices.push_back({{"x", device.node.logical_x},
                         {"y", device.node.logical_y},
                         {"number", device.number},
                         {"card", device.card.empty() ? Json() : Json(device.card)}});
    }
    meshes.push_back(
        {{"id", mesh.id}, {"rows", mesh.rows}, {"columns", mesh.columns}, {"devices", std::move(devices)}});
  }
  Json links = Json::array();
  for (const MapLink& link : map.links) {
    links.push_back({{"direction", fabric::direction_name(link.direction)},
                     {"ends", Json::array({json_of(link.one), json_of(link.other)})}});
  }
  return {{"meshes", std::move(meshes)}, {"links", std::move(links)}};
}

std::string state_text(const MapEnd& end) { return end.state ? fabric::router_state_name(*end.state) : "none"; }

std::string format_map(const FabricMap& map) {
  std::string text;
  for (const MapMesh& mesh : map.meshes) {
    text += fmt::format("mesh {}: {} rows x {} columns, {}, {}\n", mesh.id, mesh.rows, mesh.columns,
                        counted(count_in(map.devices, mesh.id, node_of), "device"),
                        counted(count_in(map.links, mesh.id, node_of), "link"));
  }
  std::vector<std::vector<std::string>> devices = {{"DEVICE", "NUMBER", "CARD"}};
  for (const MapDevice& device : map.devices) {
    devices.push_back(
        {to_string(device.node), std::to_string(device.number), device.card.empty() ? "-" : printable(device.card)});
  }
  text += "\n" + format_table(devices);
  if (map.links.empty()) return text;
  std::vector<std::vector<std::string>> links = {{"LINK", "TO", "DIRECTION", "ROUTER", "ITS PEER"}};
  for (const MapLink& link : map.links) {
    links.push_back({to_string(link.one.router), to_string(link.other.router), fabric::direction_name(link.direction),
                     state_text(link.one), state_text(link.other)});
  }
  return text + "\n" + format_table(links);
}

}  // namespace warden::cli
