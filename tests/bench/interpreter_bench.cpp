// SPDX-License-Identifier: Apache-2.0
// How many instructions of the card's cores the simulator runs in a second, beside a plain interpreter: a switch over
// the bits of each instruction. The program sums up 4 KiB and mixes it back, with a load, a store and a branch among
// nine instructions.
#include <algorithm>
#include <memory>
#include <vector>

#include "tests/bench/benchmarks.h"
#include "tests/support/rv32_assembler.h"
#include "tests/support/rv32_plain.h"
#include "tools/sim/rv32_core.h"
#include "tools/sim/zero_memory.h"

namespace warden::bench {

namespace {

namespace rv = test::rv32;

constexpr std::size_t kL1Bytes = 1464 * 1024;
constexpr std::uint64_t kTurn = 2000;  // instructions, as the simulator's chips have it

class NoRegisters final : public sim::rv32::Bus {
 public:
  std::optional<Load> load(std::uint32_t) override { return std::nullopt; }
  void store(std::uint32_t, std::uint32_t, unsigned) override {}
};

void place_program(std::span<std::byte> l1) {
  rv::place(l1, 0,
            {rv::lui(5, 0x10000), rv::addi(6, 0, 1024), rv::lw(8, 5, 0), rv::r_type(0, 0, 7, 7, 8),
             rv::i_type(0x13, 1, 9, 7, 5), rv::r_type(0, 4, 7, 7, 9), rv::sw(7, 5, 4), rv::addi(5, 5, 4),
             rv::addi(6, 6, -1), rv::bne(6, 0, -28), rv::jal(0, -40)});
}

struct Simulated {
  Simulated() { place_program(l1.bytes()); }
  void turn() { (void)core.run(kTurn); }
  sim::ZeroMemory l1{kL1Bytes};
  NoRegisters bus;
  sim::rv32::Core core{l1.bytes(), bus};
};

struct Plain {
  Plain() { place_program(l1.bytes()); }
  void turn() {
    for (std::uint64_t i = 0; i < kTurn; ++i) (void)core.step();
  }
  sim::ZeroMemory l1{kL1Bytes};
  rv::PlainCore core{l1.bytes()};
};

// Millions a second, of all cores together.
template <typename Core>
double rate(std::vector<std::unique_ptr<Core>>& cores, std::uint64_t turns) {
  const std::uint64_t start = now_ns();
  for (std::uint64_t turn = 0; turn < turns; ++turn) {
    for (auto& core : cores) core->turn();
  }
  return static_cast<double>(turns * cores.size() * kTurn) * 1000 / static_cast<double>(now_ns() - start);
}

Entry measure(std::size_t count, const Options& options) {
  std::vector<std::unique_ptr<Simulated>> simulated(count);
  std::vector<std::unique_ptr<Plain>> plain(count);
  for (auto& core : simulated) core = std::make_unique<Simulated>();
  for (auto& core : plain) core = std::make_unique<Plain>();
  const std::uint64_t turns = std::max<std::uint64_t>((options.quick ? 100 : 5000) / count, 1);
  std::vector<double> fast;
  std::vector<double> slow;
  for (int round = 0; round < (options.quick ? 2 : 15); ++round) {
    fast.push_back(rate(simulated, turns));
    slow.push_back(rate(plain, turns));
  }
  return {.name = "interpreter/" + std::to_string(count),
          .value = median(fast),
          .unit = "M/s",
          .baseline = "a switch over each instruction",
          .baseline_value = median(slow),
          .goal = "200 M/s"};
}

}  // namespace

Result<Entries> bench_interpreter(const Options& options) {
  return Entries{measure(1, options), measure(160, options)};
}

}  // namespace warden::bench
