// SPDX-License-Identifier: Apache-2.0
// What a router tells of itself: traffic, cycles, heartbeat. An image may be built without, which leaves it all zero.
#pragma once

#include "kernels/router_state.h"

#ifndef WARDEN_TELEMETRY
#define WARDEN_TELEMETRY 1
#endif

namespace warden::kernels {

constexpr bool kTelemetry = WARDEN_TELEMETRY != 0;
constexpr uint32_t kHeartbeatClocks = 50 * kClocksPerMillisecond;

class Telemetry {
 public:
  void begin(uint64_t now) {
    if (!kTelemetry) return;
    volatile RouterTelemetry& to = block().telemetry;
    const volatile RouterConfiguration& from = block().configuration;
    to.mesh_id = from.mesh_id;
    to.node = from.node;
    to.channel = from.channel;
    to.direction = from.direction;
    turn_began_ = last_beat_ = now;
  }

  // A turn begins, and with it ends the one before, in which something was sent or received or not. A clock that stands
  // still makes many turns one.
  void turn(uint64_t now) {
    if (!kTelemetry || now == turn_began_) return;
    const uint64_t clocks = now - turn_began_;
    turn_began_ = now;
    add(block().telemetry.transmit.cycles, clocks);
    add(block().telemetry.receive.cycles, clocks);
    if (sent_) add(block().telemetry.transmit.active_cycles, clocks);
    if (received_) add(block().telemetry.receive.active_cycles, clocks);
    sent_ = received_ = false;
    if (now - last_beat_ >= kHeartbeatClocks) beat(now);
  }
  // Something has to be told although nothing happens.
  bool due() const { return kTelemetry && clock_low() - static_cast<uint32_t>(last_beat_) >= kHeartbeatClocks; }

  void sent(uint32_t bytes) { sent_ = count(block().telemetry.transmit, bytes); }
  void received(uint32_t bytes) { received_ = count(block().telemetry.receive, bytes); }
  void state(RouterState state) {
    if (kTelemetry) block().telemetry.cores[0].state = static_cast<uint32_t>(state);
  }

 private:
  static void add(volatile uint64_t& to, uint64_t what) { to = to + what; }
  static bool count(volatile RouterTelemetry::Traffic& traffic, uint32_t bytes) {
    if (!kTelemetry) return false;
    add(traffic.words, bytes / kLineBytes);
    add(traffic.packets, 1);
    return true;
  }
  void beat(uint64_t now) {
    last_beat_ = now;
    add(block().telemetry.cores[0].transmit_heartbeat, 1);
    add(block().telemetry.cores[0].receive_heartbeat, 1);
  }

  uint64_t turn_began_;
  uint64_t last_beat_;
  bool sent_;
  bool received_;
};

}  // namespace warden::kernels
