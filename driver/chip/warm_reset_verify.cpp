// SPDX-License-Identifier: Apache-2.0
// The second half of a warm reset: the card is back, and each proof is looked at. The first that fails gives the
// verdict its reason; the others are looked at all the same, for whoever has to find out why.
#include <fmt/format.h>

#include <ctime>

#include "driver/chip/payload_size.h"
#include "driver/chip/poll.h"
#include "driver/chip/register64.h"
#include "driver/chip/telemetry.h"
#include "driver/chip/warm_reset.h"
#include "driver/chip/wormhole_layout.h"

namespace warden::chip {
namespace {

constexpr std::chrono::milliseconds kGreetingTimeout{200};
constexpr std::uint16_t kBoardWatchdogSeconds = 10;  // as tt-kmd sets it

}  // namespace

Status WarmReset::verify() {
  auto node = subject_.bar0.read32(wormhole::kArcNodeId);
  if (!node) return std::unexpected(std::move(node).error());
  if ((*node & wormhole::kNodeIdPlaceMask) != wormhole::kArcNodePlace) {
    return fail(Code::kFailed, fmt::format("BAR0 does not show the card after the reset: the ARC's node id reads "
                                           "{:#010x}, not (0,10)",
                                           *node));
  }
  lost_ = false;
  Status verdict;
  const auto note = [&verdict](Status status) {
    if (verdict && !status) verdict = std::move(status);
  };
  note(verify_post_code());
  if (wanted(Proof::kClock)) note(verify_clock());
  note(verify_window());         // before any window is used again
  if (!verdict) return verdict;  // tiles and messages of a card that was not reset, or is not up, tell nothing
  if (wanted(Proof::kMemory)) note(verify_canary());
  note(restore_payload_size(subject_.bar0, subject_.memory, saved_device_control_));
  greet_firmware();
  note(verify_heartbeat());
  return verdict;
}

Status WarmReset::verify_post_code() {
  Poll poll(Clock::now() + options_.deadline);
  std::uint32_t last = 0;
  do {
    auto code = subject_.bar0.read32(wormhole::kPostCode);
    if (!code) return std::unexpected(std::move(code).error());
    last = *code;
    if ((last & wormhole::kPostCodeMask) == wormhole::kPostCodeUp) {
      return judge(Proof::kPostCode, true, fmt::format("{:#010x}", last), {});
    }
  } while (poll.again());
  return judge(Proof::kPostCode, false, fmt::format("{:#010x}", last), "the firmware did not come up (0xc0dexxxx)");
}

// A clock that is lower than before has started again. So has one that is higher, if it has not run longer than since
// the trigger: a card that was reset twice within a second has soon caught up with its short life before.
Status WarmReset::verify_clock() {
  auto clock = read_refclk(subject_.bar0);
  if (!clock) return std::unexpected(std::move(clock).error());
  using Ticks = std::chrono::duration<std::uint64_t, std::ratio<1, wormhole::kRefclkHz>>;
  const auto runs_for = std::chrono::duration_cast<std::chrono::microseconds>(Ticks(*clock));
  const auto since_trigger = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - triggered_at_);
  return judge(Proof::kClock, *clock < clock_before_ || runs_for <= since_trigger,
               fmt::format("{} ticks, running for {} us, {} us after the trigger", *clock, runs_for.count(),
                           since_trigger.count()),
               "it has not started again");
}

Status WarmReset::verify_window() {
  auto value = read64(subject_.bar0, window_config_);
  if (!value) return std::unexpected(std::move(value).error());
  return judge(Proof::kWindow, *value != window_before_, fmt::format("{:#018x}", *value), "it survived the reset");
}

Status WarmReset::verify_canary() {
  auto word = subject_.memory.read32(grid_, grid_.first_tensix(), subject_.canary);
  if (!word) return std::unexpected(std::move(word).error());
  return judge(Proof::kMemory, *word != canary_planted_, fmt::format("{:#010x}", *word), "it survived the reset");
}

// What tt-kmd tells a Wormhole after a reset, so far as it needs no access to the bridge above it: the date, the normal
// power state, the board controller's watchdog. Firmware that knows one of them not goes without.
void WarmReset::greet_firmware() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  const auto clock = static_cast<std::uint16_t>(utc.tm_hour << 8 | utc.tm_min);
  const auto date = static_cast<std::uint16_t>((utc.tm_year - 120) << 12 | (utc.tm_mon + 1) << 8 | utc.tm_mday);
  (void)subject_.arc.exchange(wormhole::message::kDate, clock, date, kGreetingTimeout);
  (void)subject_.arc.exchange(wormhole::message::kState0, 0, 0, kGreetingTimeout);
  (void)subject_.arc.exchange(wormhole::message::kBoardWatchdogSeconds, kBoardWatchdogSeconds, 0, kGreetingTimeout);
}

Status WarmReset::verify_heartbeat() {
  Poll poll(Clock::now() + options_.heartbeat_deadline);
  std::optional<std::uint32_t> first;
  std::string last = "not looked at";
  do {
    auto telemetry = read_telemetry(subject_.bar0);
    if (!telemetry && telemetry.error().code == Code::kDisconnected) {
      return std::unexpected(std::move(telemetry).error());
    }
    if (!telemetry) {  // the pointers are 0 for a while after a boot
      last = telemetry.error().message;
      continue;
    }
    const std::uint32_t beat = telemetry->value(TelemetryTag::kHeartbeat);
    if (!first) first = beat;
    last = fmt::format("{} -> {}", *first, beat);
    if (beat != *first) return judge(Proof::kHeartbeat, true, last, {});
  } while (poll.again());
  return judge(Proof::kHeartbeat, false, last,
               fmt::format("it did not move within {} ms", options_.heartbeat_deadline.count()));
}

}  // namespace warden::chip
