// SPDX-License-Identifier: Apache-2.0
// What is found at the addresses of a tile. Source: tt-isa-documentation, tt-umd.
#include "tools/sim/tile.h"

#include <utility>

namespace warden::sim {

namespace {

// Core tiles.
constexpr Range kRegisters{0xFFB10000, 0xFFC00000 - 0xFFB10000};
constexpr std::uint64_t kSoftReset = 0xFFB121B0;
constexpr std::uint64_t kWallClockLow = 0xFFB121F0;
constexpr std::uint64_t kWallClockHigh = 0xFFB121F4;
constexpr std::uint64_t kWallClockHighLatched = 0xFFB121F8;
constexpr std::uint32_t kTensixInReset = 0x47800;  // all five cores
constexpr std::uint32_t kEthernetInReset = 0x800;
constexpr std::uint64_t kCoreNiu0 = 0xFFB20000;
constexpr std::uint64_t kCoreNiu1 = 0xFFB30000;

// What Ethernet firmware leaves in its L1: nothing connected, version 6.14.0.
constexpr std::uint64_t kLinkTrainingWord = 0x1104;
constexpr std::uint32_t kLinkNotConnected = 3;
constexpr std::uint64_t kEthernetFirmwareWord = 0x210;
constexpr std::uint32_t kEthernetFirmware = 0x0006E000;

// DRAM tiles: two NIUs for each of the three ports, one after the other. Which belongs to which is undocumented.
constexpr std::uint64_t kDramNiu = 0x100080000;
constexpr std::uint64_t kDramNiuStride = 0x8000;

std::uint64_t dram_niu(Coordinate tile, unsigned noc) noexcept {
  return kDramNiu + (2ULL * dram_port_of(tile).port + noc) * kDramNiuStride;
}

}  // namespace

CoreTile::CoreTile(const Grid& grid, Coordinate tile, NowFunction now)
    : ethernet_(kind_of(tile) == TileKind::kEthernet),
      l1_(ethernet_ ? kEthernetL1Bytes : kTensixL1Bytes),
      niu_(grid, tile, kCoreNiu0, kCoreNiu1),
      now_(std::move(now)) {
  reset(now_());
}

void CoreTile::reset(TimePoint now) {
  l1_.clear();
  niu_.reset();
  stored_.clear();
  clock_start_ = now;
  latched_clock_high_ = 0;
  soft_reset_ = in_reset();
  has_run_ = false;
  show_traffic();
  if (ethernet_) {
    l1_.write32(kLinkTrainingWord, kLinkNotConnected);
    l1_.write32(kEthernetFirmwareWord, kEthernetFirmware);
  }
}

Access CoreTile::read(std::uint64_t address, std::span<std::byte> into) {
  if (l1_.contains(address, into.size())) {
    l1_.read(address, into);
    return Access::kOk;
  }
  if (niu_.contains(address, into.size())) {
    niu_.read(address, into);
    return Access::kOk;
  }
  if (!kRegisters.contains(address, into.size())) return Access::kUnmapped;
  read_words(address, into, [this](std::uint64_t at) { return read_register(at); });
  return Access::kOk;
}

Access CoreTile::write(std::uint64_t address, std::span<const std::byte> from) {
  if (l1_.contains(address, from.size())) {
    l1_.write(address, from);
    return Access::kOk;
  }
  if (niu_.contains(address, from.size())) return niu_.write(address, from);
  if (!kRegisters.contains(address, from.size())) return Access::kUnmapped;
  return write_words(address, from, [this](std::uint64_t at, std::uint32_t value) { write_register(at, value); });
}

std::uint32_t CoreTile::read_register(std::uint64_t address) {
  if (address == kSoftReset) return soft_reset_;
  if (address == kWallClockHighLatched) return latched_clock_high_;
  if (address == kWallClockLow || address == kWallClockHigh) {
    // One tick a nanosecond: 1 GHz.
    const auto ticks = static_cast<std::uint64_t>((now_() - clock_start_) / std::chrono::nanoseconds(1));
    const auto high = static_cast<std::uint32_t>(ticks >> 32);
    if (address == kWallClockHigh) return high;
    latched_clock_high_ = high;
    return static_cast<std::uint32_t>(ticks);
  }
  const auto found = stored_.find(address);
  return found == stored_.end() ? 0 : found->second;
}

void CoreTile::write_register(std::uint64_t address, std::uint32_t value) {
  if (address == kSoftReset) {
    soft_reset_ = value;
    has_run_ = has_run_ || (value & in_reset()) != in_reset();
    show_traffic();
  } else {
    stored_[address] = value;
  }
}

std::uint32_t CoreTile::in_reset() const noexcept { return ethernet_ ? kEthernetInReset : kTensixInReset; }

void CoreTile::set_noc_stuck(bool stuck) {
  noc_stuck_ = stuck;
  show_traffic();
}

void CoreTile::show_traffic() { niu_.of(false).set_stuck(noc_stuck_ && has_run_); }

DramTile::DramTile(const Grid& grid, Coordinate tile, SparseMemory& bank)
    : bank_(bank), niu_(grid, tile, dram_niu(tile, 0), dram_niu(tile, 1)) {}

Access DramTile::read(std::uint64_t address, std::span<std::byte> into) {
  if (bank_.contains(address, into.size())) {
    bank_.read(address, into);
  } else if (niu_.contains(address, into.size())) {
    niu_.read(address, into);
  } else {
    return Access::kUnmapped;
  }
  return Access::kOk;
}

Access DramTile::write(std::uint64_t address, std::span<const std::byte> from) {
  if (niu_.contains(address, from.size())) return niu_.write(address, from);
  if (!bank_.contains(address, from.size())) return Access::kUnmapped;
  bank_.write(address, from);
  return Access::kOk;
}

void DramTile::reset(TimePoint) {
  bank_.clear();
  niu_.reset();
}

RouterTile::RouterTile(const Grid& grid, Coordinate tile) : niu_(grid, tile, kCoreNiu0, kCoreNiu1) {}

Access RouterTile::read(std::uint64_t address, std::span<std::byte> into) {
  if (!niu_.contains(address, into.size())) return Access::kUnmapped;
  niu_.read(address, into);
  return Access::kOk;
}

Access RouterTile::write(std::uint64_t address, std::span<const std::byte> from) {
  return niu_.contains(address, from.size()) ? niu_.write(address, from) : Access::kUnmapped;
}

void RouterTile::reset(TimePoint) { niu_.reset(); }

}  // namespace warden::sim
