// SPDX-License-Identifier: Apache-2.0
// The routers' own manifests, put together.
#include "driver/fabric/manifest.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "driver/fabric/router_memory.h"

namespace warden::fabric {
namespace {

using nlohmann::json;

json place_of(const FabricNodeId& node) {
  return {{"mesh", node.mesh_id}, {"x", node.logical_x}, {"y", node.logical_y}};
}

json entry_of(const ControlPlane& fabric, const Router& router, const kernels::RouterManifest& manifest) {
  json entry = place_of(router.id.node);
  entry["device"] = router.number;
  entry["card"] = fabric.card(router).name();
  entry["channel"] = router.id.channel;
  entry["direction"] = direction_name(router.direction);
  entry["tile"] = {router.tile.x, router.tile.y};
  entry["peer"] = place_of(router.peer.node);
  entry["peer"]["channel"] = router.peer.channel;
  entry["layout_version"] = manifest.version;
  entry["telemetry"] = (manifest.features & kernels::kFeatureTelemetry) != 0;
  entry["state_address"] = manifest.state_address;
  entry["command_address"] = manifest.state_address + offsetof(kernels::RouterStateBlock, command);
  entry["telemetry_address"] = manifest.telemetry_address;
  entry["lanes_address"] = manifest.lanes_address;
  entry["lane_slots_address"] = manifest.lane_slots_address;
  entry["inbound_address"] = manifest.inbound_address;
  return entry;
}

}  // namespace

Result<json> address_manifest(const ControlPlane& fabric) {
  json meshes = json::array();
  for (const Mesh& mesh : fabric.meshes()) {
    json devices = json::array();
    for (const FabricNodeId& node : fabric.devices(mesh.id)) {
      json device = place_of(node);
      device["device"] = fabric.number_of(node);
      device["card"] = fabric.cards()[*fabric.card_of(node)]->name();
      devices.push_back(std::move(device));
    }
    meshes.push_back(
        {{"id", mesh.id}, {"rows", mesh.rows}, {"columns", mesh.columns}, {"devices", std::move(devices)}});
  }
  json routers = json::array();
  for (const Router& router : fabric.routers()) {
    const auto manifest = read_struct<kernels::RouterManifest>(fabric.card(router), router.tile, in_router(0));
    if (!manifest) return wrap(manifest.error(), "read the manifest of router " + to_string(router.id));
    if (manifest->magic != kernels::kRouterMagic) {
      return fail(Code::kNotFound,
                  fmt::format("router {} is gone: its magic number is {:#x}", to_string(router.id), manifest->magic));
    }
    routers.push_back(entry_of(fabric, router, *manifest));
  }
  return json{{"version", 1}, {"meshes", std::move(meshes)}, {"routers", std::move(routers)}};
}

}  // namespace warden::fabric
