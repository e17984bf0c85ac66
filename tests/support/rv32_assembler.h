// SPDX-License-Identifier: Apache-2.0
// The bits of RV32IM instructions, for tests that write small programs by hand.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <span>

namespace warden::test::rv32 {

using Word = std::uint32_t;

constexpr Word r_type(Word funct7, Word funct3, Word rd, Word rs1, Word rs2) {
  return funct7 << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | 0x33;
}
constexpr Word i_type(Word opcode, Word funct3, Word rd, Word rs1, std::int32_t immediate) {
  return static_cast<Word>(immediate) << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode;
}
constexpr Word lui(Word rd, Word upper) { return (upper & 0xFFFFF000U) | rd << 7 | 0x37; }
constexpr Word auipc(Word rd, Word upper) { return (upper & 0xFFFFF000U) | rd << 7 | 0x17; }
constexpr Word addi(Word rd, Word rs1, std::int32_t value) { return i_type(0x13, 0, rd, rs1, value); }
constexpr Word load(Word funct3, Word rd, Word rs1, std::int32_t offset) {
  return i_type(0x03, funct3, rd, rs1, offset);
}
constexpr Word lw(Word rd, Word rs1, std::int32_t offset) { return load(2, rd, rs1, offset); }
constexpr Word store(Word funct3, Word rs2, Word rs1, std::int32_t offset) {
  const auto bits = static_cast<Word>(offset);
  return (bits >> 5 & 0x7F) << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | (bits & 0x1F) << 7 | 0x23;
}
constexpr Word sw(Word rs2, Word rs1, std::int32_t offset) { return store(2, rs2, rs1, offset); }
constexpr Word branch(Word funct3, Word rs1, Word rs2, std::int32_t offset) {
  const auto bits = static_cast<Word>(offset);
  return (bits >> 12 & 1) << 31 | (bits >> 5 & 0x3F) << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 |
         (bits >> 1 & 0xF) << 8 | (bits >> 11 & 1) << 7 | 0x63;
}
constexpr Word beq(Word rs1, Word rs2, std::int32_t offset) { return branch(0, rs1, rs2, offset); }
constexpr Word bne(Word rs1, Word rs2, std::int32_t offset) { return branch(1, rs1, rs2, offset); }
constexpr Word jal(Word rd, std::int32_t offset) {
  const auto bits = static_cast<Word>(offset);
  return (bits >> 20 & 1) << 31 | (bits >> 1 & 0x3FF) << 21 | (bits >> 11 & 1) << 20 | (bits >> 12 & 0xFF) << 12 |
         rd << 7 | 0x6F;
}
constexpr Word jalr(Word rd, Word rs1, std::int32_t offset) { return i_type(0x67, 0, rd, rs1, offset); }
constexpr Word kEcall = 0x00000073;
constexpr Word kEbreak = 0x00100073;
constexpr Word kFence = 0x0FF0000F;

inline void place(std::span<std::byte> memory, std::size_t address, std::initializer_list<Word> program) {
  for (const Word word : program) {
    std::memcpy(memory.data() + address, &word, sizeof(word));
    address += sizeof(word);
  }
}

}  // namespace warden::test::rv32
