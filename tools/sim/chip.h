// SPDX-License-Identifier: Apache-2.0
// One simulated Wormhole chip: its PCI function in front, the NoC with its tiles behind, and what resets and faults
// do to both. Not for several threads at once; whoever shares it locks (ChipFunction does).
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "tools/sim/access.h"
#include "tools/sim/arc.h"
#include "tools/sim/clock.h"
#include "tools/sim/core_tile.h"
#include "tools/sim/fault.h"
#include "tools/sim/grid.h"
#include "tools/sim/host_memory.h"
#include "tools/sim/noc.h"
#include "tools/sim/pci_config.h"
#include "tools/sim/pcie_tile.h"
#include "tools/sim/tile.h"
#include "tools/sim/windows.h"

namespace warden::sim {

// ASIC and board: by ARC message, behind the kernel's back. Function and link: by the kernel, which puts
// configuration space back. Close: what the kernel does when the last user of the function is gone; takes no time.
enum class ResetKind : std::uint8_t { kAsic, kBoard, kFunction, kLink, kClose };
inline constexpr std::array<std::string_view, 5> kResetNames = {"asic", "board", "function", "link", "close"};

struct ChipOptions {
  std::vector<std::uint8_t> harvested_rows;
  std::uint64_t board_id = 0;
  std::uint32_t asic_location = 0;
  PciOptions pci;
  std::chrono::milliseconds reset_duration{200};
};

struct Stats {
  std::uint64_t bar_accesses = 0;
  std::uint64_t bar_accesses_during_reset = 0;
  std::uint64_t config_accesses = 0;
  std::uint64_t config_accesses_during_reset = 0;
  std::array<std::uint64_t, kResetNames.size()> resets{};  // begun, by kind
  std::array<std::uint64_t, kAccessKinds> errors{};        // by Access; [kOk] stays 0
  std::uint64_t interrupts = 0;
};

class Chip : private Noc {
 public:
  // `has_work` is called, from any thread, when run_cores() should be called soon: a core begins to run, or a link has
  // something for us.
  Chip(const ChipOptions& options, NowFunction now, std::function<void()> has_work = [] {});
  Chip(const Chip&) = delete;
  Chip& operator=(const Chip&) = delete;

  // Ranges lie inside the space or BAR (0, 1, 2 for BAR0, BAR2, BAR4). Reads always give something: all ones when
  // nobody answers.
  void read_config(std::uint32_t offset, std::span<std::byte> into);
  // True if the write began a function-level reset.
  [[nodiscard]] bool write_config(std::uint32_t offset, std::span<const std::byte> from);
  void read_bar(std::size_t bar, std::uint64_t offset, std::span<std::byte> into);
  void write_bar(std::size_t bar, std::uint64_t offset, std::span<const std::byte> from);

  // Begins a reset that the ARC was not asked for: by the kernel (kFunction, kLink) or by the board controller
  // (kBoard), as an operator at the BMC would. False while another runs or the card is off the bus.
  [[nodiscard]] bool begin_reset(ResetKind kind);
  [[nodiscard]] bool function_level_reset_available() const noexcept { return options_.pci.function_level_reset; }
  // When the running reset ends; nothing if none runs, TimePoint::max() if it never does.
  [[nodiscard]] std::optional<TimePoint> reset_end();

  // A client comes and goes.
  void client_opened();
  void client_closed();

  void set_fault(Fault fault);
  [[nodiscard]] Fault fault() const noexcept { return fault_; }
  void set_reset_duration(std::chrono::milliseconds duration) noexcept { options_.reset_duration = duration; }

  // The kernel gives the card an interrupt vector (lost on a card that does not answer), or takes it back.
  void set_interrupts_enabled(bool enabled);
  // Whether an interrupt raised now gets through.
  [[nodiscard]] bool raise_interrupt();

  // Plugs a cable into an Ethernet tile, E0 to E15. Before the chip is used.
  void connect(std::uint8_t channel, LinkEnd end, const LinkIdentity& identity);
  // Pulls it out, or puts it back in; false: there is none.
  [[nodiscard]] bool set_plugged(std::uint8_t channel, bool plugged);

