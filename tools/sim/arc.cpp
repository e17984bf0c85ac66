// SPDX-License-Identifier: Apache-2.0
// The ARC's registers and messages. Source: tt-kmd, tt-umd, tt-isa-documentation.
#include "tools/sim/arc.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace warden::sim {

namespace {

// Peripherals.
constexpr Range kResetUnit{0x30000, 0x1000};
constexpr std::uint64_t kNiu0 = 0x50000;
constexpr std::uint64_t kNiu1 = 0x58000;

// Reset unit.
constexpr Range kScratch{0x60, 32};
constexpr std::uint64_t kReferenceClockLow = 0xE0;
constexpr std::uint64_t kReferenceClockHigh = 0xE4;
constexpr std::uint64_t kMiscControl = 0x100;
constexpr std::uint64_t kTelemetryTablePointer = 0x1D0;
constexpr std::uint64_t kTelemetryValuesPointer = 0x1D4;
constexpr std::uint32_t kTriggerMessage = 1U << 16;

// Scratch registers by use.
constexpr std::size_t kPostCode = 0;
constexpr std::size_t kArguments = 3;
constexpr std::size_t kResult0 = 3;
constexpr std::size_t kResult1 = 4;
constexpr std::size_t kMessage = 5;
constexpr std::size_t kBackDoorReads = 6;
constexpr std::size_t kBackDoorWrites = 7;
constexpr std::uint32_t kBackDoor = 0x200000;

constexpr std::uint32_t kPostCodeInitDone = 0xC0DE0001;
constexpr std::uint32_t kPostCodeMessageHandled = 0xC0DE003F;
constexpr std::uint32_t kStatusInitDone = 1;
constexpr std::uint32_t kMessagePrefix = 0xAA00;
constexpr std::uint32_t kUnknownMessage = 0xFFFFFFFF;

constexpr std::uint64_t kReferenceClockHz = 27'000'000;
constexpr std::chrono::milliseconds kHeartbeatPeriod{100};
constexpr std::uint32_t kAiclkIdleMhz = 500;
constexpr std::uint32_t kAiclkBusyMhz = 1000;
constexpr std::uint32_t kFirmwareVersion = 0x02210000;

// Message codes.
enum Code : std::uint8_t {
  kSmbusTelemetryAddress = 0x2C,
  kGetAiclk = 0x34,
  kGoBusy = 0x52,
  kGoShortIdle = 0x53,
  kGoLongIdle = 0x54,
  kTriggerReset = 0x56,
  kGetHarvesting = 0x57,
  kDramTrained = 0x58,
  kTest = 0x90,
  kGetVersion = 0xB9,
};

// Answered with success, and nothing to be seen from outside.
constexpr auto kAcknowledgedOnly = std::to_array<std::uint8_t>(
    {0x11, 0x21, 0x51, 0x55, 0x97, 0xA0, 0xA1, 0xA3, 0xA5, 0xAF, 0xB6, 0xB7, 0xBA, 0xBB, 0xBC, 0xC0, 0xC1});

constexpr std::uint16_t kNoArgument = 0xFFFF;
constexpr std::uint16_t kResetBoard = 3;

// As the NoC sees it.
constexpr Range kNocMemory{0x810000000, kCsmBytes};
constexpr Range kNocPeripherals{0x880000000, 1 << 20};
constexpr Range kNocNiu0{0xFFFB20000, NiuRegisters::kSizeBytes};
constexpr Range kNocNiu1{0xFFFB30000, NiuRegisters::kSizeBytes};

std::optional<std::uint64_t> offset_in(const Range& range, std::uint64_t address) {
  if (!range.contains(address)) return std::nullopt;
  return address - range.begin;
}

std::optional<std::uint64_t> peripheral_at(std::uint64_t address) {
  if (const auto offset = offset_in(kNocNiu0, address)) return kNiu0 + *offset;
  if (const auto offset = offset_in(kNocNiu1, address)) return kNiu1 + *offset;
  return offset_in(kNocPeripherals, address);
}

}  // namespace

