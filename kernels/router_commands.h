// SPDX-License-Identifier: Apache-2.0
// What the host wants of a router, and the states that come of it.
#pragma once

#include "kernels/router_forwarder.h"
#include "kernels/router_lanes.h"
#include "kernels/router_receiver.h"

namespace warden::kernels {

class Commands {
 public:
  RouterState state() const { return state_; }
  // Something to do for look().
  bool pending() const { return block().state.command != seen_ || block().probe != probe_; }

  void look(uint64_t now, Telemetry& telemetry) {
    const uint32_t probe = block().probe;
    if (probe != probe_) block().counters.probe_answer = probe_ = probe;
    const RouterCommand command = block().state.command;
    if (any_seen_ && command == seen_) return;
    any_seen_ = true;
    seen_ = command;
    store_wide(block().counters.command_seen_low, block().counters.command_seen_high, now);
    switch (command) {
      case RouterCommand::kRun: enter(RouterState::kRunning, now, telemetry); break;
      case RouterCommand::kPause: enter(RouterState::kPaused, now, telemetry); break;
      case RouterCommand::kDrain: enter(RouterState::kDraining, now, telemetry); break;
      case RouterCommand::kRetrain:
        if ((block().configuration.retrain_flags & kRetrainPhysical) != 0) ask_for_training();
        session_ = block().configuration.link_session;
        enter(RouterState::kRetraining, now, telemetry);
        break;
      default: break;  // not one that we know: as before
    }
  }

  // Retraining, step by step; a step that has to wait is tried again in the next turn. Left half-way by another
  // command, it is taken up by the next kRetrain: each half of the link knows its own session.
  void retrain(uint64_t now, LinkSender& sender, LinkReceiver& receiver, const Forwarder& forwarder, Lanes& lanes,
               Telemetry& telemetry) {
    if (!link_is_up() || forwarder.underway()) return;
    if (!receiver_began_) receiver.restart(session_);
    receiver_began_ = true;
    if (sender.session() != session_) {
      if (block().peer_consumed.session != session_) return;  // the peer has not begun
      for (uint32_t slot = 0; sender.take_acknowledged_before(session_, slot);) lanes.release(slot);
      sender.restart(session_);
    }
    if (sender.settled() && receiver.settled()) enter(RouterState::kPaused, now, telemetry);
  }

 private:
  void enter(RouterState state, uint64_t now, Telemetry& telemetry) {
    receiver_began_ = false;
    state_ = state;
    telemetry.state(state);
    store_wide(block().counters.state_since_low, block().counters.state_since_high, now);
    block().state.state = state;
  }

  RouterState state_;
  RouterCommand seen_;
  bool any_seen_;
  bool receiver_began_;
  uint32_t probe_;
  uint32_t session_;
};

}  // namespace warden::kernels
