// SPDX-License-Identifier: Apache-2.0
// The tiles of the NoC grid and what is found at their addresses; those with cores are in core_tile.h. Source:
// tt-isa-documentation, tt-umd.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>

#include "tools/sim/access.h"
#include "tools/sim/clock.h"
#include "tools/sim/grid.h"
#include "tools/sim/memory.h"
#include "tools/sim/niu.h"

namespace warden::sim {

inline constexpr std::uint64_t kDramBankBytes = 2ULL << 30;

// Addresses are 36 bits wide. A failed access leaves `into` as it was.
class Tile {
 public:
  Tile(const Tile&) = delete;
  Tile& operator=(const Tile&) = delete;
  virtual ~Tile() = default;
  [[nodiscard]] virtual Access read(std::uint64_t address, std::span<std::byte> into) = 0;
  [[nodiscard]] virtual Access write(std::uint64_t address, std::span<const std::byte> from) = 0;
  // The chip's reset: memory lost, registers at their reset values.
  virtual void reset(TimePoint now) = 0;

 protected:
  Tile() = default;
};

// One of the three ports of a DRAM bank; the memory belongs to the chip and is shared with the other two.
class DramTile final : public Tile {
 public:
  DramTile(const Grid& grid, Coordinate tile, SparseMemory& bank);
  [[nodiscard]] Access read(std::uint64_t address, std::span<std::byte> into) override;
  [[nodiscard]] Access write(std::uint64_t address, std::span<const std::byte> from) override;
  void reset(TimePoint now) override;

 private:
  SparseMemory& bank_;
  NiuPair niu_;
};

class RouterTile final : public Tile {
 public:
  RouterTile(const Grid& grid, Coordinate tile);
  [[nodiscard]] Access read(std::uint64_t address, std::span<std::byte> into) override;
  [[nodiscard]] Access write(std::uint64_t address, std::span<const std::byte> from) override;
  void reset(TimePoint now) override;

 private:
  NiuPair niu_;
};

}  // namespace warden::sim