  // Short enough that cores which talk to each other do not wait long, long enough that changing costs little.
  static constexpr std::uint64_t kTurnInstructions = 2000;
  // Lets the cores run for about this many instructions altogether, in turns; at least one each. Answers when it should
  // be called again: nothing, when all wait for something to be written.
  [[nodiscard]] std::optional<TimePoint> run_cores(std::uint64_t instructions, std::uint64_t turn = kTurnInstructions);

  // As CoreTile::freeze() and thaw(), by NoC #0 coordinates; false also where no core is.
  [[nodiscard]] bool freeze_core(Coordinate tile);
  [[nodiscard]] bool thaw_core(Coordinate tile);
  [[nodiscard]] std::vector<Coordinate> frozen_cores();

  [[nodiscard]] HostMemory& host() noexcept { return host_; }
  [[nodiscard]] const Stats& stats() const noexcept { return stats_; }

  // For status reports; not accesses of a client.
  [[nodiscard]] std::uint16_t command() const noexcept { return config_.command(); }
  [[nodiscard]] const Arc& arc() const noexcept { return arc_; }
  [[nodiscard]] std::string_view state();
  [[nodiscard]] std::uint64_t touched_bytes() const noexcept;
  // Of all memory, and of what the interfaces to the NoCs have counted.
  struct Digests {
    std::uint64_t memory = 0;
    std::uint64_t counters = 0;
  };
  [[nodiscard]] Digests digests();

 private:
  struct RunningReset {
    ResetKind kind = ResetKind::kAsic;
    TimePoint end;
  };

  void make_tiles();
  void settle();
  void finish_reset(ResetKind kind, TimePoint when);
  void lose_pcie_side() noexcept;
  [[nodiscard]] bool arc_asks_for_reset(ArcReset kind);
  [[nodiscard]] bool answers();
  [[nodiscard]] Access read_bar0(std::uint64_t offset, std::span<std::byte> into);
  [[nodiscard]] Access write_bar0(std::uint64_t offset, std::span<const std::byte> from);
  [[nodiscard]] Access read_window(std::uint64_t offset, std::span<std::byte> into);
  [[nodiscard]] Access write_window(std::uint64_t offset, std::span<const std::byte> from);
  [[nodiscard]] std::expected<Tile*, Access> tile_at(unsigned x, unsigned y, bool noc1);
  [[nodiscard]] Access noc_read(bool noc1, NocPlace from, std::span<std::byte> into) override;
  [[nodiscard]] Access noc_write(bool noc1, NocPlace to, std::span<const std::byte> from) override;
  [[nodiscard]] MulticastResult noc_multicast(bool noc1, const NocRectangle& to,
                                              std::span<const std::byte> from) override;
  void core_woken(CoreTile& tile);
  [[nodiscard]] CoreTile* core_tile(Coordinate at);
  void links_go_down();
  void serve_links();
  void count(Access access) noexcept;

  ChipOptions options_;
  NowFunction now_;
  Grid grid_;
  PciConfig config_;
  WindowRegisters windows_;
  TranslationUnit translation_;
  HostMemory host_;
  Arc arc_;
  std::vector<SparseMemory> dram_;
  PcieTile* pcie_ = nullptr;
  std::array<std::unique_ptr<Tile>, std::size_t{kGridWidth} * kGridHeight> tiles_;
  std::vector<CoreTile*> cores_;
  std::function<void()> has_work_;
  std::vector<CoreTile*> linked_;        // Ethernet tiles with a cable
  std::atomic<bool> links_rung_{false};  // sync: chip.links_rung
  std::optional<TimePoint> links_due_;   // when the first training is over
  std::vector<CoreTile*> active_;        // those whose core runs, or waits for time
  std::optional<RunningReset> reset_;
  Fault fault_ = Fault::kNone;
  bool interrupts_enabled_ = false;
  Stats stats_;
};

}  // namespace warden::sim
