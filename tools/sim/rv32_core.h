// SPDX-License-Identifier: Apache-2.0
// One baby core: RV32IM, in order, running from the L1 of its tile. fence does nothing, ecall and ebreak pause the
// core, misaligned accesses round down, a load from nowhere hangs it. Source: tt-isa-documentation (BabyRISCV).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "tools/sim/rv32_decode.h"
#include "tools/sim/zero_memory.h"

namespace warden::sim::rv32 {

// What a core reaches beyond L1 and its own RAM: the registers of its tile.
class Bus {
 public:
  struct Load {
    std::uint32_t word = 0;
    bool moves_by_itself = false;  // a clock: the next load may give something else without anybody's doing
  };
  virtual ~Bus() = default;
  // Word-aligned. Nothing there: the core hangs.
  [[nodiscard]] virtual std::optional<Load> load(std::uint32_t address) = 0;
  // `bytes` 1, 2 or 4, aligned to it; the value is in the low bits.
  virtual void store(std::uint32_t address, std::uint32_t value, unsigned bytes) = 0;
};

enum class Stop : std::uint8_t {
  kBudget,  // has run as long as it was let
  // Waits for something outside: it runs a loop that stores nothing and that will read the same for ever, until
  // somebody else writes to what it reads (or, if polls_clock(), until time has passed).
  kIdle,
  kPaused,  // ecall or ebreak: only a reset helps, as for the next
  kHung,
};

// Threads: one at a time, which is also alone with the L1.
class Core {
 public:
  static constexpr std::uint32_t kLocalBegin = 0xFFB00000;
  static constexpr std::size_t kLocalBytes = 4096;

  // `l1`: its size is a multiple of 4. Both are borrowed.
  Core(std::span<std::byte> l1, Bus& bus);

  // Out of reset: registers zero, nothing decoded is known any more, and so is what was written over code since.
  void start(std::uint32_t pc);

  // Runs about `budget` instructions: straight code is not cut. kPaused and kHung answer at once and for ever.
  [[nodiscard]] Stop run(std::uint64_t budget);

  [[nodiscard]] std::uint32_t pc() const noexcept { return pc_; }
  [[nodiscard]] std::uint32_t x(unsigned index) const noexcept { return x_[index]; }
  [[nodiscard]] std::uint64_t instructions() const noexcept { return instructions_; }
  // After kIdle.
  [[nodiscard]] bool polls_clock() const noexcept { return clock_read_; }
  // The last run stored something.
  [[nodiscard]] bool has_stored() const noexcept { return has_stored_; }
  // After kHung: one line.
  [[nodiscard]] std::string hang_reason() const;

 private:
  enum class Hang : std::uint8_t { kNone, kFetch, kIllegal, kLoad };
  using Registers = std::array<std::uint32_t, kRegisterCount>;

  [[nodiscard]] bool load_far(std::uint32_t address, std::uint32_t& word);
  void store_far(std::uint32_t address, std::uint32_t value, unsigned bytes);
  void decode_at(Instruction* at) noexcept;
  Stop hang(Hang why, std::uint32_t about) noexcept;

  std::span<std::byte> l1_;
  Bus& bus_;
  ZeroMemory decoded_;  // an Instruction for every word of L1, and an End
  std::array<std::byte, kLocalBytes> local_{};
  Registers x_{};
  std::uint32_t pc_ = 0;
  std::uint64_t instructions_ = 0;
  bool clock_read_ = false;
  bool has_stored_ = false;
  bool idle_ = false;  // the last run ended so
  std::optional<Stop> halted_;
  Hang hang_ = Hang::kNone;
  std::uint32_t hang_about_ = 0;
};

}  // namespace warden::sim::rv32
