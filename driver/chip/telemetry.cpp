// SPDX-License-Identifier: Apache-2.0
// { version, count, count x (tag | index << 16) } and an array of values, both in the ARC's CSM (tt-kmd: telemetry.h).
// Everything read from the card is copied once and then checked: its firmware may be of any version, or gone.
#include "driver/chip/telemetry.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "driver/chip/wormhole_layout.h"

namespace warden::chip {
namespace {

constexpr std::uint32_t kMaxVersionMajor = 1;
constexpr std::uint32_t kMaxEntries = 1024;  // tags are numbered below 100 today

// BAR0 offset of `count` words at an address of the ARC; kProtocol unless they lie in CSM.
Result<std::uint64_t> offset_of(std::uint32_t arc_address, std::uint64_t count, std::string_view what) {
  const std::uint64_t start = std::uint64_t{arc_address} - wormhole::kCsmArcAddress;
  if (arc_address % 4 == 0 && arc_address >= wormhole::kCsmArcAddress && start + count * 4 <= wormhole::kCsmBytes) {
    return wormhole::kCsm + start;
  }
  return fail(Code::kProtocol,
              fmt::format("telemetry {} at {:#x}, {} words, is not in the ARC's memory", what, arc_address, count));
}

Result<std::vector<std::uint32_t>> read_words(Bar& bar0, std::uint32_t arc_address, std::uint64_t count,
                                              std::string_view what) {
  auto offset = offset_of(arc_address, count, what);
  if (!offset) return std::unexpected(std::move(offset).error());
  std::vector<std::uint32_t> words(count);
  if (auto done = bar0.read(*offset, std::as_writable_bytes(std::span(words))); !done) {
    return std::unexpected(std::move(done).error());
  }
  return words;
}

Result<std::uint32_t> read_pointer(Bar& bar0, std::uint64_t offset) {
  auto pointer = bar0.read32(offset);
  if (pointer && *pointer == 0) return fail(Code::kFailed, "the firmware has not published telemetry yet");
  return pointer;
}

double fixed_point(std::uint32_t value) { return static_cast<std::int32_t>(value) / 65536.0; }

}  // namespace

std::optional<std::uint32_t> TelemetryTable::find(TelemetryTag tag) const {
  const auto found = values_.find(static_cast<std::uint16_t>(tag));
  if (found == values_.end()) return std::nullopt;
  return found->second;
}

Telemetry TelemetryTable::decoded() const {
  return {.asic_temperature_celsius = fixed_point(value(TelemetryTag::kAsicTemperature)),
          .board_temperature_celsius = fixed_point(value(TelemetryTag::kBoardTemperature)),
          .aiclk_mhz = value(TelemetryTag::kAiclk),
          .axiclk_mhz = value(TelemetryTag::kAxiclk),
          .arcclk_mhz = value(TelemetryTag::kArcclk),
          .heartbeat = value(TelemetryTag::kHeartbeat),
          .firmware_bundle = value(TelemetryTag::kFirmwareBundle)};
}

std::uint64_t TelemetryTable::board_id() const {
  return std::uint64_t{value(TelemetryTag::kBoardIdHigh)} << 32 | value(TelemetryTag::kBoardIdLow);
}

Result<TelemetryTable> read_telemetry(Bar& bar0) {
  auto table = read_pointer(bar0, wormhole::kTelemetryTable);
  if (!table) return std::unexpected(std::move(table).error());
  auto values = read_pointer(bar0, wormhole::kTelemetryValues);
  if (!values) return std::unexpected(std::move(values).error());
  auto header = read_words(bar0, *table, 2, "table");
  if (!header) return std::unexpected(std::move(header).error());
  const std::uint32_t version = header->at(0);
  const std::uint32_t count = header->at(1);
  if ((version >> 16 & 0xFF) > kMaxVersionMajor || count > kMaxEntries) {
    return fail(Code::kProtocol,
                fmt::format("telemetry version {:#x} with {} entries is not one we know", version, count));
  }
  auto entries = read_words(bar0, *table + 8, count, "entries");
  if (!entries) return std::unexpected(std::move(entries).error());
  std::uint32_t value_count = 0;
  for (const std::uint32_t entry : *entries) value_count = std::max(value_count, (entry >> 16) + 1);
  auto contents = read_words(bar0, *values, value_count, "values");
  if (!contents) return std::unexpected(std::move(contents).error());
  TelemetryTable result;
  for (const std::uint32_t entry : *entries) {
    result.values_[static_cast<std::uint16_t>(entry)] = contents->at(entry >> 16);
  }
  return result;
}

std::string_view board_name(std::uint64_t board_id) noexcept {
  // Bits 55:36 are the product (tt-umd: get_board_type_from_board_id).
  switch (board_id >> 36 & 0xFFFFF) {
    case 0x14: return "n300";
    case 0x18: return "n150";
    case 0x0B:
    case 0x35: return "galaxy";
    default: return "unknown";
  }
}

}  // namespace warden::chip
