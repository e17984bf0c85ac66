// SPDX-License-Identifier: Apache-2.0
// The lanes: whose packet is sent next, and which slots their producers may use again.
#pragma once

#include "kernels/noc.h"
#include "kernels/router_sender.h"
#include "kernels/router_telemetry.h"

namespace warden::kernels {

class Lanes {
 public:
  // Counts as the host has left them: all taken was consumed.
  void begin() {
    for (uint32_t i = 0; i < kLanes; ++i) {
      lanes_[i] = {.taken = block().lanes[i].consumed, .consumed = block().lanes[i].consumed, .held = false};
      block().lanes[i].taken = lanes_[i].taken;
    }
    stores_.forget_earlier();
  }

  // Sends one packet, the lanes having their turns.
  bool send_one(LinkSender& sender, Telemetry& telemetry, bool admit_workers) {
    if (!sender.ready()) return false;
    uint32_t lane = next_;
    for (uint32_t i = 0; i < kLanes; ++i) {
      const bool moved = waiting(lane) != 0 && serve(lane, sender, telemetry, admit_workers);
      if (++lane == kLanes) lane = 0;
      if (moved) {
        next_ = lane;
        return true;
      }
    }
    return false;
  }

  // The peer has consumed the packet of this slot.
  void release(uint32_t slot) {
    const uint32_t lane = slot / kLaneSlots;
    block().lanes[lane].consumed = ++lanes_[lane].consumed;
    owed_ |= 1U << lane;
  }

  // To be called every turn: tells producers what was released.
  void tell() {
    for (uint32_t lane = 0; owed_ != 0 && lane < kLanes; ++lane) {
      if ((owed_ >> lane & 1) == 0) continue;
      if (!stores_.free()) return;
      owed_ &= ~(1U << lane);
      const volatile LaneBlock& to = block().lanes[lane];
      const uint32_t address = to.credit_address;
      if (to.kind == LaneKind::kUnused || !is_memory_word(address)) continue;
      stores_.store(to.credit_tile & 0xFFF, address, lanes_[lane].consumed);
    }
  }
  bool settled() const { return owed_ == 0; }

  bool any_held() const {
    for (const Lane& lane : lanes_) {
      if (lane.held) return true;
    }
    return false;
  }

  // In lanes of other routers, and not sent.
  uint32_t transit() const {
    uint32_t count = 0;
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
      if (block().lanes[lane].kind == LaneKind::kRouter) count += waiting(lane);
    }
    return count;
  }

 private:
  struct Lane {
    uint32_t taken;
    uint32_t consumed;
    bool held;  // its head is, and was counted
  };

  uint32_t waiting(uint32_t lane) const {
    const uint32_t produced = block().lanes[lane].produced;
    return produced - lanes_[lane].consumed <= kLaneSlots ? produced - lanes_[lane].taken : 0;  // or impossible
  }

  bool serve(uint32_t lane, LinkSender& sender, Telemetry& telemetry, bool admit_workers) {
    const LaneKind kind = block().lanes[lane].kind;
    const bool worker = kind == LaneKind::kWorker;
    if (kind == LaneKind::kUnused || (worker && !admit_workers)) return false;
    const uint32_t slot = lane * kLaneSlots + lanes_[lane].taken % kLaneSlots;
    const PacketView packet(kLaneRings + slot * kSlotBytes);
    // A worker speaks for its own node only: else the counts of others would never match.
    if (!packet.possible() || (worker && packet.source_node != block().configuration.node)) return drop(lane, slot);
    if (worker && !admit(lane, packet.destination_node)) return false;
    sender.send(slot, packet.bytes());
    block().lanes[lane].taken = ++lanes_[lane].taken;
    telemetry.sent(packet.bytes());
    return true;
  }

  bool admit(uint32_t lane, uint32_t destination) {
    if (block().admit[destination] != kAdmitOpen) {
      if (!lanes_[lane].held) count_one(block().lanes[lane].held);
      lanes_[lane].held = true;
      return false;
    }
    lanes_[lane].held = false;
    count_one(block().admitted[destination]);
    return true;
  }

  // Slots become free in their order: those before it first.
  bool drop(uint32_t lane, uint32_t slot) {
    if (lanes_[lane].taken != lanes_[lane].consumed) return false;
    block().lanes[lane].taken = ++lanes_[lane].taken;
    count_one(block().counters.malformed);
    release(slot);
    return true;
  }

  static constexpr NocInitiator stores_{1, 2};
  Lane lanes_[kLanes];
  uint32_t next_;
  uint32_t owed_;  // by bits: producers that do not know yet
};

}  // namespace warden::kernels
