// SPDX-License-Identifier: Apache-2.0
// Where everything of the running fabric is, for tools that read the cards themselves.
#pragma once

#include <warden/result.h>
#include <nlohmann/json_fwd.hpp>

#include "driver/fabric/control_plane.h"

namespace warden::fabric {

// {"version", "meshes": [{"id", "rows", "columns", "devices": [...]}], "routers": [{"mesh", "x", "y", "channel",
// "tile", "state_address", "telemetry_address", ...}]}; addresses in the L1 of the router's tile. From the routers' own
// manifests.
[[nodiscard]] Result<nlohmann::json> address_manifest(const ControlPlane& fabric);

}  // namespace warden::fabric
