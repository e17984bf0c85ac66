// SPDX-License-Identifier: Apache-2.0
// What an idle router keeps an eye on. It stores nothing on the way: a simulator sees that such a loop can't go on by
// itself, and lets it sleep.
#pragma once

#include "kernels/ethernet.h"
#include "kernels/noc.h"
#include "kernels/router_state.h"

namespace warden::kernels {

// What a router may be waiting for besides the words that always count.
struct Watch {
  bool hardware;  // to take or to bring what it was given
  bool inbound;   // somebody to make room for what has arrived, or another route
  bool held;      // the host to open a destination

  bool operator==(const Watch&) const = default;
};

// A number made of all that others write and that can make a router go on; another one as soon as any of it changes. A
// mere sum is not enough: a queue that becomes free and a link that comes up would make up for each other.
[[gnu::always_inline]] inline uint32_t watched(const Watch& watch) {
  uint32_t sum = 0;
  const auto add = [&sum](uint32_t word) __attribute__((always_inline)) { sum = sum * 0x9E3779B1U + word; };
  const volatile RouterBlock& b = block();
  add(b.peer_produced.count);
  add(b.peer_produced.session);
  add(b.peer_consumed.count);
  add(b.peer_consumed.session);
  add(at(kTrainingWord));
  add(at(kTrainWord));
#pragma GCC unroll 12
  for (uint32_t i = 0; i < kLanes; ++i) add(b.lanes[i].produced + (static_cast<uint32_t>(b.lanes[i].kind) << 16));
  if (watch.inbound) {
    for (uint32_t i = 0; i < kPorts; ++i) add(b.ports[i].consumed);
    for (uint32_t i = 0; i < kDeliveries; ++i) add(b.deliveries[i].consumed + (b.deliveries[i].tile << 16));
#pragma GCC unroll 8
    for (uint32_t i = 0; i < kNodesMax; ++i) add(b.forward[i]);
  }
  if (watch.held) {
#pragma GCC unroll 8
    for (uint32_t i = 0; i < kNodesMax; ++i) add(b.admit[i]);
  }
  if (watch.hardware) {
    add(at(0xFFB90004));  // commands of the transmit queues
    add(at(0xFFB91004));
    add(at(kNiu + 0x54));   // busy initiators
    add(at(kNiu + 0x244));  // writes that have not arrived, of the forwarder's
  }
  return sum;
}

}  // namespace warden::kernels
