// SPDX-License-Identifier: Apache-2.0
// All that wardend knows about one reset: what was asked, how far it got, who answered, and how it ended. The
// journal stores it, the report is made of it, and a new worker goes on from it.
#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <warden/result.h>

#include "shm/directory_layout.h"
#include "shm/message.h"

namespace warden::daemon {

struct ResetDevice {
  std::uint32_t index = 0;
  std::string name;
  std::uint64_t epoch = 0;  // before the reset
};

// The names that the report uses are those of to_string().
enum class Outcome : std::uint8_t { kPending, kAcknowledged, kNotified, kTimedOut, kDied };
[[nodiscard]] std::string_view to_string(Outcome outcome) noexcept;
[[nodiscard]] std::string_view to_string(shm::ResetPhase phase) noexcept;
[[nodiscard]] std::string_view to_string(shm::ResetResult result) noexcept;

struct ListenerRecord {
  std::uint64_t session_id = 0;  // 0: not a session of ours
  int pid = 0;
  std::string name;
  Outcome outcome = Outcome::kPending;
  std::uint64_t extended_ms = 0;
  std::uint64_t duration_us = 0;  // from the announcement to the outcome
};

struct PhaseRecord {
  shm::ResetPhase phase{};
  std::uint64_t duration_us = 0;
};

struct EvidenceRecord {
  std::string device;
  std::string name;
  std::string before;
  std::string after;
  bool passed = false;
};

// What a reset did to the traffic between cards.
struct FabricRecord {
  std::uint32_t routers_paused = 0;   // of other cards, which face those of the reset
  std::uint32_t routes_held = 0;      // pairs of cards whose packets had to wait at their senders
  std::uint64_t packets_delayed = 0;  // that did
  std::uint64_t packets_lost = 0;     // that were inside the cards when these were reset
  bool restored = false;              // traffic goes on as before
  std::string complaint;              // what could not be done; empty when all was
};

struct ResetRecord {
  // What was asked.
  std::uint64_t id = 0;
  std::uint64_t token = 0;
  std::vector<ResetDevice> devices;
  std::string cause;
  std::chrono::milliseconds timeout{2000};
  std::chrono::milliseconds extension_cap{30000};
  shm::TimeoutPolicy on_timeout = shm::TimeoutPolicy::kProceed;
  bool external = false;  // announced by tt-umd's means and carried out by whoever announced it

  // How far it got.
  shm::ResetPhase phase = shm::ResetPhase::kIdle;
  std::uint64_t announced_ns = 0;  // CLOCK_BOOTTIME
  std::uint64_t deadline_ns = 0;   // CLOCK_BOOTTIME; moves with extensions
  std::uint64_t extended_ms = 0;   // altogether
  std::vector<ListenerRecord> listeners;
  std::vector<PhaseRecord> phases;
  std::vector<EvidenceRecord> evidence;
  std::optional<FabricRecord> fabric;  // none: no routers run there

  // How it ended; kNone while it runs.
  shm::ResetResult result = shm::ResetResult::kNone;
  std::string reason;

  [[nodiscard]] std::uint64_t device_mask() const noexcept;
};

// The whole record, for the journal.
[[nodiscard]] nlohmann::json to_json(const ResetRecord& record);
[[nodiscard]] Result<ResetRecord> record_from_json(const nlohmann::json& json);

// What clients are told: id, result, reason, devices, phases, listeners, evidence.
[[nodiscard]] nlohmann::json report_json(const ResetRecord& record);

}  // namespace warden::daemon
