// SPDX-License-Identifier: Apache-2.0
// RV32IM instructions, decoded once into what an interpreter can run without looking at bits again.
// Source: The RISC-V Instruction Set Manual, volume I (unprivileged), RV32I 2.1 and M 2.0.
#pragma once

#include <cstdint>

namespace warden::sim::rv32 {

// Every operation with the shape that its operands have. kUndecoded is zero: memory fresh from the kernel.
// clang-format off
#define WARDEN_RV32_OPERATIONS(X)                                                 \
  X(Undecoded) X(End) X(Illegal) X(Pause) X(Fence) X(SetRegister) X(Jal) X(Jalr)  \
  X(Beq) X(Bne) X(Blt) X(Bge) X(Bltu) X(Bgeu)                                     \
  X(Lb) X(Lh) X(Lw) X(Lbu) X(Lhu) X(Sb) X(Sh) X(Sw)                               \
  X(Addi) X(Slti) X(Sltiu) X(Xori) X(Ori) X(Andi) X(Slli) X(Srli) X(Srai)         \
  X(Add) X(Sub) X(Sll) X(Slt) X(Sltu) X(Xor) X(Srl) X(Sra) X(Or) X(And)           \
  X(Mul) X(Mulh) X(Mulhsu) X(Mulhu) X(Div) X(Divu) X(Rem) X(Remu)
// clang-format on

enum class Operation : std::uint8_t {
#define WARDEN_RV32_NAME(name) k##name,
  WARDEN_RV32_OPERATIONS(WARDEN_RV32_NAME)
#undef WARDEN_RV32_NAME
};

// Writes to x0 go where nobody reads.
inline constexpr std::uint8_t kSinkRegister = 32;
inline constexpr unsigned kRegisterCount = 33;

struct Instruction {
  Operation operation;
  std::uint8_t rd;
  std::uint8_t rs1;
  std::uint8_t rs2;
  // SetRegister (lui, auipc): the value. Branches and Jal: how many instructions away the target is. Else as encoded,
  // sign-extended.
  std::int32_t immediate;
};
static_assert(sizeof(Instruction) == 8);

// `index`: of the instruction in a code memory of `count` words, whose entry number `count` is an End. Targets
// outside it, or between instructions, lead there.
[[nodiscard]] Instruction decode(std::uint32_t word, std::uint32_t index, std::uint32_t count) noexcept;

}  // namespace warden::sim::rv32
