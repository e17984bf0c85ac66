// SPDX-License-Identifier: Apache-2.0
// Memory of the cards by kind.
#include "tools/wardend/allocation_devices.h"

namespace warden::daemon {
namespace {

// tt-metal's numbers of architectures, and its view of a Wormhole: each of six GDDR6 controllers is two channels
// (tt_metal/soc_descriptors/wormhole_b0_80_arch.yaml); 8 x 10 Tensix tiles, of which firmware fuses rows of 8 off.
constexpr std::uint32_t kWormholeArch = 2;
constexpr std::uint32_t kWormholeDramChannels = 12;
constexpr std::uint32_t kWormholeDramChannelBytes = 1U << 30;
constexpr std::uint32_t kWormholeL1Bytes = 1464 * 1024;
constexpr std::uint32_t kWormholeRows = 10;
constexpr std::uint32_t kWormholeTilesOfRow = 8;

AllocationDevice device_of(const DeviceView& view) {
  if (view.chip != "wormhole" || view.state == shm::DeviceState::kLost) return {};
  const auto fused_rows = static_cast<std::uint32_t>(view.harvested_rows.size());
  const std::uint32_t rows = fused_rows < kWormholeRows ? kWormholeRows - fused_rows : 0;
  return {kWormholeArch,    kWormholeDramChannels,      kWormholeDramChannelBytes,
          kWormholeL1Bytes, rows * kWormholeTilesOfRow, true};
}

}  // namespace

std::vector<AllocationDevice> allocation_devices(const Devices& devices) {
  std::vector<AllocationDevice> answer;
  for (std::uint32_t index = 0; index < devices.count(); ++index) answer.push_back(device_of(devices.at(index).view()));
  return answer;
}

}  // namespace warden::daemon
