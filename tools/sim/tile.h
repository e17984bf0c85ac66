// SPDX-License-Identifier: Apache-2.0
// The tiles of the NoC grid and what is found at their addresses. Cores do not run: their memories and reset
// registers are there, and nothing happens when they are let go. Source: tt-isa-documentation, tt-umd.
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

inline constexpr std::uint64_t kTensixL1Bytes = 1464 * 1024;
inline constexpr std::uint64_t kEthernetL1Bytes = 256 * 1024;
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

// Tensix and Ethernet: L1, the debug block with soft reset and wall clock, two NIUs, and the registers of blocks
// that do nothing yet, which keep what is written.
class CoreTile final : public Tile {
 public:
  CoreTile(const Grid& grid, Coordinate tile, NowFunction now);
  [[nodiscard]] Access read(std::uint64_t address, std::span<std::byte> into) override;
  [[nodiscard]] Access write(std::uint64_t address, std::span<const std::byte> from) override;
  void reset(TimePoint now) override;

  [[nodiscard]] SparseMemory& l1() noexcept { return l1_; }
  // From now on its requests are not answered, if its cores have run since the last reset; or they are again.
  void set_noc_stuck(bool stuck);

 private:
  [[nodiscard]] std::uint32_t in_reset() const noexcept;
  void show_traffic();
  [[nodiscard]] std::uint32_t read_register(std::uint64_t address);
  void write_register(std::uint64_t address, std::uint32_t value);

  bool ethernet_;
  SparseMemory l1_;
  NiuPair niu_;
  NowFunction now_;
  TimePoint clock_start_;
  std::uint32_t latched_clock_high_ = 0;
  std::uint32_t soft_reset_ = 0;
  bool has_run_ = false;  // a core was out of reset since the chip's reset
  bool noc_stuck_ = false;
  std::map<std::uint64_t, std::uint32_t> stored_;
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
