// SPDX-License-Identifier: Apache-2.0
// RV32IM in the plainest way, a switch over the bits of each instruction: what the simulator's interpreter is compared
// with, in what it does and in how fast it does it. Knows memory only, from 0; ecall and ebreak end it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace warden::test::rv32 {

class PlainCore {
 public:
  explicit PlainCore(std::span<std::byte> memory) : memory_(memory) {}

  // False at an ecall, an ebreak, or anything it does not know.
  bool step() {
    std::uint32_t i = 0;
    if (pc + 4 > memory_.size()) return false;
    std::memcpy(&i, memory_.data() + pc, 4);
    const std::uint32_t rd = i >> 7 & 31;
    const std::uint32_t f3 = i >> 12 & 7;
    const std::uint32_t f7 = i >> 25;
    const std::uint32_t a = x[i >> 15 & 31];
    const std::uint32_t b = x[i >> 20 & 31];
    const auto imm_i = static_cast<std::uint32_t>(static_cast<std::int32_t>(i) >> 20);
    std::uint32_t next = pc + 4;
    switch (i & 0x7F) {
      case 0x37: set(rd, i & 0xFFFFF000U); break;
      case 0x17: set(rd, pc + (i & 0xFFFFF000U)); break;
      case 0x6F: {
        std::uint32_t offset = (i >> 21 & 0x3FF) << 1 | (i >> 20 & 1) << 11 | (i >> 12 & 0xFF) << 12;
        if ((i >> 31) != 0) offset |= 0xFFF00000U;
        set(rd, next);
        next = pc + offset;
        break;
      }
      case 0x67:
        if (f3 != 0) return false;
        next = (a + imm_i) & ~1U;
        set(rd, pc + 4);
        break;
      case 0x63: {
        std::uint32_t offset = (i >> 8 & 0xF) << 1 | (i >> 25 & 0x3F) << 5 | (i >> 7 & 1) << 11;
        if ((i >> 31) != 0) offset |= 0xFFFFF000U;
        if (f3 == 2 || f3 == 3) return false;
        if (taken(f3, a, b)) next = pc + offset;
        break;
      }
      case 0x03:
        if (!load(rd, f3, a + imm_i)) return false;
        break;
      case 0x23:
        if (!store(f3, a + ((i >> 7 & 31) | (imm_i & ~31U)), b)) return false;
        break;
      case 0x13:
        if ((f3 == 1 && f7 != 0) || (f3 == 5 && f7 != 0 && f7 != 0x20)) return false;
        set(rd, compute(f3, f3 == 5 ? f7 : 0, a, f3 == 1 || f3 == 5 ? imm_i & 31 : imm_i));
        break;
      case 0x33:
        if (f7 == 1) {
          set(rd, multiply(f3, a, b));
        } else if (f7 == 0 || (f7 == 0x20 && (f3 == 0 || f3 == 5))) {
          set(rd, compute(f3, f7, a, b));
        } else {
          return false;
        }
        break;
      case 0x0F: break;
      default: return false;
    }
    pc = next;
    return true;
  }

  std::array<std::uint32_t, 32> x{};
  std::uint32_t pc = 0;

 private:
  void set(std::uint32_t rd, std::uint32_t value) {
    if (rd != 0) x[rd] = value;
  }
  static std::int32_t s(std::uint32_t value) { return static_cast<std::int32_t>(value); }
  static bool taken(std::uint32_t f3, std::uint32_t a, std::uint32_t b) {
    const bool base = f3 < 4 ? a == b : (f3 < 6 ? s(a) < s(b) : a < b);
    return base != ((f3 & 1) != 0);
  }
  static std::uint32_t compute(std::uint32_t f3, std::uint32_t f7, std::uint32_t a, std::uint32_t b) {
    switch (f3) {
      case 0: return f7 == 0x20 ? a - b : a + b;
      case 1: return a << (b & 31);
      case 2: return s(a) < s(b) ? 1 : 0;
      case 3: return a < b ? 1 : 0;
      case 4: return a ^ b;
      case 5: return f7 == 0x20 ? static_cast<std::uint32_t>(s(a) >> (b & 31)) : a >> (b & 31);
      case 6: return a | b;
      default: return a & b;
    }
  }
  static std::uint32_t multiply(std::uint32_t f3, std::uint32_t a, std::uint32_t b) {
    const auto wide = [](std::uint32_t v) { return static_cast<std::int64_t>(s(v)); };
    const bool overflow = a == 0x80000000U && b == 0xFFFFFFFFU;
    switch (f3) {
      case 0: return a * b;
      case 1: return static_cast<std::uint32_t>(wide(a) * wide(b) >> 32);
      case 2: return static_cast<std::uint32_t>(wide(a) * static_cast<std::int64_t>(b) >> 32);
      case 3: return static_cast<std::uint32_t>(static_cast<std::uint64_t>(a) * b >> 32);
      case 4: return b == 0 ? ~0U : overflow ? a : static_cast<std::uint32_t>(s(a) / s(b));
      case 5: return b == 0 ? ~0U : a / b;
      case 6: return b == 0 ? a : overflow ? 0 : static_cast<std::uint32_t>(s(a) % s(b));
      default: return b == 0 ? a : a % b;
    }
  }
  bool load(std::uint32_t rd, std::uint32_t f3, std::uint32_t address) {
    const std::uint32_t bytes = 1U << (f3 & 3);
    address &= ~(bytes - 1);
    if (f3 == 3 || f3 > 5 || address + bytes > memory_.size()) return false;
    std::uint32_t value = 0;
    std::memcpy(&value, memory_.data() + address, bytes);
    if (f3 == 0) value = static_cast<std::uint32_t>(s(value << 24) >> 24);
    if (f3 == 1) value = static_cast<std::uint32_t>(s(value << 16) >> 16);
    set(rd, value);
    return true;
  }
  bool store(std::uint32_t f3, std::uint32_t address, std::uint32_t value) {
    const std::uint32_t bytes = 1U << (f3 & 3);
    address &= ~(bytes - 1);
    if (f3 > 2 || address + bytes > memory_.size()) return false;
    std::memcpy(memory_.data() + address, &value, bytes);
    return true;
  }

  std::span<std::byte> memory_;
};

}  // namespace warden::test::rv32