Arc::Arc(const Grid& grid, Coordinate tile, const BoardIdentity& identity, NowFunction now, ResetHandler on_reset)
    : identity_(identity), now_(std::move(now)), on_reset_(std::move(on_reset)), niu_(grid, tile, kNiu0, kNiu1) {
  reset(now_() - kUptimeAtStart);
}

void Arc::reset(TimePoint now) {
  started_ = heart_started_ = now;
  heartbeat_when_hung_ = 0;
  scratch_ = {};
  scratch_[kPostCode] = kPostCodeInitDone;
  scratch_[kMessage] = kStatusInitDone;
  misc_control_ = 0;
  aiclk_mhz_ = kAiclkIdleMhz;
  memory_.clear();
  niu_.reset();
}

void Arc::set_hung(bool hung) {
  if (hung == hung_) return;
  if (hung) {
    heartbeat_when_hung_ = heartbeat();
  } else {
    heart_started_ = now_() - heartbeat_when_hung_ * kHeartbeatPeriod;
    misc_control_ &= ~kTriggerMessage;
  }
  hung_ = hung;
}

bool Arc::configuration_back_door() const noexcept {
  return scratch_[kBackDoorReads] == kBackDoor && scratch_[kBackDoorWrites] == kBackDoor;
}

std::uint64_t Arc::reference_clock() const {
  // In two steps, since nanoseconds x 27 MHz leaves 64 bits after some months.
  const auto nanoseconds = static_cast<std::uint64_t>(uptime().count());
  constexpr std::uint64_t kNanosecondsPerSecond = 1'000'000'000;
  return nanoseconds / kNanosecondsPerSecond * kReferenceClockHz +
         nanoseconds % kNanosecondsPerSecond * kReferenceClockHz / kNanosecondsPerSecond;
}

std::uint32_t Arc::heartbeat() const {
  if (hung_) return heartbeat_when_hung_;
  return static_cast<std::uint32_t>((now_() - heart_started_) / kHeartbeatPeriod);
}

Vitals Arc::vitals() const {
  // Warmer under load, and wandering a little, so that a reader sees it live.
  const std::uint32_t beat = heartbeat();
  const double load = aiclk_mhz_ == kAiclkBusyMhz ? 10 : 0;
  return {.heartbeat = beat,
          .asic_temperature_celsius = 40 + load + (beat / 10 % 16) / 8.0,
          .board_temperature_celsius = 35 + (beat / 50 % 8) / 8.0,
          .aiclk_mhz = aiclk_mhz_};
}

Access Arc::read_peripheral(std::uint64_t offset, std::span<std::byte> into) {
  if (niu_.contains(offset, into.size())) {
    niu_.read(offset, into);
    return Access::kOk;
  }
  if (!kResetUnit.contains(offset, into.size())) return Access::kUnmapped;
  read_words(offset - kResetUnit.begin, into, [this](std::uint64_t at) { return read_register(at); });
  return Access::kOk;
}

Access Arc::write_peripheral(std::uint64_t offset, std::span<const std::byte> from) {
  if (niu_.contains(offset, from.size())) return niu_.write(offset, from);
  if (!kResetUnit.contains(offset, from.size())) return Access::kUnmapped;
  return write_words(offset - kResetUnit.begin, from,
                     [this](std::uint64_t at, std::uint32_t value) { write_register(at, value); });
}

Access Arc::read_memory(std::uint64_t offset, std::span<std::byte> into) {
  if (!memory_.contains(offset, into.size())) return Access::kUnmapped;
  if (offset < kTelemetryEnd && offset + into.size() > kTelemetryBegin) {
    publish_telemetry(memory_, identity_, vitals());
  }
  memory_.read(offset, into);
  return Access::kOk;
}

