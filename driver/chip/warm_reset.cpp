// SPDX-License-Identifier: Apache-2.0
// The sequence up to the card's return. Sources: tt-kmd (ASIC_RESET and POST_RESET of ioctl RESET_DEVICE,
// tools/reset.c) carried over to what VFIO permits (Linux vfio_pci_config.c).
#include "driver/chip/warm_reset.h"

#include <fmt/format.h>

#include <random>
#include <thread>

#include "driver/chip/poll.h"
#include "driver/chip/register64.h"
#include "driver/chip/telemetry.h"
#include "driver/chip/wormhole_layout.h"

namespace warden::chip {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;

constexpr milliseconds kMessageTimeout{1000};

}  // namespace

std::string_view to_string(ResetStep step) noexcept {
  switch (step) {
    case ResetStep::kSave: return "save";
    case ResetStep::kTrigger: return "trigger";
    case ResetStep::kWait: return "wait";
    case ResetStep::kRestore: return "restore";
    case ResetStep::kVerify: return "verify";
  }
  return "unknown";
}

WarmReset::WarmReset(ResetSubject subject, const ResetOptions& options, bool unfinished)
    : subject_(std::move(subject)), options_(options), unfinished_(unfinished), config_(subject_.device) {
  for (const ProofRule& rule : kProofRules) {
    if (proves(rule, options_.kind)) {
      report_.evidence.push_back({std::string(rule.name), "not looked at", "not looked at", false});
    }
  }
}

bool WarmReset::wanted(Proof proof) const {
  for (const ProofRule& rule : kProofRules) {
    if (rule.proof == proof) return proves(rule, options_.kind);
  }
  return false;
}

Evidence& WarmReset::evidence(Proof proof) {
  std::size_t index = 0;
  for (const ProofRule& rule : kProofRules) {
    if (rule.proof == proof) break;
    if (proves(rule, options_.kind)) ++index;
  }
  return report_.evidence.at(index);
}

Status WarmReset::judge(Proof proof, bool passed, std::string after, std::string_view complaint) {
  Evidence& shown = evidence(proof);
  shown.after = std::move(after);
  shown.passed = passed;
  if (passed) return {};
  return fail(Code::kFailed,
              fmt::format("{}: {} (before: {}; after: {})", shown.name, complaint, shown.before, shown.after));
}

void WarmReset::step(ResetStep step) {
  if (options_.observer) options_.observer(step);
}

ResetReport WarmReset::run() {
  const auto begin = Clock::now();
  const Status outcome = perform();
  report_.ok = outcome.has_value();
  for (const Evidence& each : report_.evidence) report_.ok = report_.ok && each.passed;
  if (!outcome) explain(outcome.error());
  report_.duration = duration_cast<std::chrono::microseconds>(Clock::now() - begin);
  return std::move(report_);
}

// A card that is gone is the reason behind every other complaint, whichever was noticed first.
void WarmReset::explain(const Error& failure) {
  report_.reason = failure.message;
  const auto vendor = config_.vendor();
  const auto command = config_.command();
  report_.unreachable = !command && command.error().code == Code::kDisconnected;
  if (report_.unreachable) report_.reason = "the connection to the card is lost: " + failure.message;
  if (!vendor || !command) return;
  if (*vendor != ConfigSpace::kNobodyThere && !ConfigSpace::is_nobody(*command)) return;
  if (triggered_at_ != Clock::time_point()) lost_ = true;
  if (failure.code != Code::kOffBus) report_.reason = "the card is off the bus: " + failure.message;
}

Status WarmReset::perform() {
  step(ResetStep::kSave);
  if (auto saved = save(); !saved) return saved;
  step(ResetStep::kTrigger);
  if (auto triggered = trigger(); !triggered) return triggered;
  step(ResetStep::kWait);
  if (auto back = wait_for_return(); !back) return back;
  step(ResetStep::kRestore);
  if (auto restored = restore(); !restored) return restored;
  step(ResetStep::kVerify);
  return verify();
}

