// SPDX-License-Identifier: Apache-2.0
// The sending half of a link: packets go into the peer's inbound ring, as many as it has slots. What it has not
// consumed is remembered, and sent again when the link starts anew.
#pragma once

#include "kernels/ethernet.h"
#include "kernels/router_state.h"

namespace warden::kernels {

class LinkSender {
 public:
  void begin(uint32_t session) { session_ = session; }
  uint32_t session() const { return session_; }

  // Whether one more packet can be sent now.
  bool ready() const { return sent_ - acknowledged_ < kInboundSlots && left_again_ == 0 && queue_.free(); }
  // Ready. `slot` counts through the slots of all lanes.
  void send(uint32_t slot, uint32_t bytes) {
    slots_[sent_ % kInboundSlots] = static_cast<uint8_t>(slot);
    write(slot, bytes);
  }
  // Not consumed by the peer, as far as is known.
  uint32_t underway() const { return sent_ + left_again_ - acknowledged_; }
  // The next one of which the peer says that it has consumed it: gives its slot.
  bool take_acknowledged(uint32_t& slot) {
    const volatile LinkLine& line = block().peer_consumed;
    if (line.session != session_) return false;  // sync: first the session, then what is counted in it
    return take_until(line.count, slot);
  }
  // To be called every turn: what there was no room for before. Whether there was any.
  bool tell() {
    if (left_again_ != 0 && queue_.free()) send_again();
    if (told_ == sent_ || !queue_.free()) return false;
    volatile LinkLine& line = block().produced_lines[sent_ % kInboundSlots];
    line.count = sent_;
    line.session = session_;
    settle(address_of(line) + 4);
    queue_.write(address_of(line), kRouterBlock + offsetof(RouterBlock, peer_produced), sizeof(LinkLine));
    told_ = sent_;
    return true;
  }
  // All that has to be sent is given to the hardware, and the hardware has taken it.
  bool settled() const { return left_again_ == 0 && told_ == sent_ && queue_.free(); }

  // What the peer had consumed when it began `session`; false: it has not begun, or all have been taken.
  bool take_acknowledged_before(uint32_t session, uint32_t& slot) {
    const volatile LinkLine& line = block().peer_consumed;
    if (line.session != session || line.previous_session != session_) return false;
    return take_until(line.previous_count, slot);
  }
  // Counts from 0; what is underway is sent again.
  void restart(uint32_t session) {
    uint8_t slots[kInboundSlots];
    const uint32_t count = underway();
    for (uint32_t i = 0; i < count; ++i) slots[i] = slots_[(acknowledged_ + i) % kInboundSlots];
    for (uint32_t i = 0; i < count; ++i) slots_[i] = slots[i];
    session_ = session;
    left_again_ = count;
    sent_ = told_ = acknowledged_ = 0;
  }

 private:
  static uint32_t address_of(const volatile LinkLine& line) {
    return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(&line));
  }
  bool take_until(uint32_t count, uint32_t& slot) {
    if (count == acknowledged_ || count - acknowledged_ > sent_ - acknowledged_) return false;  // or impossible
    slot = slots_[acknowledged_++ % kInboundSlots];
    return true;
  }
  void write(uint32_t slot, uint32_t bytes) {
    queue_.write(kLaneRings + slot * kSlotBytes, kInboundRing + sent_ % kInboundSlots * kSlotBytes, bytes);
    ++sent_;
  }
  void send_again() {
    const uint32_t slot = slots_[sent_ % kInboundSlots];
    const PacketView packet(kLaneRings + slot * kSlotBytes);
    --left_again_;
    write(slot, packet.possible() ? packet.bytes() : kSlotBytes);
    count_one(block().counters.resent);
  }

  static constexpr TransmitQueue queue_{0};
  uint32_t session_;
  uint32_t sent_;
  uint32_t told_;  // to the peer
  uint32_t acknowledged_;
  uint32_t left_again_;           // to be sent again
  uint8_t slots_[kInboundSlots];  // of those underway
};

}  // namespace warden::kernels
