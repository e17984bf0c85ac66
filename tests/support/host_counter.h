// SPDX-License-Identifier: Apache-2.0
// A program for a core of a simulated Wormhole that keeps writing to the host's memory.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/support/rv32_assembler.h"

namespace warden::test {

inline constexpr std::uint32_t kHostCounter = 0x300;  // in L1 of the core's tile, which is (1,1)

// Counts at kHostCounter of tile (1,1), for ever, and sends each number over NoC #0 to the host's `address`, which
// begins a page. The registers are those of the tile's first request initiator.
inline std::vector<rv32::Word> counting_to_host(std::uint64_t address) {
  using namespace rv32;  // NOLINT(google-build-using-namespace): an assembler's mnemonics
  constexpr Word kRegisters = 0xFFB20000;
  constexpr Word kHere = 1 << 4 | 1 << 10;       // (1,1)
  constexpr Word kHostBelow4K = 0x1000 - 0xC00;  // (0,3) is 3 << 10, which is no immediate by itself
  const auto address_high = static_cast<std::int32_t>(address >> 32);
  return {lui(7, kRegisters),
          addi(5, 0, kHostCounter),
          sw(5, 7, 0x00),  // from
          addi(5, 0, kHere),
          sw(5, 7, 0x04),  //
          lui(5, static_cast<Word>(address)),
          sw(5, 7, 0x0C),  // to
          lui(5, 0x1000),
          addi(5, 5, address_high - static_cast<std::int32_t>(kHostBelow4K)),  //
          sw(5, 7, 0x10),                                                      //
          addi(5, 0, 0x12),
          sw(5, 7, 0x1C),
          addi(5, 0, 4),
          sw(5, 7, 0x20),
          addi(8, 0, 1),  // a write, 4 bytes
          lw(5, 0, kHostCounter),
          addi(5, 5, 1),
          sw(5, 0, kHostCounter),  // count,
          sw(8, 7, 0x28),
          lw(6, 7, 0x28),
          bne(6, 0, -4),
          jal(0, -24)};  // send, wait, again
}

}  // namespace warden::test
