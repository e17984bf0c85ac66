// SPDX-License-Identifier: Apache-2.0
// From the inbound ring on: to a lane of another router of this chip, or into a sink's ring. One packet at a time, in
// order: who has no room holds up those behind, which is why routes must not run in circles.
#pragma once

#include "kernels/noc.h"
#include "kernels/router_receiver.h"
#include "kernels/router_telemetry.h"
#include "kernels/worker_layout.h"

namespace warden::kernels {

class Forwarder {
 public:
  void begin() {
    data_.forget_earlier();
    stores_.forget_earlier();
  }

  // Moves one packet on.
  bool step(LinkReceiver& receiver, Telemetry& telemetry) {
    if (underway_) return finish(receiver);
    if (receiver.waiting() == 0 || !data_.free()) return false;
    const PacketView packet(receiver.head());
    const Next next = packet.possible() ? next_of(packet) : drop(block().counters.malformed);
    if (next.kind == Kind::kWait) return false;
    telemetry.received(packet.possible() ? packet.bytes() : kLineBytes);
    source_ = packet.source_node;
    counts_ = next.kind == Kind::kDrop || next.local;
    if (next.kind == Kind::kDrop) {
      consume(receiver);
      return true;
    }
    tile_ = next.tile;
    produced_at_ = next.produced_at;
    produced_ = next.produced;
    data_.write(packet.slot, next.tile, next.to, packet.bytes());
    underway_ = true;
    for (uint32_t i = 0; i < kShortWait && underway_; ++i) (void)finish(receiver);
    return true;
  }
  // A packet of which the hardware has not said yet that it has arrived.
  bool underway() const { return underway_; }
  // What was taken is brought to its end in every state.
  bool finish(LinkReceiver& receiver) {
    if (!underway_ || !data_.arrived() || !stores_.free()) return false;
    stores_.store(tile_, produced_at_, produced_);
    underway_ = false;
    consume(receiver);
    return true;
  }

 private:
  enum class Kind : uint8_t { kWait, kDrop, kMove };
  struct Next {
    Kind kind;
    bool local;
    uint32_t tile;
    uint32_t to;           // its address there
    uint32_t produced_at;  // there; what to store when it has arrived
    uint32_t produced;
  };
  static constexpr uint32_t kShortWait = 32;  // looks: most writes have arrived by then

  static Next wait() { return {Kind::kWait, false, 0, 0, 0, 0}; }
  static Next drop(volatile uint32_t& counter) {
    count_one(counter);
    return {Kind::kDrop, false, 0, 0, 0, 0};
  }

  static Next next_of(const PacketView& packet) {
    const uint32_t forward = block().forward[packet.destination_node];
    if (forward == kForwardLocal) return delivery_of(packet.destination_tile);
    return forward < kPorts ? through(block().ports[forward]) : drop(block().counters.unreachable);
  }

  static Next through(volatile PortBlock& port) {
    const uint32_t lane = port.lane;
    if (port.tile == 0 || lane >= kLanes) return drop(block().counters.unreachable);
    const uint32_t produced = port.produced;
    if (produced - port.consumed >= kLaneSlots) return wait();
    port.produced = produced + 1;
    return {.kind = Kind::kMove,
            .local = false,
            .tile = port.tile & 0xFFF,
            .to = lane_ring(lane) + produced % kLaneSlots * kSlotBytes,
            .produced_at = kRouterBlock + static_cast<uint32_t>(offsetof(RouterBlock, lanes)) +
                           lane * static_cast<uint32_t>(sizeof(LaneBlock)),
            .produced = produced + 1};
  }

  static Next delivery_of(uint32_t tile) {
    for (uint32_t i = 0; i < kDeliveries; ++i) {
      if (tile != 0 && block().deliveries[i].tile == tile) return into(block().deliveries[i], tile);
    }
    return drop(block().counters.undeliverable);
  }

  static Next into(volatile DeliveryBlock& delivery, uint32_t tile) {
    constexpr uint32_t kRings = kWorkerBlock + offsetof(SinkBlock, rings);
    const uint32_t address = delivery.ring;
    const uint32_t ring = (address - kRings) / sizeof(SinkRing);
    if (ring >= kSinkRings || address != kRings + ring * sizeof(SinkRing)) return drop(block().counters.undeliverable);
    const uint32_t produced = delivery.produced;
    if (produced - delivery.consumed >= kSinkSlots) return wait();
    delivery.produced = produced + 1;
    return {.kind = Kind::kMove,
            .local = true,
            .tile = tile & 0xFFF,
            .to = sink_slots(ring) + produced % kSinkSlots * kSlotBytes,
            .produced_at = address,
            .produced = produced + 1};
  }

  void consume(LinkReceiver& receiver) {
    if (counts_ && source_ < kNodesMax) count_one(block().delivered[source_]);
    receiver.consume();
  }

  static constexpr NocInitiator data_{0, 1};
  static constexpr NocInitiator stores_{2, 3};
  bool underway_;
  bool counts_;  // it ends here, delivered or dropped
  uint32_t source_;
  uint32_t tile_;
  uint32_t produced_at_;
  uint32_t produced_;
};

}  // namespace warden::kernels
