// SPDX-License-Identifier: Apache-2.0
// What a network interface says of itself.
#include "tools/sim/niu.h"

namespace warden::sim {

namespace {

constexpr std::uint64_t kNodeId = 0x2C;
constexpr std::uint64_t kEndpointId = 0x30;
constexpr std::uint64_t kClearOutstanding = 0x50;
constexpr std::uint64_t kBusyInitiators = 0x54;
constexpr std::uint64_t kNiuCfg0 = 0x100;
constexpr std::uint64_t kRequestsOutstanding0 = 0x200 + 4 * 16;
constexpr std::uint64_t kXTable = 0x118;  // NOC_X_ID_TRANSLATE_TABLE_0..3
constexpr std::uint64_t kYTable = 0x128;
constexpr std::uint64_t kTableBytes = 16;
constexpr std::uint64_t kIdLogical = 0x138;
constexpr std::uint32_t kTranslationEnabled = 1U << 14;

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
  if (offset == kBusyInitiators) return initiators_.busy_mask();
  if (offset == kRequestsOutstanding0) return initiators_.read_word(offset) + (stuck_ ? 1 : 0);
  if (NocInitiators::contains(offset)) return initiators_.read_word(offset);
  const auto found = stored_.find(offset);
  return found == stored_.end() ? 0 : found->second;
}

void NiuRegisters::write_word(std::uint64_t offset, std::uint32_t value) {
  if (NocInitiators::contains(offset)) {
    initiators_.write_word(offset, value);
  } else if (offset == kClearOutstanding) {
    initiators_.clear_outstanding(value);
  } else if (offset != kBusyInitiators) {
    stored_[offset] = value;
  }
}

void NiuRegisters::reset() {
  initiators_.reset();
  stored_.clear();
}

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

}  // namespace warden::sim
