// SPDX-License-Identifier: Apache-2.0
// The cable between two Ethernet tiles, usually of two chips. What is sent into it arrives once and in order, or is
// held back by the sender: the hardware repeats what was lost. Threads: any; each end is used by its own chip.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "tools/sim/clock.h"

namespace warden::sim {

// A write at the other side: to its L1, or one word to its registers.
struct EthernetPacket {
  std::uint32_t address = 0;
  std::vector<std::byte> data;
};

class EthernetLink {
 public:
  static constexpr std::size_t kInFlightBytes = 64 * 1024;  // in one direction

  // `latching`: how long a transmit queue needs to look at what it is told. Until then it may not be touched; what it
  // is to send it reads later still, when it has long taken the next commands.
  explicit EthernetLink(std::chrono::milliseconds training, std::chrono::microseconds latching = {})
      : training_(training), latching_(latching) {}
  [[nodiscard]] std::chrono::microseconds latching() const noexcept { return latching_; }

  // Called, from any thread, when there is something new for this side: packets, room, or another state. Before the
  // link is used.
  void set_bell(unsigned side, std::function<void()> bell) { sides_[side].bell = std::move(bell); }
  void ring(unsigned side) const {
    if (sides_[side].bell) sides_[side].bell();
  }

  enum class State : std::uint8_t { kDown, kTraining, kFailed, kUp };
  struct View {
    State state = State::kDown;
    std::optional<TimePoint> changes;  // when training ends
  };
  [[nodiscard]] View view(TimePoint now);

  // Whether this side's firmware lives. A side that is not ready takes the link down; what was in flight to it is lost
  // with its memory, what was in flight from it still arrives.
  void set_ready(unsigned side, bool ready, TimePoint now);
  // Asked for by a side: the link goes down and trains from the start. What is in flight still arrives.
  void retrain(TimePoint now);
  // Whether training comes to anything on this side. Does nothing to a link that is up.
  void set_trainable(unsigned side, bool trainable, TimePoint now);
  // A cable pulled out, and put in again.
  void set_plugged(bool plugged, TimePoint now);

  // False, and nothing taken: the link is not up, or full. The bell rings when it is worth another try.
  [[nodiscard]] bool send(unsigned side, EthernetPacket& packet, TimePoint now);
  // What has arrived, in order.
  [[nodiscard]] std::deque<EthernetPacket> receive(unsigned side);

 private:
  struct Side {
    bool ready = false;
    bool trainable = true;
    bool refused = false;  // its last packet was not taken
    std::deque<EthernetPacket> arriving;
    std::size_t arriving_bytes = 0;
    std::function<void()> bell;
  };
  [[nodiscard]] View view_locked(TimePoint now) const;
  void train_anew(TimePoint now);
  void ring_both();

  const std::chrono::milliseconds training_;
  const std::chrono::microseconds latching_;
  std::mutex mutex_;  // guards everything below, and no other lock is taken under it but those of the bells
  std::array<Side, 2> sides_;
  bool plugged_ = true;
  std::optional<TimePoint> trained_at_;  // while both sides are ready and plugged in
  bool fails_ = false;                   // that training, or the present one
};

// One side of one, as a tile has it.
struct LinkEnd {
  std::shared_ptr<EthernetLink> link;
  unsigned side = 0;
};

}  // namespace warden::sim
