// SPDX-License-Identifier: Apache-2.0
// Chips taken out of a running fabric for a reset, and put back. Traffic between the others goes on; what would go
// through the cut waits at its sender.
#pragma once

#include <chrono>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <vector>

#include <warden/result.h>
#include <nlohmann/json_fwd.hpp>

#include "driver/fabric/accounts.h"
#include "driver/fabric/control_plane.h"
#include "driver/fabric/lane_counts.h"
#include "driver/fabric/losses.h"
#include "driver/fabric/router_state_manager.h"

namespace warden::fabric {

struct CutLinks;
struct RouterPlan;

struct CutReport {
  std::vector<FabricNodeId> chips;
  std::vector<RouterId> facing;        // routers of the others whose links lead into the cut
  std::vector<PairAccount> undrained;  // by prepare(): not out by the deadline
  std::vector<Straggler> not_paused;   // of the facing
  std::uint32_t held_pairs = 0;        // of devices whose way leads through the cut, and that have had traffic
  std::uint64_t delayed_packets = 0;   // that waited because their way led through the cut
  std::uint64_t resent_packets = 0;    // by facing routers, after the reset
  std::uint64_t lost_packets = 0;      // that were inside the cut and are gone: those on their way through it, and, if
                                       // this object prepared it, those to and from its chips
  std::uint64_t doubled_packets = 0;   // that the cut had passed on, but not said so before it hung: they come twice
  std::vector<RouterId> not_restored;  // links that did not come back, routers that did not start
  std::vector<std::string> remarks;    // one line each
  std::chrono::microseconds prepare_duration{0};
  std::chrono::microseconds restore_duration{0};
};
[[nodiscard]] nlohmann::json to_json(const CutReport& report);

struct CutOptions {
  std::chrono::milliseconds drain_timeout{5000};
  std::chrono::milliseconds pause_timeout{5000};
  std::chrono::milliseconds link_deadline{5000};
  std::chrono::milliseconds start_deadline{5000};
};

// Borrows the control plane. Threads: one at a time.
//
//   prepare ──► (the chips are reset by whoever does that) ──► restore
//
// restore() needs only what the cards tell: it also ends what a killed predecessor began.
class Cut {
 public:
  // `chips`: devices of the fabric; kNotFound by prepare() and restore() for others.
  Cut(ControlPlane& fabric, std::vector<FabricNodeId> chips, const CutOptions& options = {});

  // Holds, drains, pauses. What does not follow in time, or does not answer, is in the report and is no error: a chip
  // that hangs must be reset all the same.
  [[nodiscard]] Status prepare();
  // Without a reset: everything goes on as before.
  [[nodiscard]] Status abandon();
  // Waits for the links, loads the routers of the cut, joins their neighbours to them, runs all that ran before, admits
  // again. Links that do not come back are in the report: what would use them stays held. Lists of routers taken before
  // are void.
  [[nodiscard]] Status restore();

  [[nodiscard]] const CutReport& report() const noexcept { return report_; }

 private:
  [[nodiscard]] Status check_chips() const;
  [[nodiscard]] bool in_cut(const FabricNodeId& node) const noexcept;
  [[nodiscard]] RouterList facing() const;  // of the others, those whose links lead into the cut
  [[nodiscard]] RouterList inside() const;
  void note_paused(RouterSpan routers);  // and which the cut pauses: on the cards, for whoever comes after
  [[nodiscard]] bool run_already(std::span<const RouterPlan> plans) const;
  void stop_what_runs();
  void name_down(const CutLinks& links);
  [[nodiscard]] Status load(std::vector<RouterPlan>& plans);
  [[nodiscard]] std::vector<RouterId> join_neighbours(const CutLinks& links, std::span<const RouterPlan> plans);
  [[nodiscard]] Status run(std::span<const RouterId> routers);
  void count_delayed();
  void count_lost(const PairCounts& before_cut, RouterSpan others);

  ControlPlane* fabric_;
  std::vector<FabricNodeId> chips_;
  CutOptions options_;
  CutReport report_;
  bool prepared_ = false;
  std::set<RouterId> paused_before_;  // by somebody else: they stay so
  HeldCounts held_before_;
  Losses losses_;  // of pairs whose way led through the cut
};

// Devices whose cards have these names; kNotFound for one that is not in the fabric.
[[nodiscard]] Result<std::vector<FabricNodeId>> devices_of_cards(const ControlPlane& fabric,
                                                                 const std::vector<std::string>& names);

}  // namespace warden::fabric
