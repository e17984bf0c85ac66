// SPDX-License-Identifier: Apache-2.0
// Routers brought from state to state: some or all, awaited, undone where only some followed.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <warden/result.h>

#include "driver/fabric/accounts.h"
#include "driver/fabric/control_plane.h"
#include "driver/fabric/router.h"
#include "driver/fabric/router_state.h"

namespace warden::fabric {

inline constexpr std::chrono::milliseconds DEFAULT_PAUSE_TIMEOUT{5000};  // NOLINT(readability-identifier-naming)
inline constexpr std::chrono::milliseconds DEFAULT_POLL_INTERVAL{100};   // NOLINT(readability-identifier-naming)

// A router that did not follow.
struct Straggler {
  RouterId router;
  std::optional<RouterStateCommon> last_seen;  // nothing: it could not be read
  std::string problem;                         // then: why
};
[[nodiscard]] std::string to_string(const Straggler& straggler);

struct Transition {
  std::vector<Straggler> stragglers;  // empty: all followed
  std::chrono::microseconds duration{0};
  bool rolled_back = false;                 // those that had followed were brought back
  std::vector<PairAccount> undrained = {};  // of drain(): pairs of which packets are still inside
  [[nodiscard]] bool complete() const noexcept { return stragglers.empty() && undrained.empty(); }
};
// One line that names those that did not follow.
[[nodiscard]] std::string to_string(const Transition& transition);

enum class Health : std::uint8_t {
  kAlive,        // answered the probe
  kSlow,         // did not answer in time, but its heartbeat moves
  kHung,         // neither
  kUnreachable,  // its card does not answer
};
[[nodiscard]] const char* to_string(Health health) noexcept;

struct Diagnosis {
  Health health = Health::kUnreachable;
  std::uint64_t heartbeat_before = 0;  // zero without telemetry
  std::uint64_t heartbeat_after = 0;
  std::chrono::microseconds answered_after{0};
  std::string problem;
};

// What a predecessor may have left.
struct Condition {
  std::vector<RouterId> not_following;  // state is not that of the command
  std::vector<RouterId> not_running;    // command is not RUN
  std::vector<RouterId> unreadable;
  std::vector<RouterId> holding;  // admission closed to some destinations
  std::size_t running = 0;
  // All run and admit, or all are paused.
  [[nodiscard]] bool settled() const noexcept;
};

enum class Recovery : std::uint8_t {
  kFinish,  // what was begun: all are paused
  kUndo,    // all run and admit again
};

// Borrows the control plane. Threads: one at a time.
class FabricRouterStateManager {
 public:
  explicit FabricRouterStateManager(ControlPlane& control_plane) noexcept : fabric_(&control_plane) {}

  // Written to all, whatever becomes of one; the error names those whose cards refused. Does not wait.
  [[nodiscard]] Status command(RouterSpan routers, RouterCommand command);
  [[nodiscard]] Result<RouterStateCommon> state(const Router& router) const { return fabric_->state(router); }
  // Looks at once, then after pauses that grow up to `poll_interval`; only at those that are not there yet. Ends with
  // a last look at the end of `timeout`.
  [[nodiscard]] Transition wait(RouterSpan routers, RouterStateCommon target, std::chrono::milliseconds timeout,
                                std::chrono::milliseconds poll_interval = DEFAULT_POLL_INTERVAL) const;

  // All or none: when some don't follow in time, the others get the commands back that they had.
  [[nodiscard]] Transition pause(RouterSpan routers, std::chrono::milliseconds timeout = DEFAULT_PAUSE_TIMEOUT);
  // Also opens admission to destinations whose way is clear again.
  [[nodiscard]] Transition resume(RouterSpan routers, std::chrono::milliseconds timeout = DEFAULT_PAUSE_TIMEOUT);
  // Pauses these routers when nothing is on its way through them any more; the other routers go on, and hold what
  // would come through these until resume(). All at once if it is all. In time or rolled back, with undrained pairs.
  [[nodiscard]] Transition drain(RouterSpan routers, std::chrono::milliseconds timeout = DEFAULT_PAUSE_TIMEOUT);

  [[nodiscard]] Diagnosis probe(const Router& router,
                                std::chrono::milliseconds patience = std::chrono::milliseconds(500)) const;

  [[nodiscard]] Condition examine() const;
  [[nodiscard]] Transition recover(Recovery how, std::chrono::milliseconds timeout = DEFAULT_PAUSE_TIMEOUT);

 private:
  ControlPlane* fabric_;
};

}  // namespace warden::fabric
