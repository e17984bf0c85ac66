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

// A sum over all that others write and that can make a router go on. Counts only grow, so the sum changes with any of
// them; should two other words change at once and make up for each other, the next heartbeat's turn sees them.
[[gnu::always_inline]] inline uint32_t watched(const Watch& watch) {
  const volatile RouterBlock& b = block();
  uint32_t sum = b.peer_produced.count + b.peer_produced.session + b.peer_consumed.count + b.peer_consumed.session;
  sum += at(kTrainingWord) + (at(kTrainWord) << 8);  // when training ends well, one becomes 1 and the other 0
#pragma GCC unroll 12
  for (uint32_t i = 0; i < kLanes; ++i) sum += b.lanes[i].produced + static_cast<uint32_t>(b.lanes[i].kind);
  if (watch.inbound) {
    for (uint32_t i = 0; i < kPorts; ++i) sum += b.ports[i].consumed;
    for (uint32_t i = 0; i < kDeliveries; ++i) sum += b.deliveries[i].consumed + b.deliveries[i].tile;
#pragma GCC unroll 8
    for (uint32_t i = 0; i < kNodesMax; ++i) sum += b.forward[i];
  }
  if (watch.held) {
#pragma GCC unroll 8
    for (uint32_t i = 0; i < kNodesMax; ++i) sum += b.admit[i];
  }
  if (watch.hardware) {
    sum += at(0xFFB90004) + at(0xFFB91004);  // commands of the transmit queues
    sum += at(kNiu + 0x54);                  // busy initiators
    sum += at(kNiu + 0x244);                 // writes that have not arrived, of the forwarder's
  }
  return sum;
}

}  // namespace warden::kernels
