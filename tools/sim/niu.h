// SPDX-License-Identifier: Apache-2.0
// The interfaces by which a tile is on the two NoCs, as registers. Source: tt-isa-documentation (NIU), tt-umd.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>

#include "tools/sim/access.h"
#include "tools/sim/grid.h"
#include "tools/sim/noc_initiator.h"

namespace warden::sim {

// One NoC interface's registers: identity, request initiators with their counters, and storage for what is configured.
// Offsets inside its page.
class NiuRegisters {
 public:
  static constexpr std::uint64_t kSizeBytes = 0x1000;

  // Without a NoC nothing can be sent.
  NiuRegisters(const Grid& grid, Coordinate tile, bool noc1, Noc* noc = nullptr)
      : grid_(grid), tile_(tile), noc1_(noc1), initiators_(grid, tile, noc1, noc) {}
  [[nodiscard]] std::uint32_t read_word(std::uint64_t offset) const;
  void write_word(std::uint64_t offset, std::uint32_t value);
  void reset();
  // A request of transaction 0 whose answer never comes.
  [[nodiscard]] std::span<const std::byte> counters() const noexcept { return initiators_.counters(); }
  void set_stuck(bool stuck) noexcept { stuck_ = stuck; }

 private:
  [[nodiscard]] std::uint32_t node_id() const noexcept;
  [[nodiscard]] std::uint32_t endpoint_id() const noexcept;

  const Grid& grid_;
  Coordinate tile_;
  bool noc1_;
  bool stuck_ = false;
  NocInitiators initiators_;
  std::map<std::uint64_t, std::uint32_t> stored_;
};

// A pair of them, and where a tile shows them.
class NiuPair {
 public:
  NiuPair(const Grid& grid, Coordinate tile, std::uint64_t noc0_begin, std::uint64_t noc1_begin, Noc* noc = nullptr)
      : noc0_(grid, tile, false, noc), noc1_(grid, tile, true, noc), noc0_begin_(noc0_begin), noc1_begin_(noc1_begin) {}

  [[nodiscard]] bool contains(std::uint64_t address, std::size_t length) const noexcept;
  // contains(address, length) holds.
  void read(std::uint64_t address, std::span<std::byte> into) const;
  [[nodiscard]] Access write(std::uint64_t address, std::span<const std::byte> from);
  void reset();

  [[nodiscard]] NiuRegisters& of(bool noc1) noexcept { return noc1 ? noc1_ : noc0_; }
  [[nodiscard]] const NiuRegisters& of(bool noc1) const noexcept { return noc1 ? noc1_ : noc0_; }

 private:
  NiuRegisters noc0_;
  NiuRegisters noc1_;
  std::uint64_t noc0_begin_;
  std::uint64_t noc1_begin_;
};

}  // namespace warden::sim
