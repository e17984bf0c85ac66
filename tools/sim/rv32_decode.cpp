// SPDX-License-Identifier: Apache-2.0
// From the bits of an instruction to its operation and operands.
#include "tools/sim/rv32_decode.h"

#include <array>
#include <cstddef>

namespace warden::sim::rv32 {

namespace {

enum class Opcode : std::uint8_t {
  kLoad = 0x03,
  kMiscMem = 0x0F,
  kOpImm = 0x13,
  kAuipc = 0x17,
  kStore = 0x23,
  kOp = 0x33,
  kLui = 0x37,
  kBranch = 0x63,
  kJalr = 0x67,
  kJal = 0x6F,
  kSystem = 0x73,
};

using enum Operation;

std::uint32_t bits(std::uint32_t word, unsigned first, unsigned count) noexcept {
  return word >> first & ((1U << count) - 1);
}

std::int32_t sign_extended(std::uint32_t value, unsigned width) noexcept {
  return static_cast<std::int32_t>(value << (32 - width)) >> (32 - width);
}

std::int32_t immediate_i(std::uint32_t word) noexcept { return sign_extended(word >> 20, 12); }
std::int32_t immediate_s(std::uint32_t word) noexcept {
  return sign_extended(bits(word, 25, 7) << 5 | bits(word, 7, 5), 12);
}
std::int32_t immediate_b(std::uint32_t word) noexcept {
  return sign_extended(
      bits(word, 31, 1) << 12 | bits(word, 7, 1) << 11 | bits(word, 25, 6) << 5 | bits(word, 8, 4) << 1, 13);
}
std::int32_t immediate_j(std::uint32_t word) noexcept {
  return sign_extended(
      bits(word, 31, 1) << 20 | bits(word, 12, 8) << 12 | bits(word, 20, 1) << 11 | bits(word, 21, 10) << 1, 21);
}
std::uint32_t immediate_u(std::uint32_t word) noexcept { return word & 0xFFFFF000U; }

using ByFunct3 = std::array<Operation, 8>;
constexpr ByFunct3 kBranches = {kBeq, kBne, kIllegal, kIllegal, kBlt, kBge, kBltu, kBgeu};
constexpr ByFunct3 kLoads = {kLb, kLh, kLw, kIllegal, kLbu, kLhu, kIllegal, kIllegal};
constexpr ByFunct3 kStores = {kSb, kSh, kSw, kIllegal, kIllegal, kIllegal, kIllegal, kIllegal};
constexpr ByFunct3 kImmediates = {kAddi, kSlli, kSlti, kSltiu, kXori, kSrli, kOri, kAndi};
constexpr ByFunct3 kArithmetic = {kAdd, kSll, kSlt, kSltu, kXor, kSrl, kOr, kAnd};
constexpr ByFunct3 kMultiplications = {kMul, kMulh, kMulhsu, kMulhu, kDiv, kDivu, kRem, kRemu};

Operation arithmetic(std::uint32_t funct3, std::uint32_t funct7) noexcept {
  if (funct7 == 0x00) return kArithmetic[funct3];
  if (funct7 == 0x01) return kMultiplications[funct3];
  if (funct7 == 0x20 && kArithmetic[funct3] == kAdd) return kSub;
  if (funct7 == 0x20 && kArithmetic[funct3] == kSrl) return kSra;
  return kIllegal;
}

Operation immediate_arithmetic(std::uint32_t funct3, std::uint32_t funct7) noexcept {
  const Operation operation = kImmediates[funct3];
  if (operation != kSlli && operation != kSrli) return operation;
  if (funct7 == 0x00) return operation;
  return operation == kSrli && funct7 == 0x20 ? kSrai : kIllegal;
}

// How far the target is, in instructions.
std::int32_t distance(std::int32_t offset_bytes, std::uint32_t index, std::uint32_t count) noexcept {
  const std::int64_t target = std::int64_t{index} * 4 + offset_bytes;
  const bool inside = target >= 0 && target % 4 == 0 && target / 4 < count;
  return static_cast<std::int32_t>((inside ? target / 4 : count) - index);
}

}  // namespace

Instruction decode(std::uint32_t word, std::uint32_t index, std::uint32_t count) noexcept {
  const std::uint32_t funct3 = bits(word, 12, 3);
  const std::uint32_t funct7 = bits(word, 25, 7);
  const auto rd = static_cast<std::uint8_t>(bits(word, 7, 5));
  Instruction out{.operation = kIllegal,
                  .rd = rd == 0 ? kSinkRegister : rd,
                  .rs1 = static_cast<std::uint8_t>(bits(word, 15, 5)),
                  .rs2 = static_cast<std::uint8_t>(bits(word, 20, 5)),
                  .immediate = 0};
  const auto as = [&](Operation operation, std::int32_t immediate) {
    out.operation = operation;
    out.immediate = immediate;
    return out;
  };
  switch (static_cast<Opcode>(bits(word, 0, 7))) {
    case Opcode::kLui: return as(kSetRegister, static_cast<std::int32_t>(immediate_u(word)));
    case Opcode::kAuipc: return as(kSetRegister, static_cast<std::int32_t>(immediate_u(word) + index * 4));
    case Opcode::kJal: return as(kJal, distance(immediate_j(word), index, count));
    case Opcode::kJalr: return as(funct3 == 0 ? kJalr : kIllegal, immediate_i(word));
    case Opcode::kBranch: return as(kBranches[funct3], distance(immediate_b(word), index, count));
    case Opcode::kLoad: return as(kLoads[funct3], immediate_i(word));
    case Opcode::kStore: return as(kStores[funct3], immediate_s(word));
    case Opcode::kOpImm: {
      const Operation operation = immediate_arithmetic(funct3, funct7);
      const bool shift = funct3 == 1 || funct3 == 5;
      return as(operation, shift ? out.rs2 : immediate_i(word));
    }
    case Opcode::kOp: return as(arithmetic(funct3, funct7), 0);
    case Opcode::kMiscMem: return as(kFence, 0);
    case Opcode::kSystem: return as(word == 0x00000073 || word == 0x00100073 ? kPause : kIllegal, 0);
    default: return out;
  }
}

}  // namespace warden::sim::rv32
