// SPDX-License-Identifier: Apache-2.0
// A simulated chip in the test's own process, with a clock that the test moves and shorthands for what a driver does.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "tools/sim/chip.h"

namespace warden::sim::testing {

inline constexpr std::uint32_t kOnes = 0xFFFFFFFF;
inline constexpr std::uint32_t kCommand = 0x04;
inline constexpr std::uint64_t kWindowRegister0 = 0x1FC00000;
inline constexpr std::uint64_t kPostCode = 0x1FF30060;
inline constexpr std::uint64_t kArguments = 0x1FF3006C;
inline constexpr std::uint64_t kMessage = 0x1FF30074;
inline constexpr std::uint64_t kClockLow = 0x1FF300E0;
inline constexpr std::uint64_t kClockHigh = 0x1FF300E4;
inline constexpr std::uint64_t kMiscControl = 0x1FF30100;
inline constexpr std::uint32_t kTrigger = 1U << 16;
inline constexpr std::uint64_t kCsm = 0x1FE80000;
inline constexpr std::uint32_t kMarker = 0x40;

struct Card {
  explicit Card(std::vector<std::uint8_t> harvested = {}, bool flr = true, bool in_slot = false)
      : chip(
            {.harvested_rows = std::move(harvested),
             .board_id = 0x18000000001,
             .asic_location = 0,
             .pci = {.subsystem_id = 0x18, .function_level_reset = flr, .in_slot = in_slot, .bar_space = 0x4000000000},
             .reset_duration = std::chrono::milliseconds(200)},
            [this] { return now; }, [this] { ++rung; }) {}

  void pass(std::chrono::nanoseconds time) { now += time; }

  std::uint32_t bar32(std::uint64_t offset, std::size_t bar = 0) {
    std::uint32_t value = 0;
    chip.read_bar(bar, offset, std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  template <typename Value>
  void bar_write(std::uint64_t offset, Value value, std::size_t bar = 0) {
    chip.write_bar(bar, offset, std::as_bytes(std::span(&value, 1)));
  }
  std::uint32_t config32(std::uint32_t offset) {
    std::uint32_t value = 0;
    chip.read_config(offset, std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  bool config_write(std::uint32_t offset, std::uint32_t value) {
    return chip.write_config(offset, std::as_bytes(std::span(&value, 1)));
  }

  void aim(unsigned window, std::uint64_t fields) { bar_write(kWindowRegister0 + 8 * window, fields); }
  // A strict unicast 16 MiB window (index 166) onto (x, y); gives the BAR0 offset of `address`.
  std::uint64_t aim_at(unsigned x, unsigned y, std::uint64_t address, bool noc1 = false) {
    constexpr unsigned kWindow = 166;
    constexpr std::uint64_t kWindowBytes = 1 << 24;
    aim(kWindow, address / kWindowBytes | std::uint64_t{x} << 12 | std::uint64_t{y} << 18 | std::uint64_t{noc1} << 36 |
                     std::uint64_t{1} << 38);
    return window_of(kWindow).begin + address % kWindowBytes;
  }
  std::uint32_t tile32(unsigned x, unsigned y, std::uint64_t address, bool noc1 = false) {
    return bar32(aim_at(x, y, address, noc1));
  }
  void tile_write32(unsigned x, unsigned y, std::uint64_t address, std::uint32_t value) {
    bar_write(aim_at(x, y, address), value);
  }

  // As drivers send it; gives the status word.
  std::uint32_t message(std::uint32_t code, std::uint32_t arguments = kOnes) {
    bar_write(kArguments, arguments);
    bar_write(kMessage, 0xAA00 | code);
    bar_write(kMiscControl, bar32(kMiscControl) | kTrigger);
    return bar32(kMessage);
  }

  std::uint32_t telemetry(std::uint16_t tag) {
    const std::uint64_t table = kCsm + (bar32(0x1FF301D0) - 0x10000000);
    const std::uint64_t values = kCsm + (bar32(0x1FF301D4) - 0x10000000);
    const std::uint32_t count = std::min(bar32(table + 4), 64U);
    for (std::uint32_t i = 0; i < count; ++i) {
      const std::uint32_t entry = bar32(table + 8 + 4 * i);
      if ((entry & 0xFFFF) == tag) return bar32(values + 4 * (entry >> 16));
    }
    return kOnes;
  }

  std::uint64_t errors(Access kind) { return chip.stats().errors[static_cast<std::size_t>(kind)]; }
  std::uint64_t resets(ResetKind kind) { return chip.stats().resets[static_cast<std::size_t>(kind)]; }

  TimePoint now{std::chrono::hours(100)};
  int rung = 0;  // how often the chip had work for its cores
  Chip chip;
};

}  // namespace warden::sim::testing
