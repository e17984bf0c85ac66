// SPDX-License-Identifier: Apache-2.0
// What the simulator costs the host while every linked Ethernet core of the largest board waits: for one of two words
// in its L1, and for the clock, by which it moves a heartbeat 20 times a second.

#include <ctime>
#include <memory>
#include <set>
#include <vector>

#include "driver/vfio/device.h"
#include "tests/bench/benchmarks.h"
#include "tests/support/host.h"
#include "tests/support/rv32_assembler.h"
#include "tools/sim/board.h"

namespace warden::bench {

namespace {

namespace rv = test::rv32;

constexpr std::uint32_t kBar0 = 0;
constexpr std::uint64_t kWindow = 166;  // the first of 16 MiB
constexpr std::uint64_t kWindowBegin = 0xB000000;
constexpr std::uint64_t kWindowRegister = 0x1FC00000 + 8 * kWindow;
constexpr std::uint64_t kSoftReset = 0xB121B0;  // in the window onto 0xFF000000
constexpr std::uint32_t kHeartbeat = 0x18000;
constexpr rv::Word kTicks = 50'000'000;  // of 1 GHz between two beats
constexpr double kShareMax = 5;          // per cent of one processor that quiet routers may cost

const std::vector<rv::Word>& program() {
  constexpr rv::Word kUpper = (kTicks + 0x800) & 0xFFFFF000U;
  static const std::vector<rv::Word> kProgram = {
      rv::lui(5, kHeartbeat), rv::lui(7, 0xFFB12000), rv::lui(10, kUpper),
      rv::addi(10, 10, static_cast<std::int32_t>(kTicks - kUpper)), rv::lw(11, 7, 0x1F0),
      // waits
      rv::lw(8, 5, 0x100), rv::bne(8, 0, 0), rv::lw(8, 5, 0x200), rv::bne(8, 0, 0), rv::lw(12, 7, 0x1F0),
      rv::r_type(0x20, 0, 13, 12, 11), rv::branch(6, 13, 10, -24),
      // beats
      rv::addi(11, 12, 0), rv::lw(14, 5, 0), rv::addi(14, 14, 1), rv::sw(14, 5, 0), rv::jal(0, -44)};
  return kProgram;
}

class Board {
 public:
  [[nodiscard]] Status open(unsigned links) {
    options_.board = {.kind = "mesh", .rows = 4, .columns = 8};
    options_.links_per_edge = static_cast<std::uint8_t>(links);
    if (!host_.start_simulator({"--board", "mesh:4x8", "--links", std::to_string(links)})) {
      return fail(Code::kFailed, host_.why());
    }
    for (unsigned chip = 0; chip < options_.board.chips(); ++chip) {
      auto device = vfio::open("vfio-user:" + host_.directory() + "/sim/chip" + std::to_string(chip) + ".sock");
      if (!device) return std::unexpected(std::move(device).error());
      chips_.push_back(std::move(*device));
    }
    for (const sim::Cable& cable : sim::cables_of(options_)) {
      for (const sim::Cable::End& end : cable.ends) {
        if (Status done = load(end); !done) return done;
      }
    }
    return {};
  }
  // Seconds of processor time that the simulator has used.
  [[nodiscard]] double seconds() {
    clockid_t clock{};
    timespec used{};
    (void)::clock_getcpuclockid(host_.simulator_process().pid(), &clock);
    (void)::clock_gettime(clock, &used);
    return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
  }
  // Of the core that was loaded last.
  [[nodiscard]] Result<std::uint32_t> heartbeat() {
    const sim::Cable::End end = sim::cables_of(options_).back().ends[1];
    if (Status done = aim(end, 0); !done) return std::unexpected(done.error());
    std::uint32_t beats = 0;
    const Status done =
        chips_[end.chip]->read(kBar0, kWindowBegin + kHeartbeat, std::as_writable_bytes(std::span(&beats, 1)));
    if (!done) return std::unexpected(done.error());
    return beats;
  }

 private:
  [[nodiscard]] Status write32(unsigned chip, std::uint64_t offset, std::uint32_t value) {
    return chips_[chip]->write(kBar0, offset, std::as_bytes(std::span(&value, 1)));
  }
  [[nodiscard]] Status aim(const sim::Cable::End& end, std::uint32_t piece) {
    const sim::Coordinate tile = sim::ethernet_tile(end.channel);
    if (Status done = write32(end.chip, kWindowRegister, piece | tile.x << 12U | tile.y << 18U); !done) return done;
    return write32(end.chip, kWindowRegister + 4, 1U << 6);  // strict order
  }
  [[nodiscard]] Status load(const sim::Cable::End& end) {
    if (Status done = aim(end, 0); !done) return done;
    if (Status done = chips_[end.chip]->write(kBar0, kWindowBegin, std::as_bytes(std::span(program()))); !done)
      return done;
    if (Status done = aim(end, 0xFF); !done) return done;
    return write32(end.chip, kWindowBegin + kSoftReset, 0);
  }

  test::Host host_;
  sim::BoardOptions options_;
  std::vector<std::unique_ptr<vfio::Device>> chips_;
};

Result<Entry> measure(unsigned links, const Options& options) {
  Board board;
  if (Status done = board.open(links); !done) return std::unexpected(done.error());
  const auto before = board.heartbeat();
  if (!before) return std::unexpected(before.error());
  gap(1'000'000'000);  // until all doze
  std::vector<double> shares;
  for (int round = 0; round < (options.quick ? 1 : 9); ++round) {
    const double used = board.seconds();
    const std::uint64_t begin = now_ns();
    gap(options.quick ? 200'000'000 : 1'000'000'000);
    shares.push_back((board.seconds() - used) * 100e9 / static_cast<double>(now_ns() - begin));
  }
  const auto after = board.heartbeat();
  if (!after) return std::unexpected(after.error());
  if (*after == *before) return fail(Code::kFailed, "a core has no heartbeat");
  return Entry{.name = "idle/4x8/" + std::to_string(links),
               .value = median(shares),
               .unit = "%",
               .baseline = "what quiet routers may cost",
               .baseline_value = kShareMax,
               .goal = "<= 1"};
}

}  // namespace

Result<Entries> bench_idle(const Options& options) {
  Entries entries;
  for (const unsigned links : {1U, 4U}) {
    auto entry = measure(links, options);
    if (!entry) return std::unexpected(std::move(entry).error());
    entries.push_back(*entry);
  }
  return entries;
}

}  // namespace warden::bench
