// SPDX-License-Identifier: Apache-2.0
// The programs of the card as the host loads them: which bytes go where in a tile's L1. They are part of the library
// and never change; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace warden::kernels {

struct Segment {
  std::uint32_t address = 0;         // in L1, a multiple of 4
  std::span<const std::byte> bytes;  // a multiple of 4
};

// The core begins at address 0. What an image needs zero, it makes zero itself: but not its block.
struct Image {
  std::span<const Segment> segments;
};

// For Ethernet tiles (router_layout.h). Without telemetry: the same, but nothing is counted there.
[[nodiscard]] const Image& router_image(bool telemetry = true);
// For BRISC of Tensix tiles (worker_layout.h).
[[nodiscard]] const Image& generator_image();
[[nodiscard]] const Image& sink_image();

}  // namespace warden::kernels
