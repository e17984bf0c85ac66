// SPDX-License-Identifier: Apache-2.0
// The receiving half of a link: what has arrived in the inbound ring, and telling the peer what was consumed.
#pragma once

#include "kernels/ethernet.h"
#include "kernels/router_state.h"

namespace warden::kernels {

class LinkReceiver {
 public:
  // The first line tells the peer that this side has begun.
  void begin(uint32_t session) {
    session_ = session;
    owes_line_ = true;
  }

  uint32_t waiting() const {
    const volatile LinkLine& line = block().peer_produced;
    if (line.session != session_) return 0;  // sync: first the session, then what is counted in it
    const uint32_t count = line.count - consumed_;
    return count <= kInboundSlots ? count : 0;
  }
  uint32_t head() const { return kInboundRing + consumed_ % kInboundSlots * kSlotBytes; }
  void consume() {
    ++consumed_;
    owes_line_ = true;
  }

  // To be called every turn. Whether there was something to tell.
  bool tell() {
    if (!owes_line_ || !queue_.free()) return false;
    volatile LinkLine& line = block().consumed_line;
    line.count = consumed_;
    line.session = session_;
    line.previous_count = previous_count_;
    line.previous_session = previous_session_;
    constexpr uint32_t kAddress = kRouterBlock + offsetof(RouterBlock, consumed_line);
    settle(kAddress + offsetof(LinkLine, previous_session));
    queue_.write(kAddress, kRouterBlock + offsetof(RouterBlock, peer_consumed), sizeof(LinkLine));
    owes_line_ = false;
    return true;
  }
  bool settled() const { return !owes_line_ && queue_.free(); }

  // Forgets what lies in the ring: it is sent again. The session in which something was consumed last is the one that
  // the peer may still be in.
  void restart(uint32_t session) {
    if (session != session_ && consumed_ != 0) {
      previous_session_ = session_;
      previous_count_ = consumed_;
    }
    if (session != session_) consumed_ = 0;
    begin(session);
  }

 private:
  static constexpr TransmitQueue queue_{1};
  uint32_t session_;
  uint32_t consumed_;
  uint32_t previous_session_;
  uint32_t previous_count_;
  bool owes_line_;
};

}  // namespace warden::kernels
