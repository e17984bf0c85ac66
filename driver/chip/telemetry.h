// SPDX-License-Identifier: Apache-2.0
// The telemetry table that the card's firmware keeps in its memory: values by tag.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include <warden/result.h>

#include "driver/chip/bar.h"
#include "driver/chip/chip.h"

namespace warden::chip {

// Tags of tt-kmd (telemetry.h) that we use.
enum class TelemetryTag : std::uint16_t {
  kBoardIdHigh = 1,
  kBoardIdLow = 2,
  kAsicTemperature = 11,   // 16.16 degrees Celsius
  kBoardTemperature = 13,  // 16.16 degrees Celsius
  kAiclk = 14,             // MHz
  kAxiclk = 15,
  kArcclk = 16,
  kFirmwareBundle = 28,
  kHeartbeat = 32,
};

// One reading: a copy, checked.
class TelemetryTable {
 public:
  [[nodiscard]] std::optional<std::uint32_t> find(TelemetryTag tag) const;
  // 0 for a tag that the firmware does not have.
  [[nodiscard]] std::uint32_t value(TelemetryTag tag) const { return find(tag).value_or(0); }
  [[nodiscard]] Telemetry decoded() const;
  [[nodiscard]] std::uint64_t board_id() const;

 private:
  friend Result<TelemetryTable> read_telemetry(Bar& bar0);
  std::map<std::uint16_t, std::uint32_t> values_;
};

// kFailed while the firmware has not published a table (pointers are 0 for a while after a boot); kProtocol for one
// whose pointers, version or size can't be right.
[[nodiscard]] Result<TelemetryTable> read_telemetry(Bar& bar0);

// "n150", "n300", ... or "unknown".
[[nodiscard]] std::string_view board_name(std::uint64_t board_id) noexcept;

}  // namespace warden::chip