Status WarmReset::save() {
  if (unfinished_) {
    if (auto over = let_predecessor_finish(); !over) return over;
  }
  auto vendor = config_.vendor();
  if (!vendor) return std::unexpected(std::move(vendor).error());
  if (*vendor != wormhole::kVendor) {
    return fail(Code::kOffBus, fmt::format("the card is off the bus: its vendor id reads {:#06x}, not {:#06x}", *vendor,
                                           wormhole::kVendor));
  }
  auto command = config_.command();
  if (!command) return std::unexpected(std::move(command).error());
  if (ConfigSpace::is_nobody(*command)) {
    return fail(Code::kOffBus, fmt::format("the card is off the bus: its command register reads {:#06x}", *command));
  }
  constexpr std::uint16_t kNeeded = wormhole::kCommandMemory | wormhole::kCommandMaster;
  saved_command_ = static_cast<std::uint16_t>((*command | kNeeded) & ~wormhole::kCommandMarker);
  if ((*command & kNeeded) != kNeeded || unfinished_) {
    if (auto enabled = config_.set_command(saved_command_, kNeeded); !enabled) return enabled;
  }
  auto device_control = config_.device_control();
  if (!device_control) return std::unexpected(std::move(device_control).error());
  saved_device_control_ = *device_control;
  // Reviving a card that somebody else is about to reset is not ours to try.
  if (!is_external()) {
    if (auto awake = wake_arc(); !awake) return awake;
  }
  if (wanted(Proof::kClock)) {
    if (auto saved = save_clock(); !saved) return saved;
  }
  auto telemetry = read_telemetry(subject_.bar0);
  evidence(Proof::kHeartbeat).before =
      telemetry ? fmt::format("{}", telemetry->value(TelemetryTag::kHeartbeat)) : telemetry.error().message;
  auto post_code = subject_.bar0.read32(wormhole::kPostCode);
  if (!post_code) return std::unexpected(std::move(post_code).error());
  evidence(Proof::kPostCode).before = fmt::format("{:#010x}", *post_code);
  auto grid = subject_.learn_grid();
  if (!grid) return std::unexpected(std::move(grid).error());
  grid_ = std::move(*grid);
  if (auto saved = save_window(); !saved) return saved;
  return wanted(Proof::kMemory) ? plant_canary() : Status{};
}

// Whether the predecessor's message went out is not known: the card gets the time that a reset takes, untouched.
Status WarmReset::let_predecessor_finish() {
  lost_ = true;
  std::this_thread::sleep_for(options_.quiet);
  auto seen = poll_until_back(true);
  if (!seen) return std::unexpected(std::move(seen).error());
  lost_ = !seen->on_bus();
  if (!lost_) return {};  // back, or the reset had not been triggered
  return fail(Code::kTimeout, fmt::format("the reset begun before did not finish within {} ms: vendor id last read "
                                          "{:#06x}, command {:#06x}",
                                          seen->after.count(), seen->vendor, seen->command));
}

// An ARC that hangs may come back with a function reset (tt-kmd: link resets for 10.5 s), or by the board's watchdog
// meanwhile. No hot reset: it would take along cards whose users nobody has asked.
Status WarmReset::wake_arc() {
  const auto deadline = Clock::now() + options_.revival;
  auto answer = subject_.arc.exchange(wormhole::message::kNop, 0, 0, kMessageTimeout);
  int resets = 0;
  while (!answer && (resets == 0 || Clock::now() < deadline)) {
    subject_.bar0.unmap();  // stale with the reset, whatever comes of it
    if (auto reset = subject_.device.reset(); !reset) {
      return fail(Code::kFailed, fmt::format("the ARC does not answer NOP ({}), and the function reset to revive it "
                                             "failed: {}",
                                             answer.error().message, reset.error().message));
    }
    ++resets;
    subject_.windows.forget_all();
    if (auto enabled = config_.set_command(saved_command_, wormhole::kCommandMemory); !enabled) return enabled;
    if (auto mapped = subject_.bar0.map(); !mapped) return mapped;
    answer = subject_.arc.exchange(wormhole::message::kNop, 0, 0, kMessageTimeout);
  }
  if (answer) return {};
  return fail(Code::kFailed, fmt::format("the ARC does not answer NOP, not even after {} function reset{}: {}", resets,
                                         resets == 1 ? "" : "s", answer.error().message));
}

Status WarmReset::save_clock() {
  auto clock = read_refclk(subject_.bar0);
  if (!clock) return std::unexpected(std::move(clock).error());
  clock_before_ = *clock;
  evidence(Proof::kClock).before = fmt::format("{} ticks", clock_before_);
  return {};
}

// Any window will do that is aimed at something: its register reads otherwise once the card has forgotten it.
Status WarmReset::save_window() {
  auto lease = subject_.memory.window_to({grid_.first_tensix(), TileKind::kTensix}, subject_.canary);
  if (!lease) return std::unexpected(std::move(lease).error());
  window_config_ = wormhole::kWindowConfig + lease->index() * wormhole::kWindowConfigStride;
  auto value = read64(subject_.bar0, window_config_);
  if (!value) return std::unexpected(std::move(value).error());
  window_before_ = *value;
  evidence(Proof::kWindow).before = fmt::format("window {}: {:#018x}", lease->index(), window_before_);
  return {};
}

