// SPDX-License-Identifier: Apache-2.0
// A router: takes turns between what the host wants, what arrives, and what is to be sent, and never waits for any of
// them alone. What that means for others is written in router_layout.h.
#include "kernels/router_commands.h"
#include "kernels/router_forwarder.h"
#include "kernels/router_lanes.h"
#include "kernels/router_receiver.h"
#include "kernels/router_sender.h"
#include "kernels/router_telemetry.h"
#include "kernels/router_watch.h"

namespace warden::kernels {

namespace {

// Packets of each direction in one turn: a command is not kept waiting for longer.
constexpr uint32_t kPacketsPerTurn = 4;

class Router {
 public:
  void begin() {
    const uint64_t now = wall_clock();
    const uint32_t session = block().configuration.link_session;
    telemetry_.begin(now);
    lanes_.begin();
    forwarder_.begin();
    sender_.begin(session);
    receiver_.begin(session);
    commands_.look(now, telemetry_);
    write_manifest();
  }

  // Whether anything moved, so that another turn may find more to do.
  bool turn() {
    const uint64_t now = wall_clock();
    telemetry_.turn(now);
    commands_.look(now, telemetry_);
    bool moved = forwarder_.finish(receiver_);
    for (uint32_t slot = 0; sender_.take_acknowledged(slot); moved = true) lanes_.release(slot);
    if (commands_.state() == RouterState::kRetraining) {
      commands_.retrain(now, sender_, receiver_, forwarder_, lanes_, telemetry_);
    }
    if (commands_.state() == RouterState::kRunning) moved |= move(true);
    if (commands_.state() == RouterState::kDraining) moved |= move(false);
    moved |= sender_.tell();
    moved |= receiver_.tell();
    lanes_.tell();
    publish();
    return moved;
  }

  Watch watch() const {
    return {.hardware = forwarder_.underway() || !sender_.settled() || !receiver_.settled() || !lanes_.settled(),
            .inbound = receiver_.waiting() != 0,
            .held = lanes_.any_held()};
  }
  // Until something may be different from what it was `before` the last turn, in which nothing moved. Stores nothing:
  // in a function of its own, as everything else would leave it too few registers.
  [[gnu::noinline]] void wait(const Watch& watch, uint32_t before) const {
    if (this->watch() != watch) return;  // there is something else to look at now
    while (!commands_.pending() && !telemetry_.due() && watched(watch) == before) {
    }
  }

 private:
  static void write_manifest() {
    volatile RouterManifest& to = block().manifest;
    to.version = kRouterVersion;
    to.features = kTelemetry ? kFeatureTelemetry : 0;
    to.state_address = kRouterBlock + offsetof(RouterBlock, state);
    to.telemetry_address = kRouterBlock + offsetof(RouterBlock, telemetry);
    to.lanes_address = kRouterBlock + offsetof(RouterBlock, lanes);
    to.lane_slots_address = kLaneRings;
    to.inbound_address = kInboundRing;
    to.magic = kRouterMagic;
  }

  bool move(bool admit_workers) {
    bool moved = false;
    for (uint32_t i = 0; i < kPacketsPerTurn; ++i) {
      const bool received = forwarder_.step(receiver_, telemetry_);
      const bool sent = lanes_.send_one(sender_, telemetry_, admit_workers);
      (void)sender_.tell();
      if (!received && !sent) break;
      moved = true;
    }
    return moved;
  }

  void publish() const {
    const uint32_t inbound = receiver_.waiting();
    block().counters.inbound = inbound;
    block().counters.inside = inbound + sender_.underway() + lanes_.transit();
  }

  Commands commands_;
  Telemetry telemetry_;
  Lanes lanes_;
  LinkSender sender_;
  LinkReceiver receiver_;
  Forwarder forwarder_;
};

Router router;

}  // namespace

}  // namespace warden::kernels

int main() {
  using namespace warden::kernels;  // NOLINT(google-build-using-namespace)
  router.begin();
  for (;;) {
    const Watch watch = router.watch();
    const uint32_t before = watched(watch);
    if (!router.turn()) router.wait(watch, before);
  }
}
