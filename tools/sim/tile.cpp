// SPDX-License-Identifier: Apache-2.0
// What is found at the addresses of a tile. Source: tt-isa-documentation, tt-umd.
#include "tools/sim/tile.h"

namespace warden::sim {

namespace {

// Router-only tiles have theirs where core tiles do.
constexpr std::uint64_t kNiu0 = 0xFFB20000;
constexpr std::uint64_t kNiu1 = 0xFFB30000;

// DRAM tiles: two NIUs for each of the three ports, one after the other. Which belongs to which is undocumented.
constexpr std::uint64_t kDramNiu = 0x100080000;
constexpr std::uint64_t kDramNiuStride = 0x8000;

std::uint64_t dram_niu(Coordinate tile, unsigned noc) noexcept {
  return kDramNiu + (2ULL * dram_port_of(tile).port + noc) * kDramNiuStride;
}

}  // namespace

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

RouterTile::RouterTile(const Grid& grid, Coordinate tile) : niu_(grid, tile, kNiu0, kNiu1) {}

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
