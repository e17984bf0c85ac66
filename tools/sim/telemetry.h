// SPDX-License-Identifier: Apache-2.0
// What the ARC's firmware publishes about the card: the tagged table that today's drivers read and the fixed one
// that older tools ask for. Source: tt-kmd, tt-umd, luwen.
#pragma once

#include <cstdint>

#include "tools/sim/memory.h"

namespace warden::sim {

// Who the card says it is.
struct BoardIdentity {
  std::uint64_t board_id = 0;
  std::uint32_t asic_id = 0;
  std::uint32_t asic_location = 0;
  std::uint32_t harvest_mask = 0;
};

// What moves.
struct Vitals {
  std::uint32_t heartbeat = 0;
  double asic_temperature_celsius = 0;
  double board_temperature_celsius = 0;
  std::uint32_t aiclk_mhz = 0;
};

// Addresses as the ARC sees them; its memory (CSM) begins at kCsmBegin.
inline constexpr std::uint32_t kCsmBegin = 0x10000000;
inline constexpr std::uint64_t kCsmBytes = 512 * 1024;
inline constexpr std::uint32_t kTelemetryTable = kCsmBegin + 0x100;
inline constexpr std::uint32_t kTelemetryValues = kCsmBegin + 0x200;
inline constexpr std::uint32_t kLegacyTelemetry = kCsmBegin + 0x400;
// Everything above, as offsets in CSM.
inline constexpr std::uint64_t kTelemetryBegin = 0x100;
inline constexpr std::uint64_t kTelemetryEnd = 0x500;

inline constexpr std::uint32_t kAxiclkMhz = 900;
inline constexpr std::uint32_t kArcclkMhz = 540;
inline constexpr std::uint32_t kFirmwareBundle = 0x12040000;  // 18.4.0.0

// Writes both tables into CSM.
void publish_telemetry(SparseMemory& csm, const BoardIdentity& identity, const Vitals& vitals);

}  // namespace warden::sim
