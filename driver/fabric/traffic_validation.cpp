// SPDX-License-Identifier: Apache-2.0
// Counts of words sent, compared over time.
#include "driver/fabric/traffic_validation.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "driver/fabric/patience.h"
#include "driver/fabric/router_memory.h"

namespace warden::fabric {
namespace {

using Words = std::vector<std::uint64_t>;

RouterList routers_of(const ControlPlane& fabric, MeshId mesh, std::size_t devices) {
  RouterList list;
  for (const Router& router : fabric.routers()) {
    if (router.id.node.mesh_id == mesh && router.number < devices) list.push_back(&router);
  }
  return list;
}

std::optional<Words> words_sent(const ControlPlane& fabric, const RouterList& routers) {
  Words words;
  for (const Router* router : routers) {
    const auto telemetry = fabric.telemetry(*router);
    if (!telemetry) {
      fabric.log(telemetry.error().message);
      return std::nullopt;
    }
    words.push_back(telemetry->transmit.words);
  }
  return words;
}

// Whether any count changes within the time; nothing when that can't be known.
std::optional<bool> any_change(const ControlPlane& fabric, MeshId mesh, std::size_t devices,
                               std::chrono::milliseconds interval) {
  if (!telemetry_available(fabric)) {
    fabric.log("the routers keep no telemetry: bring the fabric up with it to see traffic");
    return std::nullopt;
  }
  const RouterList routers = routers_of(fabric, mesh, devices);
  const auto before = words_sent(fabric, routers);
  if (!before) return std::nullopt;
  Patience patience(interval);
  while (true) {
    const bool more = patience.again();
    const auto now = words_sent(fabric, routers);
    if (!now) return std::nullopt;
    if (*now != *before) return true;
    if (!more) return false;
  }
}

}  // namespace

bool telemetry_available(const ControlPlane& control_plane) {
  return !control_plane.routers().empty() && control_plane.has_telemetry();
}

bool validate_traffic_flowing(ControlPlane& control_plane, MeshId mesh_id, std::size_t num_devices,
                              std::chrono::milliseconds sample_interval) {
  return any_change(control_plane, mesh_id, num_devices, sample_interval).value_or(false);
}

bool validate_traffic_stopped(ControlPlane& control_plane, MeshId mesh_id, std::size_t num_devices,
                              std::chrono::milliseconds sample_interval) {
  return !any_change(control_plane, mesh_id, num_devices, sample_interval).value_or(true);
}

}  // namespace warden::fabric
