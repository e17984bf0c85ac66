// SPDX-License-Identifier: Apache-2.0
// Places in the fabric as people read them.
#include "driver/fabric/node.h"

#include <fmt/format.h>

namespace warden::fabric {

std::string to_string(const FabricNodeId& node) {
  return fmt::format("{}:({},{})", node.mesh_id, node.logical_x, node.logical_y);
}

std::string to_string(const RouterId& router) { return fmt::format("{} E{}", to_string(router.node), router.channel); }

}  // namespace warden::fabric
