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
// A free one at every router. kBusy: one has none left. Changes nothing.
[[nodiscard]] Result<std::vector<DeliveryPlace>> choose_deliveries(const ControlPlane& fabric,
                                                                   const FabricNodeId& node);
// The sink's rings for them.
void fill_rings(const std::vector<DeliveryPlace>& places, kernels::SinkBlock& sink);

// The order of these four is what makes a sink found whenever the process that starts or ends it is killed: its core
// runs between the second and the third only while its deliveries name it.
//
// Named as the sink's, which is in its memory already; not yet open.
[[nodiscard]] Status reserve_deliveries(const ControlPlane& fabric, const std::vector<DeliveryPlace>& places,
                                        Tile sink);
// Packets for this tile are put into its rings from now on.
[[nodiscard]] Status open_deliveries(const ControlPlane& fabric, const std::vector<DeliveryPlace>& places, Tile sink);
// Nothing more is put into its rings when it returns; what is in them has been taken, if the sink `takes`.
[[nodiscard]] Status close_deliveries(const ControlPlane& fabric, const Worker& sink, bool takes,
                                      std::chrono::milliseconds timeout);
// Free for others; its core is held.
[[nodiscard]] Status free_deliveries(const ControlPlane& fabric, const Worker& sink);

}  // namespace warden::fabric
