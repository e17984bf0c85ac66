// SPDX-License-Identifier: Apache-2.0
// BAR0 of a chip: windows onto the NoC, their registers, and the parts of the card that are mapped without one.
// Source: tt-isa-documentation, tt-kmd.
#include <algorithm>
#include <array>

#include "tools/sim/chip.h"

namespace warden::sim {

namespace {

constexpr Range kWindowRegisters{0x1FC00000, WindowRegisters::kSizeBytes};
// Where tt-kmd finds the PCIe tile's network interfaces; tt-isa-documentation has other addresses.
constexpr std::array<Range, 2> kNiu = {
    {{0x1FD02000, NiuRegisters::kSizeBytes}, {0x1FD0A000, NiuRegisters::kSizeBytes}}};
constexpr Range kArcMemory{0x1FE80000, kCsmBytes};
constexpr Range kArcPeripherals{0x1FF00000, 1 << 20};

constexpr std::uint8_t kOrderings = 3;

}  // namespace

// `into` has been filled up to the end of whatever lies at `offset` when the answer is kCut.
Access Chip::read_bar0(std::uint64_t offset, std::span<std::byte> into) {
  if (offset < kWindowsEnd) return read_window(offset, into);
  if (kWindowRegisters.contains(offset, into.size())) {
    read_words(offset - kWindowRegisters.begin, into, [this](std::uint64_t at) { return windows_.read_word(at); });
    return Access::kOk;
  }
  for (const bool noc1 : {false, true}) {
    if (!kNiu[noc1].contains(offset, into.size())) continue;
    read_words(offset - kNiu[noc1].begin, into, [&](std::uint64_t at) { return pcie_->niu(noc1).read_word(at); });
    return Access::kOk;
  }
  if (kArcMemory.contains(offset)) return arc_.read_memory(offset - kArcMemory.begin, into);
  if (kArcPeripherals.contains(offset)) return arc_.read_peripheral(offset - kArcPeripherals.begin, into);
  return Access::kUnmapped;
}

Access Chip::write_bar0(std::uint64_t offset, std::span<const std::byte> from) {
  if (offset < kWindowsEnd) return write_window(offset, from);
  if (kWindowRegisters.contains(offset, from.size())) {
    return write_words(offset - kWindowRegisters.begin, from,
                       [this](std::uint64_t at, std::uint32_t value) { windows_.write_word(at, value); });
  }
  for (const bool noc1 : {false, true}) {
    if (!kNiu[noc1].contains(offset, from.size())) continue;
    return write_words(offset - kNiu[noc1].begin, from,
                       [&](std::uint64_t at, std::uint32_t value) { pcie_->niu(noc1).write_word(at, value); });
  }
  if (kArcMemory.contains(offset)) return arc_.write_memory(offset - kArcMemory.begin, from);
  if (kArcPeripherals.contains(offset)) return arc_.write_peripheral(offset - kArcPeripherals.begin, from);
  return Access::kUnmapped;
}

std::expected<Tile*, Access> Chip::tile_of(const WindowTarget& target) {
  if (target.ordering >= kOrderings || target.linked || target.multicast) return std::unexpected(Access::kBadWindow);
  const auto at = grid_.resolve(target.x_end, target.y_end, target.noc1);
  if (!at) return std::unexpected(Access::kNoTile);
  Tile* tile = tiles_[at->index()].get();
  if (tile == nullptr) return std::unexpected(Access::kFusedOff);
  return tile;
}

Access Chip::read_window(std::uint64_t offset, std::span<std::byte> into) {
  const WindowPlace window = window_at(offset);
  const WindowTarget target = decode_window(window.size_log2, windows_.value(window.index));
  const auto tile = tile_of(target);
  if (!tile) return tile.error();
  const std::uint64_t inside = offset - window.begin;
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), window.size_bytes() - inside));
  if (size < into.size()) fill_ones(into.subspan(size));
  const Access access = (*tile)->read(target.address + inside, into.first(size));
  return access == Access::kOk && size < into.size() ? Access::kCut : access;
}

Access Chip::write_window(std::uint64_t offset, std::span<const std::byte> from) {
  const WindowPlace window = window_at(offset);
  const WindowTarget target = decode_window(window.size_log2, windows_.value(window.index));
  const std::uint64_t inside = offset - window.begin;
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(from.size(), window.size_bytes() - inside));
  const std::uint64_t address = target.address + inside;
  Access access = Access::kOk;
  if (target.multicast) {
    access = write_multicast(target, address, from.first(size));
  } else {
    const auto tile = tile_of(target);
    access = tile ? (*tile)->write(address, from.first(size)) : tile.error();
  }
  return access == Access::kOk && size < from.size() ? Access::kCut : access;
}

// Every working Tensix tile of the rectangle. It runs from start to end in the direction of its NoC, so that for
// NoC #1 and translated numbers start and end change places.
Access Chip::write_multicast(const WindowTarget& target, std::uint64_t address, std::span<const std::byte> from) {
  if (target.ordering >= kOrderings || target.linked) return Access::kBadWindow;
  auto start = grid_.resolve(target.x_start, target.y_start, target.noc1);
  auto end = grid_.resolve(target.x_end, target.y_end, target.noc1);
  if (!start || !end) return Access::kNoTile;
  if (target.noc1) std::swap(start, end);
  if (start->x > end->x || start->y > end->y) return Access::kBadWindow;
  Access access = Access::kOk;
  for (std::uint8_t y = start->y; y <= end->y; ++y) {
    for (std::uint8_t x = start->x; x <= end->x; ++x) {
      const Coordinate at{x, y};
      if (kind_of(at) != TileKind::kTensix || grid_.fused_off(at)) continue;
      if (const Access one = tiles_[at.index()]->write(address, from); one != Access::kOk) access = one;
    }
  }
  return access;
}

}  // namespace warden::sim
