// SPDX-License-Identifier: Apache-2.0
// A traffic generator: packets of one flow into a lane of its first router, at a rate or as fast as the lane takes
// them, until all are sent or it is torn down.
#include "kernels/router_layout.h"
#include "kernels/worker.h"

namespace warden::kernels {

namespace {

constexpr NocInitiator kData{0, 1};
constexpr NocInitiator kStores{1, 2};

volatile GeneratorBlock& block() { return at<GeneratorBlock>(kWorkerBlock); }

class Generator {
 public:
  void begin() {
    const volatile GeneratorArguments& from = block().arguments;
    tile_ = from.router_tile;
    lane_ = from.lane;
    produced_ = from.lane_count;
    sequence_ = from.first_sequence;
    left_ = from.packets;
    endless_ = left_ == 0;
    buffer_ = from.source_buffer;
    interval_ = from.interval_cycles;
    header_.payload_bytes = from.payload_bytes;
    header_.destination_node = from.destination_node;
    header_.destination_tile = static_cast<uint16_t>(from.destination_tile);
    header_.source_node = from.source_node;
    header_.flow = from.flow;
    const bool sense = tile_ < 0x1000 && tile_ != 0 && lane_ < kLanes && from.destination_tile < 0x1000 &&
                       header_.destination_node < kNodesMax && header_.source_node < kNodesMax &&
                       header_.payload_bytes % kLineBytes == 0 && header_.payload_bytes != 0 &&
                       header_.payload_bytes <= kPayloadBytesMax && buffer_ % kLineBytes == 0 &&
                       buffer_ >= kWorkerFree && buffer_ <= kTensixL1Bytes - kSlotBytes;
    kData.forget_earlier();
    worker_.begin(WorkerKind::kGenerator, sense);
    due_ = wall_clock();
  }

  [[noreturn]] void run() {
    while (endless_ || left_ != 0) {
      if (!wait_for_turn() || !wait_for_room() || !send()) break;
    }
    while (block().credit != produced_) rest();
    worker_.complete();
  }

 private:
  // All that wait store nothing but the heartbeat, and end when the worker is torn down.
  void rest() {
    if (worker_.beat_due()) worker_.beat();
  }

  bool wait_for_turn() {
    while (!worker_.torn_down()) {
      if (interval_ == 0 || static_cast<int64_t>(wall_clock() - due_) >= 0) {
        due_ += interval_;
        return true;
      }
      rest();
    }
    return false;
  }

  bool room() const { return produced_ - block().credit < kLaneSlots; }

  bool wait_for_room() {
    if (room()) return true;
    count(block().delayed);
    const uint64_t since = wall_clock();
    while (!room() && !worker_.torn_down()) {
      if (worker_.beat_due()) {
        tell_blocked(wall_clock() - since);
        worker_.beat();
      }
    }
    blocked_ += wall_clock() - since;
    tell_blocked(0);
    return room() && !worker_.torn_down();
  }
  void tell_blocked(uint64_t more) { store_wide(block().blocked_low, block().blocked_high, blocked_ + more); }

  bool send() {
    compose();
    if (!kData.free()) return false;
    const uint32_t slot = lane_ring(lane_) + produced_ % kLaneSlots * kSlotBytes;
    kData.write(buffer_, tile_, slot, sizeof(PacketHeader) + header_.payload_bytes);
    while (!kData.arrived() || !kStores.free()) {
      rest();
      if (worker_.torn_down()) return false;
    }
    ++produced_;
    kStores.store(tile_, kRouterBlock + offsetof(RouterBlock, lanes) + lane_ * sizeof(LaneBlock), produced_);
    ++sequence_;
    --left_;
    count(block().sent);
    worker_.beat();
    return true;
  }

  void compose() {
    auto* const payload = reinterpret_cast<uint32_t*>(uintptr_t{buffer_ + sizeof(PacketHeader)});
    const uint32_t words = header_.payload_bytes / 4;
    for (uint32_t i = 0; i < words; ++i) payload[i] = payload_word(header_.flow, sequence_, i);
    header_.sequence = sequence_;
    header_.checksum = packet_checksum(header_, payload);
    *reinterpret_cast<PacketHeader*>(uintptr_t{buffer_}) = header_;
    settle(buffer_ + sizeof(PacketHeader) - sizeof(uint32_t));
  }

  static void count(volatile uint32_t& counter) { counter = counter + 1; }

  Worker worker_;
  PacketHeader header_;
  uint32_t tile_;
  uint32_t lane_;
  uint32_t produced_;
  uint32_t sequence_;
  uint32_t left_;
  bool endless_;
  uint32_t buffer_;
  uint32_t interval_;
  uint64_t due_;
  uint64_t blocked_;
};

Generator generator;

}  // namespace

}  // namespace warden::kernels

int main() {
  using warden::kernels::generator;
  generator.begin();
  generator.run();
}
