// SPDX-License-Identifier: Apache-2.0
// The ARC, the card's management processor, seen from outside: its reset unit with scratch registers and reference
// clock, its messages, its memory with telemetry. Source: tt-kmd, tt-umd, tt-isa-documentation.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "tools/sim/access.h"
#include "tools/sim/clock.h"
#include "tools/sim/telemetry.h"
#include "tools/sim/tile.h"

namespace warden::sim {

enum class ArcReset : std::uint8_t { kAsic, kBoard };

// How long the card counts as having run when the simulator starts: clock and heartbeat begin there, as on a host
// whose card has been up for a while, and fall with the first reset.
inline constexpr std::chrono::hours kUptimeAtStart{1};

class Arc {
 public:
  // True when the reset begins (the message is then never answered), false when the message is merely answered.
  using ResetHandler = std::function<bool(ArcReset)>;

  Arc(const Grid& grid, Coordinate tile, const BoardIdentity& identity, NowFunction now, ResetHandler on_reset);

  // Offsets in the 1 MiB of peripherals and in CSM. A failed access leaves `into` as it was.
  [[nodiscard]] Access read_peripheral(std::uint64_t offset, std::span<std::byte> into);
  [[nodiscard]] Access write_peripheral(std::uint64_t offset, std::span<const std::byte> from);
  [[nodiscard]] Access read_memory(std::uint64_t offset, std::span<std::byte> into);
  [[nodiscard]] Access write_memory(std::uint64_t offset, std::span<const std::byte> from);

  // Starts anew, as after power-on.
  void reset(TimePoint now);
  // Hung firmware takes no message and its heartbeat stands still. Let go, it drops what waited.
  void set_hung(bool hung);

  // Both scratch registers say that NoC requests to the PCIe tile shall reach the card's own configuration space.
  [[nodiscard]] bool configuration_back_door() const noexcept;
  [[nodiscard]] std::uint32_t post_code() const noexcept { return scratch_[0]; }
  [[nodiscard]] std::uint64_t reference_clock() const;
  [[nodiscard]] std::uint32_t heartbeat() const;

 private:
  struct Answer {
    std::uint16_t status = 0;
    std::uint32_t result0 = 0;
    std::uint32_t result1 = 0;
  };

  [[nodiscard]] std::uint32_t read_register(std::uint64_t offset);
  void write_register(std::uint64_t offset, std::uint32_t value);
  void take_message();
  [[nodiscard]] bool handle(std::uint8_t code, std::uint32_t arguments, Answer& answer);
  [[nodiscard]] std::chrono::nanoseconds uptime() const { return now_() - started_; }
  [[nodiscard]] Vitals vitals() const;

  BoardIdentity identity_;
  NowFunction now_;
  ResetHandler on_reset_;
  NiuPair niu_;
  SparseMemory memory_{kCsmBytes};
  std::array<std::uint32_t, 8> scratch_{};
  std::uint32_t misc_control_ = 0;
  std::uint32_t aiclk_mhz_ = 0;
  TimePoint started_;
  TimePoint heart_started_;
  bool hung_ = false;
  std::uint32_t heartbeat_when_hung_ = 0;
};

// The ARC's tile: the same things, at the addresses that the NoC sees.
class ArcTile final : public Tile {
 public:
  explicit ArcTile(Arc& arc) : arc_(arc) {}
  [[nodiscard]] Access read(std::uint64_t address, std::span<std::byte> into) override;
  [[nodiscard]] Access write(std::uint64_t address, std::span<const std::byte> from) override;
  void reset(TimePoint) override {}  // the Arc is reset by the chip

 private:
  Arc& arc_;
};

}  // namespace warden::sim
