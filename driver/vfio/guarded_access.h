// SPDX-License-Identifier: Apache-2.0
// Single loads and stores of a card's memory that can be survived: each is one instruction, listed in a table with the
// place to go on at when it faults. Without a handler (fault_handler.h) they fault like any other access; with one,
// they cost no instruction more.
#pragma once

#include <cstdint>

namespace warden::vfio {

#if defined(__x86_64__)
#define WARDEN_SURVIVABLE_ACCESSES 1
// One row of the table: the instruction at label 1 and where to go on, both as distances from their own place, so that
// nothing has to be relocated at start; and whether it was a load. "?" keeps the row with the function it is about,
// wherever the linker puts that.
#define WARDEN_FIX_UP(target, is_load)      \
  ".pushsection warden_fix_ups, \"a?\"\n\t" \
  ".balign 4\n\t"                           \
  ".long 1b - .\n\t"                        \
  ".long " target                           \
  " - .\n\t"                                \
  ".long " is_load                          \
  "\n\t"                                    \
  ".popsection"

// What a load returns that did not reach the card: all ones, as from the bus itself.
inline constexpr std::uint32_t kNothingThere = 0xFFFF'FFFF;

// In eax, where the handler puts kNothingThere.
inline std::uint32_t load32(const volatile std::uint32_t* from) noexcept {
  std::uint32_t value;
  asm volatile("1: movl %1, %0\n2:\n\t" WARDEN_FIX_UP("2b", "1") : "=a"(value) : "m"(*from));
  return value;
}

// Whether it was stored.
inline bool store32(volatile std::uint32_t* to, std::uint32_t value) noexcept {
  asm goto("1: movl %1, %0\n\t" WARDEN_FIX_UP("%l[lost]", "0") : "=m"(*to) : "r"(value) : : lost);
  return true;
lost:
  return false;
}
#undef WARDEN_FIX_UP

#else
#define WARDEN_SURVIVABLE_ACCESSES 0
inline constexpr std::uint32_t kNothingThere = 0xFFFF'FFFF;

inline std::uint32_t load32(const volatile std::uint32_t* from) noexcept { return *from; }
inline bool store32(volatile std::uint32_t* to, std::uint32_t value) noexcept {
  *to = value;
  return true;
}
#endif

}  // namespace warden::vfio
