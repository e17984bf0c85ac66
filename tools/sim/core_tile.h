// SPDX-License-Identifier: Apache-2.0
// Tensix and Ethernet tiles: L1, the debug block with soft reset and wall clock, two network interfaces, one baby core
// (BRISC or ERISC) that runs while it is not held in reset, and the registers of blocks that do nothing, which keep
// what is written. The other four cores of a Tensix tile are inert. Source: tt-isa-documentation, tt-umd.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>

#include "tools/sim/ethernet_port.h"
#include "tools/sim/rv32_core.h"
#include "tools/sim/tile.h"
#include "tools/sim/zero_memory.h"

namespace warden::sim {

inline constexpr std::uint64_t kTensixL1Bytes = 1464 * 1024;
inline constexpr std::uint64_t kEthernetL1Bytes = 256 * 1024;

class CoreTile final : public Tile, private rv32::Bus {
 public:
  // What its core is about. One that waits goes on when something is written to its tile, from wherever.
  enum class Activity : std::uint8_t {
    kStopped,       // in reset, paused or hung
    kWaits,         // for somebody else
    kWaitsForTime,  // or for the clock
    kRuns
  };

  // `woken` is called whenever the core begins to run.
  CoreTile(const Grid& grid, Coordinate tile, NowFunction now, Noc& noc, std::function<void(CoreTile&)> woken);
  [[nodiscard]] Access read(std::uint64_t address, std::span<std::byte> into) override;
  [[nodiscard]] Access write(std::uint64_t address, std::span<const std::byte> from) override;
  void reset(TimePoint now) override;

  // Lets the core run for about this many instructions, during which its clock stands still at `now`. Answers how many
  // it were.
  std::uint64_t run(std::uint64_t instructions, TimePoint now);
  [[nodiscard]] Activity activity() const noexcept { return frozen_ ? Activity::kStopped : activity_; }
  // When a core that waits for time should be let run again: later and later while nothing comes of it, sooner and
  // sooner while something does every time.
  [[nodiscard]] TimePoint next_look() const noexcept { return next_look_; }

  // Takes its turns away from the core, wherever it is; its tile answers as ever. A reset gives them back, or thaw().
  // False: the core is held in reset, or not frozen.
  [[nodiscard]] bool freeze();
  [[nodiscard]] bool thaw();
  [[nodiscard]] bool frozen() const noexcept { return frozen_; }

  // From now on a request of its is not answered, if its cores have run since the last reset; or all are again.
  void set_noc_stuck(bool stuck);
  // Its Ethernet port; nothing on Tensix tiles.
  [[nodiscard]] EthernetPort* port() noexcept { return port_ ? &*port_ : nullptr; }
  // As EthernetPort::serve(); the core looks at what came of it.
  void serve_port(TimePoint now);

  [[nodiscard]] Coordinate place() const noexcept { return place_; }
  [[nodiscard]] std::span<const std::byte> l1() const noexcept { return l1_.bytes(); }
  [[nodiscard]] std::span<const std::byte> counters(bool noc1) const noexcept { return niu_.of(noc1).counters(); }
  [[nodiscard]] std::size_t touched_bytes() const { return l1_.touched_bytes(); }

 private:
  [[nodiscard]] std::optional<Load> load(std::uint32_t address) override;
  void store(std::uint32_t address, std::uint32_t value, unsigned bytes) override;

  [[nodiscard]] bool in_l1(std::uint64_t address, std::size_t length) const noexcept {
    return Range{0, l1_.bytes().size()}.contains(address, length);
  }
  [[nodiscard]] std::uint32_t read_register(std::uint64_t address);
  void write_register(std::uint64_t address, std::uint32_t value);
  [[nodiscard]] std::uint32_t all_held() const noexcept;
  void follow_soft_reset();
  void show_traffic();
  void wake();
  void fall_asleep(TimePoint now);

  Coordinate place_;
  bool ethernet_;
  ZeroMemory l1_;
  NiuPair niu_;
  NowFunction now_;
  std::function<void(CoreTile&)> woken_;
  TimePoint clock_start_;
  std::uint32_t latched_clock_high_ = 0;
  std::uint32_t soft_reset_ = 0;
  bool has_run_ = false;  // a core was out of reset since the chip's reset
  bool noc_stuck_ = false;
  std::map<std::uint64_t, std::uint32_t> stored_;

  std::optional<EthernetPort> port_;
  std::optional<rv32::Core> core_;     // while it is not held in reset
  std::optional<TimePoint> run_time_;  // while it runs
  Activity activity_ = Activity::kStopped;
  bool frozen_ = false;
  TimePoint next_look_;
  TimePoint::duration doze_{};
  bool stored_before_ = false;  // when it was let run the last time
};

}  // namespace warden::sim