Access Arc::write_memory(std::uint64_t offset, std::span<const std::byte> from) {
  if (!memory_.contains(offset, from.size())) return Access::kUnmapped;
  memory_.write(offset, from);
  return Access::kOk;
}

std::uint32_t Arc::read_register(std::uint64_t offset) {
  if (kScratch.contains(offset)) return scratch_[(offset - kScratch.begin) / kWordBytes];
  switch (offset) {
    case kReferenceClockLow: return static_cast<std::uint32_t>(reference_clock());
    case kReferenceClockHigh: return static_cast<std::uint32_t>(reference_clock() >> 32);
    case kMiscControl: return misc_control_;
    case kTelemetryTablePointer: return kTelemetryTable;
    case kTelemetryValuesPointer: return kTelemetryValues;
    default: return 0;  // among them the message queue's pointer: there is no queue
  }
}

void Arc::write_register(std::uint64_t offset, std::uint32_t value) {
  if (kScratch.contains(offset)) {
    scratch_[(offset - kScratch.begin) / kWordBytes] = value;
  } else if (offset == kMiscControl) {
    misc_control_ = value;
    if ((value & kTriggerMessage) != 0 && !hung_) take_message();
  }
}

void Arc::take_message() {
  misc_control_ &= ~kTriggerMessage;
  const std::uint32_t request = scratch_[kMessage];
  if ((request & 0xFF00) != kMessagePrefix) return;
  const auto code = static_cast<std::uint8_t>(request);
  const std::uint32_t arguments = scratch_[kArguments];
  const auto argument0 = static_cast<std::uint16_t>(arguments);

  Answer answer;
  bool known = false;
  if (code == kTriggerReset) {
    known = argument0 == 0 || argument0 == kNoArgument || argument0 == kResetBoard;
    if (known && on_reset_(argument0 == kResetBoard ? ArcReset::kBoard : ArcReset::kAsic)) return;
  } else {
    known = handle(code, arguments, answer);
  }
  scratch_[kPostCode] = kPostCodeMessageHandled;
  if (!known) {
    scratch_[kMessage] = kUnknownMessage;
    return;
  }
  scratch_[kResult0] = answer.result0;
  scratch_[kResult1] = answer.result1;
  scratch_[kMessage] = code | std::uint32_t{answer.status} << 16;
}

bool Arc::handle(std::uint8_t code, std::uint32_t arguments, Answer& answer) {
  switch (code) {
    case kSmbusTelemetryAddress: answer.result0 = kLegacyTelemetry; return true;
    case kGetAiclk: answer.result0 = aiclk_mhz_; return true;
    case kGoBusy: aiclk_mhz_ = kAiclkBusyMhz; return true;
    case kGoShortIdle:
    case kGoLongIdle: aiclk_mhz_ = kAiclkIdleMhz; return true;
    case kGetHarvesting: answer.result0 = identity_.harvest_mask; return true;
    case kDramTrained: answer.result0 = 1; return true;
    case kTest: answer.result0 = arguments + 1; return true;
    case kGetVersion: answer.result0 = kFirmwareVersion; return true;
    default: return std::ranges::find(kAcknowledgedOnly, code) != kAcknowledgedOnly.end();
  }
}

Access ArcTile::read(std::uint64_t address, std::span<std::byte> into) {
  if (const auto memory = offset_in(kNocMemory, address)) return arc_.read_memory(*memory, into);
  const auto peripheral = peripheral_at(address);
  return peripheral ? arc_.read_peripheral(*peripheral, into) : Access::kUnmapped;
}

Access ArcTile::write(std::uint64_t address, std::span<const std::byte> from) {
  if (const auto memory = offset_in(kNocMemory, address)) return arc_.write_memory(*memory, from);
  const auto peripheral = peripheral_at(address);
  return peripheral ? arc_.write_peripheral(*peripheral, from) : Access::kUnmapped;
}

}  // namespace warden::sim
