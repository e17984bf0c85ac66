// SPDX-License-Identifier: Apache-2.0
// One line for each kind of event.
#include "tools/libwarden/progress_line.h"

#include <bit>

#include <warden/reset.h>

namespace warden::internal {

namespace {

std::string who(const shm::Event& event) {
  return "pid " + std::to_string(event.pid) + (event.text.empty() ? "" : " (" + event.text + ")");
}

std::string announcement(const shm::Event& event) {
  const int devices = std::popcount(event.device_mask);
  const std::uint64_t left_ns = event.deadline_ns > event.time_ns ? event.deadline_ns - event.time_ns : 0;
  return "reset " + std::to_string(event.reset_id) + " of " + std::to_string(devices) +
         (devices == 1 ? " device" : " devices") + " announced, answers awaited for " +
         std::to_string(left_ns / 1'000'000) + " ms" + (event.text.empty() ? "" : ": " + event.text);
}

std::string ending(const shm::Event& event) {
  return "reset " + std::to_string(event.reset_id) + ": " +
         std::string(to_string(static_cast<ResetResult>(event.result))) + (event.text.empty() ? "" : ": " + event.text);
}

}  // namespace

std::string phase_name(shm::ResetPhase phase) {
  switch (phase) {
    case shm::ResetPhase::kIdle: return "idle";
    case shm::ResetPhase::kAnnounced: return "announced";
    case shm::ResetPhase::kQuiesced: return "quiesced";
    case shm::ResetPhase::kResetting: return "resetting";
    case shm::ResetPhase::kVerified: return "verified";
  }
  return "phase " + std::to_string(static_cast<std::uint32_t>(phase));
}

std::string progress_line(const shm::Event& event) {
  const std::string value = std::to_string(event.value);
  switch (event.kind) {
    case shm::EventKind::kAnnounce: return announcement(event);
    case shm::EventKind::kPhase: return "phase " + phase_name(event.phase);
    case shm::EventKind::kAcknowledged: return who(event) + " has acknowledged after " + value + " us";
    case shm::EventKind::kExtended: return who(event) + " was given " + value + " ms more";
    case shm::EventKind::kTimedOut: return who(event) + " did not answer in time";
    case shm::EventKind::kDied: return who(event) + " died before it answered";
    case shm::EventKind::kNotified: return who(event) + " was notified and had its grace";
    case shm::EventKind::kResult: return ending(event);
    case shm::EventKind::kSessionOpened: return who(event) + " attached";
    case shm::EventKind::kSessionClosed: return who(event) + " left";
    case shm::EventKind::kDevice: return "device " + event.text + " changed";
    case shm::EventKind::kWorker: return "worker " + std::to_string(event.pid) + " of wardend took over";
  }
  return "event of kind " + std::to_string(static_cast<std::uint32_t>(event.kind));
}

}  // namespace warden::internal
