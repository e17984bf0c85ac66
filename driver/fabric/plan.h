// SPDX-License-Identifier: Apache-2.0
// What every router of a topology is to be told: its tables, its lanes and its ports. Pure; nothing is touched.
#pragma once

#include <vector>

#include <warden/result.h>

#include "driver/fabric/router.h"
#include "driver/fabric/topology.h"
#include "kernels/router_layout.h"

namespace warden::fabric {

struct RouterPlan {
  Router router;
  // Configuration, lanes of other routers, ports and tables; all else is zero. The link's session is not yet chosen.
  kernels::RouterBlock block{};
};

// One router for each end of a link, by id. On an edge with several links a packet that came by the k-th goes on by the
// k-th of the next edge, as far as that has so many. kUnsupported when a router would need more lanes than there are.
[[nodiscard]] Result<std::vector<RouterPlan>> make_plan(const Topology& topology);

// The port of a router that leads to a router of its own chip is numbered as that one's channel.
static_assert(kernels::kPorts >= kChannels);

}  // namespace warden::fabric
