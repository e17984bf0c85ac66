// SPDX-License-Identifier: Apache-2.0
// Whether traffic flows, by the words that routers have sent.
#pragma once

#include <chrono>
#include <cstddef>

#include "driver/fabric/control_plane.h"

namespace warden::fabric {

// NOLINTNEXTLINE(readability-identifier-naming): tt-metal's name
inline constexpr std::chrono::milliseconds DEFAULT_TRAFFIC_SAMPLE_INTERVAL{100};

// Both look at the first `num_devices` devices of the mesh; false as well when their telemetry is absent or can't be
// read, which the control plane's log is told: ask telemetry_available() first.
// Returns as soon as one channel is seen to have sent more than at first; false after `sample_interval`.
[[nodiscard]] bool validate_traffic_flowing(
    ControlPlane& control_plane, MeshId mesh_id, std::size_t num_devices,
    std::chrono::milliseconds sample_interval = DEFAULT_TRAFFIC_SAMPLE_INTERVAL);
// No channel has sent anything in `sample_interval`.
[[nodiscard]] bool validate_traffic_stopped(
    ControlPlane& control_plane, MeshId mesh_id, std::size_t num_devices,
    std::chrono::milliseconds sample_interval = DEFAULT_TRAFFIC_SAMPLE_INTERVAL);
[[nodiscard]] bool telemetry_available(const ControlPlane& control_plane);

}  // namespace warden::fabric
