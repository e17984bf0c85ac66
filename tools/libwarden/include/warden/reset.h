// SPDX-License-Identifier: Apache-2.0
// Resetting cards: the whole transaction (announce, collect acknowledgements, reset, prove it, tell everybody) in one
// call.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <warden/listener.h>
#include <warden/result.h>
#include <warden/session.h>

namespace warden {

enum class OnTimeout : std::uint8_t {
  kProceed = 0,  // reset although somebody stayed silent
  kAbort = 1,    // leave the cards alone
  kKill = 2,     // kill who stayed silent, then reset
};

enum class OnConflict : std::uint8_t { kWait = 0, kRefuse = 1 };

struct ResetPhaseTime {
  std::string name;  // "announced", "quiesced", "resetting", "verified"
  std::uint64_t duration_us = 0;
};

struct ListenerOutcome {
  int pid = 0;
  std::string name;
  std::string outcome;  // "acknowledged", "notified", "timed_out", "died"
  std::uint64_t extended_ms = 0;
  std::uint64_t duration_us = 0;  // from the announcement to the outcome
};

struct ResetEvidence {
  std::string device;
  std::string name;
  std::string before;
  std::string after;
  bool passed = false;
};

// What happened to traffic between cards.
struct ResetFabric {
  std::uint32_t routers_paused = 0;   // of other cards, which face those of the reset
  std::uint32_t routes_held = 0;      // pairs of cards whose packets had to wait at their senders
  std::uint64_t packets_delayed = 0;  // that did
  std::uint64_t packets_lost = 0;     // that were inside the cards when these were reset
  bool restored = false;              // traffic goes on as before
  std::string complaint;              // what could not be done
};

struct ResetReport {
  std::uint64_t reset_id = 0;
  ResetResult result = ResetResult::kFailed;
  std::string reason;
  std::vector<std::string> devices;
  std::vector<ResetPhaseTime> phases;
  std::vector<ListenerOutcome> listeners;
  std::vector<ResetEvidence> evidence;
  std::optional<ResetFabric> fabric;  // none: no routers run on these cards
  std::string json;                   // the same, as wardend wrote it
};

// What happens while it runs, for people who watch.
struct ResetProgress {
  std::string phase;    // phase now
  std::string message;  // one line, for example "pid 4711 (trainer) has acknowledged after 83 us"
};

struct WarmResetOptions {
  std::chrono::milliseconds timeout = std::chrono::seconds(2);
  // How much listeners may add to the timeout altogether, on request.
  std::chrono::milliseconds extension_cap = std::chrono::seconds(30);
  OnTimeout on_timeout = OnTimeout::kProceed;
  OnConflict on_conflict = OnConflict::kWait;
  std::string reason = "requested";
  std::function<void(const ResetProgress&)> progress{};  // on the calling thread
};

// Resets `devices` (empty: all). The value is the verdict, also when it is kFailed, kRefused or kAborted: look at
// `result`. An error means that no verdict could be had: not attached, no operator right, wardend gone for good.
[[nodiscard]] Result<ResetReport> warm_reset(Session& session, const std::vector<std::string>& devices = {},
                                             const WarmResetOptions& options = {});

// The same under the name tt-umd's users know. notify_pre (announce, wait) and notify_post (tell the result) are
// inside: announce = PRE_RESET, finish = POST_RESET.
struct WarmReset {
  [[nodiscard]] static Result<ResetReport> warm_reset(const WarmResetOptions& options = {});
};

}  // namespace warden
