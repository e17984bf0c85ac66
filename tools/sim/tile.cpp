// SPDX-License-Identifier: Apache-2.0
// What is found at the addresses of a tile. Source: tt-isa-documentation, tt-umd.
#include "tools/sim/tile.h"

#include <utility>

namespace warden::sim {

namespace {

// NIU registers.
constexpr std::uint64_t kNodeId = 0x2C;
constexpr std::uint64_t kEndpointId = 0x30;
constexpr std::uint64_t kNiuCfg0 = 0x100;
constexpr std::uint64_t kXTable = 0x118;  // NOC_X_ID_TRANSLATE_TABLE_0..3
constexpr std::uint64_t kYTable = 0x128;
constexpr std::uint64_t kTableBytes = 16;
constexpr std::uint64_t kIdLogical = 0x138;
constexpr std::uint32_t kTranslationEnabled = 1U << 14;

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

enum EndpointType : std::uint32_t {
  kTensixEndpoint = 0,
  kEthernetEndpoint = 2,
  kOther = 3,
  kArcEndpoint = 5,
  kDramEndpoint = 8
};

EndpointType endpoint_type(TileKind kind) noexcept {
  switch (kind) {
    case TileKind::kTensix: return kTensixEndpoint;
    case TileKind::kEthernet: return kEthernetEndpoint;
    case TileKind::kDram: return kDramEndpoint;
    case TileKind::kArc: return kArcEndpoint;
    case TileKind::kPcie:
    case TileKind::kRouterOnly: return kOther;
  }
  return kOther;
}

std::uint64_t dram_niu(Coordinate tile, unsigned noc) noexcept {
  return kDramNiu + (2ULL * dram_port_of(tile).port + noc) * kDramNiuStride;
}

}  // namespace

std::uint32_t NiuRegisters::node_id() const noexcept {
  const Coordinate here = noc1_ ? mirrored(tile_) : tile_;
  const std::uint32_t x_first = noc1_ ? 0 : 1;  // NoC #1 routes y first
  return here.x | std::uint32_t{here.y} << 6 | std::uint32_t{kGridWidth} << 12 | std::uint32_t{kGridHeight} << 19 |
         x_first << 28;
}

std::uint32_t NiuRegisters::endpoint_id() const noexcept {
  const TileKind kind = kind_of(tile_);
  const std::size_t index = kind == TileKind::kEthernet ? ethernet_index_of(tile_) : tile_.index();
  return static_cast<std::uint32_t>(index) | endpoint_type(kind) << 16 | (noc1_ ? 1U << 24 : 0U);
}

std::uint32_t NiuRegisters::read_word(std::uint64_t offset) const {
  // 32 entries of 4 bits each way, entry i being the place that number i stands for.
  const auto table_word = [&](std::uint64_t first, bool columns) {
    std::uint32_t word = 0;
    for (unsigned nibble = 0; nibble < 8; ++nibble) {
      const auto number = static_cast<unsigned>(2 * (offset - first)) + nibble;
      const auto tile = columns ? grid_.resolve(number, 0, false) : grid_.resolve(0, number, false);
      if (!tile) continue;
      const Coordinate place = noc1_ ? mirrored(*tile) : *tile;
      word |= std::uint32_t{columns ? place.x : place.y} << (4 * nibble);
    }
    return word;
  };
  if (offset == kNodeId) return node_id();
  if (offset == kEndpointId) return endpoint_id();
  if (offset == kNiuCfg0) return kTranslationEnabled;
  if (Range{kXTable, kTableBytes}.contains(offset)) return table_word(kXTable, true);
  if (Range{kYTable, kTableBytes}.contains(offset)) return table_word(kYTable, false);
  if (offset == kIdLogical) {
    const Coordinate logical = grid_.translated(tile_);
    return logical.x | std::uint32_t{logical.y} << 6;
  }
  const auto found = stored_.find(offset);
  return found == stored_.end() ? 0 : found->second;
}

void NiuRegisters::write_word(std::uint64_t offset, std::uint32_t value) { stored_[offset] = value; }

bool NiuPair::contains(std::uint64_t address, std::size_t length) const noexcept {
  return Range{noc0_begin_, NiuRegisters::kSizeBytes}.contains(address, length) ||
         Range{noc1_begin_, NiuRegisters::kSizeBytes}.contains(address, length);
}

void NiuPair::read(std::uint64_t address, std::span<std::byte> into) const {
  const bool second = Range{noc1_begin_, NiuRegisters::kSizeBytes}.contains(address);
  const NiuRegisters& niu = second ? noc1_ : noc0_;
  read_words(address - (second ? noc1_begin_ : noc0_begin_), into,
             [&](std::uint64_t offset) { return niu.read_word(offset); });
}

Access NiuPair::write(std::uint64_t address, std::span<const std::byte> from) {
  const bool second = Range{noc1_begin_, NiuRegisters::kSizeBytes}.contains(address);
  NiuRegisters& niu = of(second);
  return write_words(address - (second ? noc1_begin_ : noc0_begin_), from,
                     [&](std::uint64_t offset, std::uint32_t value) { niu.write_word(offset, value); });
}

void NiuPair::reset() {
  noc0_.reset();
  noc1_.reset();
}

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
  soft_reset_ = ethernet_ ? kEthernetInReset : kTensixInReset;
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
  } else {
    stored_[address] = value;
  }
}

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
