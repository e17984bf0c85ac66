// SPDX-License-Identifier: Apache-2.0
// The two telemetry tables. Source: tt-kmd, tt-umd (tags), luwen (the older table).
#include "tools/sim/telemetry.h"

#include <array>
#include <cmath>

namespace warden::sim {

namespace {

constexpr std::uint32_t kTableVersion = 0x00010000;

std::uint32_t fixed_point(double value, double one) { return static_cast<std::uint32_t>(std::lround(value * one)); }

struct Tag {
  std::uint16_t tag;
  std::uint32_t value;
};

auto tags_of(const BoardIdentity& identity, const Vitals& vitals) {
  constexpr double kOne = 65536;  // 16.16
  return std::to_array<Tag>({
      {1, static_cast<std::uint32_t>(identity.board_id >> 32)},
      {2, static_cast<std::uint32_t>(identity.board_id)},
      {3, identity.asic_id},
      {4, identity.harvest_mask},
      {11, fixed_point(vitals.asic_temperature_celsius, kOne)},
      {12, fixed_point(vitals.asic_temperature_celsius - 2, kOne)},
      {13, fixed_point(vitals.board_temperature_celsius, kOne)},
      {14, vitals.aiclk_mhz},
      {15, kAxiclkMhz},
      {16, kArcclkMhz},
      {21, 0},      // no Ethernet link is up
      {22, 0x555},  // every memory channel is trained
      {24, 0x0006E000},
      {28, kFirmwareBundle},
      {32, vitals.heartbeat},
      {52, identity.asic_location},
  });
}

// Word index in the older table.
enum LegacyWord : std::uint32_t {
  kVersion = 0,
  kBoardIdHigh = 4,
  kBoardIdLow = 5,
  kArc0Health = 19,
  kAiclk = 24,
  kAxiclk = 25,
  kArcclk = 26,
  kAsicTemperature = 29,
};

}  // namespace

void publish_telemetry(SparseMemory& csm, const BoardIdentity& identity, const Vitals& vitals) {
  const auto word = [&csm](std::uint32_t address, std::uint32_t index, std::uint32_t value) {
    csm.write32(address - kCsmBegin + 4ULL * index, value);
  };
  const auto tags = tags_of(identity, vitals);
  word(kTelemetryTable, 0, kTableVersion);
  word(kTelemetryTable, 1, static_cast<std::uint32_t>(tags.size()));
  for (std::uint32_t i = 0; i < tags.size(); ++i) {
    word(kTelemetryTable, 2 + i, tags[i].tag | i << 16);
    word(kTelemetryValues, i, tags[i].value);
  }
  word(kLegacyTelemetry, kVersion, kTableVersion);
  word(kLegacyTelemetry, kBoardIdHigh, static_cast<std::uint32_t>(identity.board_id >> 32));
  word(kLegacyTelemetry, kBoardIdLow, static_cast<std::uint32_t>(identity.board_id));
  word(kLegacyTelemetry, kArc0Health, vitals.heartbeat);
  word(kLegacyTelemetry, kAiclk, vitals.aiclk_mhz);
  word(kLegacyTelemetry, kAxiclk, kAxiclkMhz);
  word(kLegacyTelemetry, kArcclk, kArcclkMhz);
  word(kLegacyTelemetry, kAsicTemperature, fixed_point(vitals.asic_temperature_celsius, 16));
}

}  // namespace warden::sim
