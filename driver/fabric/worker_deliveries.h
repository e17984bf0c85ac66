// SPDX-License-Identifier: Apache-2.0
// Deliveries of running routers, given to sinks and taken back. A sink has one at every router of its chip.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include <warden/result.h>

#include "driver/fabric/control_plane.h"
#include "driver/fabric/worker.h"
#include "kernels/worker_layout.h"

namespace warden::fabric {

struct DeliveryPlace {
  const Router* router = nullptr;
  std::uint32_t delivery = 0;
};
// kBusy: a router has none left. Makes them ready for the sink, not yet open.
[[nodiscard]] Result<std::vector<DeliveryPlace>> prepare_deliveries(const ControlPlane& fabric,
                                                                    const FabricNodeId& node);
// The sink's rings for them.
void fill_rings(const std::vector<DeliveryPlace>& places, kernels::SinkBlock& sink);
// Packets for this tile are put into its rings from now on.
[[nodiscard]] Status open_deliveries(const ControlPlane& fabric, const std::vector<DeliveryPlace>& places, Tile sink);

// Nothing more is put into its rings when it returns; what is in them has been taken, if the sink `takes`.
[[nodiscard]] Status take_deliveries_back(const ControlPlane& fabric, const Worker& sink, bool takes,
                                          std::chrono::milliseconds timeout);

}  // namespace warden::fabric