Status WarmReset::plant_canary() {
  const Tile tile = grid_.first_tensix();
  auto original = subject_.memory.read32(grid_, tile, subject_.canary);
  if (!original) return std::unexpected(std::move(original).error());
  canary_original_ = *original;
  canary_planted_ = std::random_device{}() | 1;  // never 0, which is what a cleared memory holds
  if (canary_planted_ == canary_original_) canary_planted_ ^= 2;
  auto wrote = subject_.memory.write32(grid_, tile, subject_.canary, canary_planted_);
  if (!wrote) return wrote;
  auto back = subject_.memory.read32(grid_, tile, subject_.canary);
  if (!back) return std::unexpected(std::move(back).error());
  if (*back != canary_planted_) {
    return fail(Code::kFailed, fmt::format("L1 of tile ({},{}) does not hold what is written: {:#010x} reads {:#010x}",
                                           tile.x, tile.y, canary_planted_, *back));
  }
  evidence(Proof::kMemory).before =
      fmt::format("({},{}) {:#x}: {:#010x}", tile.x, tile.y, subject_.canary.value, canary_planted_);
  return {};
}

Status WarmReset::trigger() {
  // From here on the windows are not what the pool remembers, and a mapping would fault or show a new card: also one
  // that somebody else in this process has made, since the kernel does not see this reset.
  subject_.windows.forget_all();
  subject_.bar0.unmap();
  subject_.device.revoke_mappings();
  lost_ = true;
  triggered_at_ = Clock::now();
  if (is_external()) return {};
  if (!arms_marker()) return subject_.device.reset();
  const auto armed = static_cast<std::uint16_t>(saved_command_ | wormhole::kCommandMarker);
  if (auto set = config_.set_command(armed, wormhole::kCommandMarker | wormhole::kCommandMemory); !set) {
    return wrap(std::move(set).error(), "arm the reset marker");
  }
  evidence(Proof::kMarker).before = fmt::format("armed, command {:#06x}", armed);
  const std::uint16_t depth = options_.kind == ResetKind::kBoard ? wormhole::kResetBoard : wormhole::kResetAsic;
  return subject_.arc.post(wormhole::message::kTriggerReset, depth, 0, kMessageTimeout);
}

// Configuration space only: BAR accesses that meet a card in reset can hang the host. The last look is never before
// the deadline.
Result<WarmReset::Sighting> WarmReset::poll_until_back(bool marker_must_clear) {
  const auto begin = Clock::now();
  const auto deadline = begin + options_.deadline;
  Sighting seen;
  for (;;) {
    const auto now = Clock::now();
    auto vendor = config_.vendor();
    if (!vendor) return std::unexpected(std::move(vendor).error());
    auto command = config_.command();
    if (!command) return std::unexpected(std::move(command).error());
    const bool marker_clear = (*command & wormhole::kCommandMarker) == 0;
    seen = {*vendor, *command, duration_cast<milliseconds>(now - begin), seen.looks + 1, false};
    seen.back = *vendor == wormhole::kVendor && seen.on_bus() && (marker_clear || !marker_must_clear);
    if (seen.back || now >= deadline) return seen;
    std::this_thread::sleep_for(std::min<Clock::duration>(options_.poll_interval, deadline - now));
  }
}

Status WarmReset::wait_for_return() {
  // A function reset is over when the call returns (the kernel has waited for it), an external one when its maker says.
  if (is_external() && options_.await_external) options_.await_external();
  if (arms_marker()) std::this_thread::sleep_for(options_.quiet);
  auto seen = poll_until_back(arms_marker());
  if (!seen) return std::unexpected(std::move(seen).error());
  const std::string sight = fmt::format("vendor id {:#06x}, command {:#06x}", seen->vendor, seen->command);
  if (seen->back) {
    return arms_marker() ? judge(Proof::kMarker, true, "clear, " + sight, {}) : Status{};
  }
  if (arms_marker()) evidence(Proof::kMarker).after = sight;
  const auto waited = (arms_marker() ? options_.quiet : milliseconds(0)) + seen->after;
  if (seen->on_bus()) {
    step_back();
    return fail(Code::kFailed,
                fmt::format("the card ignored the reset: its marker is still set after {} ms, last seen {}",
                            waited.count(), sight));
  }
  return fail(Code::kTimeout, fmt::format("the card did not come back from the reset within {} ms ({} looks), last "
                                          "seen {}",
                                          waited.count(), seen->looks, sight));
}

// After a reset that did not happen: take back what was done to the card.
void WarmReset::step_back() {
  if (!config_.set_command(saved_command_, wormhole::kCommandMarker)) return;
  lost_ = false;
  (void)subject_.bar0.map();
  const Tile tile = grid_.first_tensix();
  auto now = subject_.memory.read32(grid_, tile, subject_.canary);
  if (now && *now == canary_planted_) {
    (void)subject_.memory.write32(grid_, tile, subject_.canary, canary_original_);
  }
}

Status WarmReset::restore() {
  // Not the saved command: with the marker in it, it could not tell a second reset from none.
  constexpr std::uint16_t kOn = wormhole::kCommandMemory | wormhole::kCommandMaster;
  auto enabled = config_.set_command(kOn, kOn | wormhole::kCommandMarker);
  if (!enabled) return wrap(std::move(enabled).error(), "give the card its BARs back");
  return subject_.bar0.map();
}

}  // namespace warden::chip
