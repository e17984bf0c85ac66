// SPDX-License-Identifier: Apache-2.0
// From the NoC to the host and back. Source: tt-kmd, tt-isa-documentation.
#include "tools/sim/pcie_tile.h"

namespace warden::sim {

namespace {

// Translation regions behind BAR2: outbound region r, and inbound region r a little further on.
constexpr unsigned kRegions = 16;
constexpr std::uint64_t kOutbound = 0x1200;
constexpr std::uint64_t kInbound = kOutbound + 0x100;
constexpr std::uint64_t kRegionStride = 0x200;
constexpr std::uint64_t kControl2 = 0x04;
constexpr std::uint64_t kBase = 0x08;
constexpr std::uint64_t kLimit = 0x10;
constexpr std::uint64_t kTarget = 0x14;
constexpr std::uint32_t kEnable = 1U << 31;
constexpr std::uint32_t kMatchBar = 1U << 30;
constexpr std::uint32_t kBarNumberMask = 7U << 8;
constexpr std::uint32_t kBar4 = 4U << 8;
constexpr std::uint64_t kBar4Region = kInbound + kRegionStride;  // the one tt-kmd uses

// The tile, as the NoC sees it.
constexpr Range kHost{0x800000000, 0xFFFE0000};
constexpr std::uint64_t kNocNiu0 = 0xFFFB20000;
constexpr std::uint64_t kNocNiu1 = 0xFFFB30000;

}  // namespace

std::uint32_t TranslationUnit::word(std::uint64_t offset) const {
  const auto found = registers_.find(offset);
  return found == registers_.end() ? 0 : found->second;
}

std::uint64_t TranslationUnit::pair(std::uint64_t offset) const {
  return word(offset) | std::uint64_t{word(offset + kWordBytes)} << 32;
}

Access TranslationUnit::read(std::uint64_t offset, std::span<std::byte> into) const {
  read_words(offset, into, [this](std::uint64_t at) { return word(at); });
  return Access::kOk;
}

Access TranslationUnit::write(std::uint64_t offset, std::span<const std::byte> from) {
  return write_words(offset, from, [this](std::uint64_t at, std::uint32_t value) { registers_[at] = value; });
}

std::optional<std::uint64_t> TranslationUnit::bar4_target() const {
  const std::uint32_t control = word(kBar4Region + kControl2);
  const bool matches = (control & kMatchBar) != 0 && (control & kBarNumberMask) == kBar4;
  if ((control & kEnable) == 0 || !matches) return std::nullopt;
  return pair(kBar4Region + kTarget);
}

std::uint64_t TranslationUnit::outbound(std::uint64_t offset) const {
  for (unsigned region = 0; region < kRegions; ++region) {
    const std::uint64_t at = kOutbound + region * kRegionStride;
    const std::uint64_t base = pair(at + kBase);
    const std::uint64_t limit = (base & ~std::uint64_t{0xFFFFFFFF}) | word(at + kLimit);
    if ((word(at + kControl2) & kEnable) == 0 || offset < base || offset > limit) continue;
    return offset - base + pair(at + kTarget);
  }
  return offset;
}

PcieTile::PcieTile(const Grid& grid, Coordinate tile, const Arc& arc, PciConfig& config,
                   const TranslationUnit& translation, HostMemory& host)
    : arc_(arc), config_(config), translation_(translation), host_(host), niu_(grid, tile, kNocNiu0, kNocNiu1) {}

Access PcieTile::read(std::uint64_t address, std::span<std::byte> into) {
  if (niu_.contains(address, into.size())) {
    niu_.read(address, into);
    return Access::kOk;
  }
  if (!kHost.contains(address, into.size())) return Access::kUnmapped;
  const std::uint64_t offset = address - kHost.begin;
  if (arc_.configuration_back_door()) {
    if (!Range{0, kConfigBytes}.contains(offset, into.size())) return Access::kUnmapped;
    config_.read(static_cast<std::uint32_t>(offset), into);
    return Access::kOk;
  }
  return config_.bus_master() ? host_.read(translation_.outbound(offset), into) : Access::kUnmappedIova;
}

Access PcieTile::write(std::uint64_t address, std::span<const std::byte> from) {
  if (niu_.contains(address, from.size())) return niu_.write(address, from);
  if (!kHost.contains(address, from.size())) return Access::kUnmapped;
  const std::uint64_t offset = address - kHost.begin;
  if (arc_.configuration_back_door()) {
    if (!Range{0, kConfigBytes}.contains(offset, from.size())) return Access::kUnmapped;
    config_.write_back_door(static_cast<std::uint32_t>(offset), from);
    return Access::kOk;
  }
  return config_.bus_master() ? host_.write(translation_.outbound(offset), from) : Access::kUnmappedIova;
}

void PcieTile::reset(TimePoint) { niu_.reset(); }

}  // namespace warden::sim
