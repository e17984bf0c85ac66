// SPDX-License-Identifier: Apache-2.0
// What an Ethernet tile has besides a core: two transmit queues, two receive queues that need no software, and the
// words that its firmware leaves in L1 about the link. Source: hardware behaviour as modelled by ttsim, tt-umd.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <span>

#include "tools/sim/access.h"
#include "tools/sim/clock.h"
#include "tools/sim/ethernet_link.h"

namespace warden::sim {

// Who is at the two ends, as firmware learns it in training.
struct LinkIdentity {
  std::uint32_t board = 0;
  std::uint32_t remote_board = 0;
  std::uint8_t remote_channel = 0;
  std::uint8_t x = 0;  // of the chip in its mesh
  std::uint8_t y = 0;
  std::uint8_t remote_x = 0;
  std::uint8_t remote_y = 0;
};

// Threads: those of its chip, one at a time.
class EthernetPort {
 public:
  static constexpr Range kTransmit{0xFFB90000, 0x2000};

  // Borrows the L1 of its tile. `deliver` writes to the tile what has arrived.
  using Deliver = std::function<void(std::uint64_t address, std::span<const std::byte> data)>;
  EthernetPort(std::span<std::byte> l1, Deliver deliver) : l1_(l1), deliver_(std::move(deliver)) {}

  void connect(LinkEnd end, std::uint8_t channel, const LinkIdentity& identity);
  [[nodiscard]] std::uint8_t channel() const noexcept { return channel_; }
  [[nodiscard]] bool connected() const noexcept { return end_.link != nullptr; }
  void set_plugged(bool plugged, TimePoint now) { end_.link->set_plugged(plugged, now); }
  void set_trainable(bool trainable, TimePoint now) { end_.link->set_trainable(end_.side, trainable, now); }

  // Registers of the transmit queues, by address; writing to the command word sends.
  [[nodiscard]] std::uint32_t read_word(std::uint64_t address) const;
  void write_word(std::uint64_t address, std::uint32_t value, TimePoint now);

  // The chip's reset has begun: nothing is sent or taken any more; it has ended: the firmware is up again.
  void go_down(TimePoint now);
  void come_up(TimePoint now);

  // Any thread: there is something new about the link.
  void ring() noexcept { rung_.store(true, std::memory_order_release); }  // sync: ethernet_port.rung
  // If it was rung for, or training is over: takes what has arrived, sends what waits, tells the link's state. True if
  // a command was taken from a queue, which the core may wait for.
  [[nodiscard]] bool serve(TimePoint now);
  // When training is over, or a queue looks at what it was told.
  [[nodiscard]] std::optional<TimePoint> next_change() const noexcept { return next_change_; }

  // What firmware does besides: looks whether training is asked for, and counts its heartbeat. To be called when L1 may
  // have been written, and before the heartbeat is read.
  static constexpr Range kRetrainWord{0x1EFC, 4};
  static constexpr Range kHeartbeatWord{0x1C, 4};
  void look_for_retrain(TimePoint now);
  void beat(TimePoint now);

 private:
  // What a queue was told to send, before anything of it is read.
  struct Transfer {
    std::uint32_t destination = 0;
    std::uint32_t start = 0;  // in L1; with size 0 it is the word
    std::uint32_t size = 0;
    TimePoint reads;  // not earlier
  };
  struct Queue {
    std::map<std::uint64_t, std::uint32_t> registers;
    std::uint32_t command = 0;         // 0: the next may be written
    std::optional<TimePoint> latches;  // when the hardware looks at the registers
    std::deque<Transfer> taken;
  };
  void command(unsigned queue, std::uint32_t value, TimePoint now);
  [[nodiscard]] std::optional<Transfer> transfer_of(unsigned queue) const;
  [[nodiscard]] EthernetPacket read_from_memory(const Transfer& transfer) const;
  [[nodiscard]] bool is_slow() const { return connected() && end_.link->latching().count() != 0; }
  bool latch(unsigned queue, TimePoint now);
  bool work(unsigned queue, TimePoint now);
  [[nodiscard]] std::optional<TimePoint> next_of_queues() const;
  void tell(EthernetLink::State state);
  void write_link_words(EthernetLink::State state);
  [[nodiscard]] std::uint32_t word(std::uint64_t address) const;
  void set_word(std::uint64_t address, std::uint32_t value);

  std::span<std::byte> l1_;
  Deliver deliver_;
  LinkEnd end_;
  std::uint8_t channel_ = 0;  // of E0 to E15
  LinkIdentity identity_;
  std::array<Queue, 2> queues_;
  std::atomic<bool> rung_{false};  // sync: ethernet_port.rung
  std::optional<TimePoint> next_change_;
  EthernetLink::State told_ = EthernetLink::State::kDown;
  bool retraining_ = false;  // as asked for by the word, which stays until it is over
};

}  // namespace warden::sim
