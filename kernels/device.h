// SPDX-License-Identifier: Apache-2.0
// What every program of the card stands on: words of its tile, and the wall clock. Nothing here is for the host.
#pragma once

#include <stddef.h>  // NOLINT(modernize-deprecated-headers): the card's compiler has no <cstddef>, nor the next
#include <stdint.h>  // NOLINT(modernize-deprecated-headers)

namespace warden::kernels {

// What others write or the hardware looks at: every access happens, and in the order of the program.
template <typename Value = uint32_t>
inline volatile Value& at(uint32_t address) {
  return *reinterpret_cast<volatile Value*>(uintptr_t{address});
}

// A store to L1 and a store to a register take different ways: the register may be there first. Once the last word
// stored has been loaded again, and the core has needed its value, all of them are in L1.
inline void settle(uint32_t last_stored_address) {
  const uint32_t value = at(last_stored_address);
  asm volatile("andi x0, %0, 0" : : "r"(value) : "memory");
}

// What is read without `volatile` from here on is read from memory.
inline void forget_memory() { asm volatile("" : : : "memory"); }

constexpr uint32_t kTensixL1Bytes = 1464 * 1024;  // no tile has more
// Where a word may be stored without knowing the tile: memory, never a register.
constexpr bool is_memory_word(uint32_t address) { return address % 4 == 0 && address < kTensixL1Bytes; }

constexpr uint32_t kClocksPerMillisecond = 1'000'000;  // 1 GHz

inline uint32_t clock_low() { return at(0xFFB121F0); }
inline uint64_t wall_clock() {
  const uint32_t low = clock_low();  // latches the other half
  return uint64_t{at(0xFFB121F8)} << 32 | low;
}

// 64 bits, for readers of both halves as good as two words can be.
inline void store_wide(volatile uint32_t& low, volatile uint32_t& high, uint64_t value) {
  high = static_cast<uint32_t>(value >> 32);
  low = static_cast<uint32_t>(value);
}

}  // namespace warden::kernels
