// SPDX-License-Identifier: Apache-2.0
// The card's PCIe tile: the address translation unit behind BAR2, and the tile through which the NoC reaches the
// host's memory. Source: tt-kmd, tt-isa-documentation.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>

#include "tools/sim/arc.h"
#include "tools/sim/host_memory.h"
#include "tools/sim/pci_config.h"
#include "tools/sim/tile.h"

namespace warden::sim {

// BAR2: registers that keep what is written. Two uses of the translation unit's regions are understood: a BAR of
// the card aimed at its inside (inbound), and NoC addresses aimed at bus addresses (outbound).
class TranslationUnit {
 public:
  [[nodiscard]] Access read(std::uint64_t offset, std::span<std::byte> into) const;
  [[nodiscard]] Access write(std::uint64_t offset, std::span<const std::byte> from);
  void reset() noexcept { registers_.clear(); }

  // Where BAR4 leads, as an address of the card; nothing before inbound region 1 is set up.
  [[nodiscard]] std::optional<std::uint64_t> bar4_target() const;
  // The bus address for an offset in the PCIe tile's host range; the same number where no region matches.
  [[nodiscard]] std::uint64_t outbound(std::uint64_t offset) const;

 private:
  [[nodiscard]] std::uint32_t word(std::uint64_t offset) const;
  [[nodiscard]] std::uint64_t pair(std::uint64_t offset) const;

  std::map<std::uint64_t, std::uint32_t> registers_;
};

class PcieTile final : public Tile {
 public:
  PcieTile(const Grid& grid, Coordinate tile, const Arc& arc, PciConfig& config, const TranslationUnit& translation,
           HostMemory& host);
  [[nodiscard]] Access read(std::uint64_t address, std::span<std::byte> into) override;
  [[nodiscard]] Access write(std::uint64_t address, std::span<const std::byte> from) override;
  void reset(TimePoint now) override;

  // Its network interfaces, which BAR0 shows too.
  [[nodiscard]] NiuRegisters& niu(bool noc1) noexcept { return niu_.of(noc1); }

 private:
  const Arc& arc_;
  PciConfig& config_;
  const TranslationUnit& translation_;
  HostMemory& host_;
  NiuPair niu_;
};

}  // namespace warden::sim
