// SPDX-License-Identifier: Apache-2.0
// See reap_host.h.
#include "tests/bench/reap_host.h"

#include <warden/allocation_ledger.h>
#include <warden/death_actions.h>
#include <warden/device.h>
#include <warden/dma_buffer.h>

#include <nlohmann/json.hpp>

#include "shm/directory.h"
#include "tests/bench/measure.h"

namespace warden::bench {

namespace {

constexpr std::uint64_t kLookAgainNs = 20'000'000;
constexpr std::uint64_t kBoundNs = 60'000'000'000;

// wardend counts in CLOCK_BOOTTIME.
std::uint64_t monotonic_from_boottime(std::uint64_t time_ns) { return time_ns - (shm::boottime_ns() - now_ns()); }

}  // namespace

Result<std::unique_ptr<ReapHost>> ReapHost::start() {
  auto self = std::make_unique<ReapHost>();
  // Nobody reads what they log.
  if (!self->host_.start_simulator() || !self->host_.start_daemon({"--log-level", "off"})) {
    return fail(Code::kFailed, self->host_.why());
  }
  AttachOptions attach;
  attach.socket_path = self->socket_path();
  auto session = Session::attach(attach);
  if (!session) return std::unexpected(std::move(session).error());
  self->session_ = std::move(*session);
  const auto state = self->state();
  if (!state) return std::unexpected(state.error());
  if (state->mechanism == "pidfd") return fail(Code::kUnsupported, "no BPF program can be loaded here");
  return self;
}

Result<ReapHost::State> ReapHost::state() {
  const auto text = session_->status_json();
  if (!text) return std::unexpected(text.error());
  const auto json = nlohmann::json::parse(*text);
  const auto& watcher = json.at("exit_watcher");
  return State{.mechanism = watcher.at("mechanism"),
               .marked = watcher.at("marked"),
               .last_marked_ns = watcher.at("last_marked_ns"),
               .sessions = json.at("sessions"),
               .records = json.at("allocations").at("records")};
}

Status ReapHost::begin(std::size_t count) {
  const auto before = state();
  if (!before) return std::unexpected(before.error());
  if (before->sessions != count + 1) {
    return fail(Code::kFailed, std::to_string(before->sessions) + " sessions, not " + std::to_string(count + 1));
  }
  auto events = EventStream::open(session_);
  if (!events) return std::unexpected(std::move(events).error());
  events_ = std::make_unique<EventStream>(std::move(*events));
  count_ = count;
  marked_before_ = before->marked;
  return {};
}

Result<ReapTimes> ReapHost::end() {
  const std::uint64_t begin_ns = now_ns();
  Result<State> after = state();
  while (after && after->sessions != 1) {
    if (now_ns() - begin_ns > kBoundNs) {
      return fail(Code::kTimeout, std::to_string(after->sessions - 1) + " dead sessions were not released");
    }
    gap(kLookAgainNs);
    after = state();
  }
  if (!after) return std::unexpected(after.error());
  if (after->marked != marked_before_ + count_ || after->records != 0) {
    return fail(Code::kFailed, std::to_string(after->marked - marked_before_) + " of " + std::to_string(count_) +
                                   " were marked, and " + std::to_string(after->records) + " records are counted");
  }
  ReapTimes times{.marked_ns = monotonic_from_boottime(after->last_marked_ns)};
  std::set<std::uint64_t> closed;
  while (closed.size() < count_) {
    const auto event = events_->next(std::chrono::milliseconds(0));
    if (!event) return std::unexpected(event.error());
    if (!*event) return fail(Code::kFailed, "an event of a closed session is missing");
    if ((*event)->kind != "session_closed") continue;
    if (!closed.insert((*event)->session_id).second) return fail(Code::kFailed, "a session was closed twice");
    times.released_ns = monotonic_from_boottime((*event)->time_ns);
  }
  return times;
}

bool attach_and_record(const std::string& socket_path, std::uint32_t record_count) {
  AttachOptions options;
  options.socket_path = socket_path;
  options.timeout = std::chrono::seconds(60);
  auto session = Session::attach(options);
  if (!session) return false;
  static std::shared_ptr<Session> kept;  // until this process dies
  kept = *session;
  const auto ledger = AllocationLedger::open(kept);
  if (!ledger) return false;
  for (std::uint32_t i = 0; i < record_count; ++i) {
    if (!(*ledger)->record(0, AllocationKind::kDram, i, 4096, i)) return false;
  }
  return true;
}

bool attach_and_use_card(const std::string& socket_path) {
  constexpr Tile kTile{.x = 1, .y = 1};
  constexpr CardAddress kSoftReset{0xFFB121B0};
  constexpr std::uint32_t kBriscRuns = 0x47000;
  constexpr std::uint32_t kEndlessLoop = 0x0000006F;
  constexpr std::size_t kDmaBytes = std::size_t{1} << 20;
  auto session = Session::attach({.socket_path = socket_path});
  if (!session) return false;
  auto device = Device::open(*session, "0");
  auto actions = DeathActions::open(*session);
  if (!device || !actions) return false;
  static auto kept = DmaBuffer::map(*device, kDmaBytes);  // these two until this process dies
  static auto kept_actions = std::move(*actions);
  return kept && kept_actions->write32(*device, kTile, {0x1000}, 1) &&
         kept_actions->reset_cores(*device, kTile, kTensixCores) && device->write32(kTile, {0}, kEndlessLoop) &&
         device->write32(kTile, kSoftReset, kBriscRuns);
}

}  // namespace warden::bench
