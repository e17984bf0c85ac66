// SPDX-License-Identifier: Apache-2.0
// A sink: takes packets out of its rings, checks each against what a generator would have sent, and counts by flow.
#include "kernels/worker.h"

namespace warden::kernels {

namespace {

constexpr NocInitiator kStores{1, 2};

volatile SinkBlock& block() { return at<SinkBlock>(kWorkerBlock); }

class Sink {
 public:
  void begin() { worker_.begin(WorkerKind::kSink, true); }

  [[noreturn]] void run() {
    while (!worker_.torn_down()) {
      const uint32_t before = watched();
      bool any = false;
      for (uint32_t ring = 0; ring < kSinkRings; ++ring) any |= serve(ring);
      if (any) continue;
      while (watched() == before && !worker_.torn_down() && !worker_.beat_due()) {
      }
      if (worker_.beat_due()) worker_.beat();
    }
    worker_.complete();
  }

 private:
  // Changes when a packet arrives, a ring is put to use, or an initiator becomes free.
  [[gnu::always_inline]] uint32_t watched() const {
    uint32_t sum = owed_ != 0 && !kStores.free() ? 1 : 0;
#pragma GCC unroll 16
    for (uint32_t i = 0; i < kSinkRings; ++i) sum += block().rings[i].produced + block().rings[i].credit_tile;
    return sum;
  }

  // Whether it held anything. One packet at most: the rings have their turns.
  bool serve(uint32_t index) {
    volatile SinkRing& ring = block().rings[index];
    if (ring.credit_tile == 0) return false;
    const uint32_t consumed = ring.consumed;
    const uint32_t waiting = ring.produced - consumed;
    if (waiting != 0 && waiting <= kSinkSlots) {
      check(sink_slots(index) + consumed % kSinkSlots * kSlotBytes);
      ring.consumed = consumed + 1;
      owed_ |= 1U << index;
      worker_.beat();
    }
    tell(index, ring);
    return waiting != 0 && waiting <= kSinkSlots;
  }

  void tell(uint32_t index, const volatile SinkRing& ring) {
    if ((owed_ >> index & 1) == 0 || !kStores.free()) return;
    owed_ &= ~(1U << index);
    if (!is_memory_word(ring.credit_address)) return;
    kStores.store(ring.credit_tile & 0xFFF, ring.credit_address, ring.consumed);
  }

  void check(uint32_t slot) {
    forget_memory();
    const auto& header = *reinterpret_cast<const PacketHeader*>(uintptr_t{slot});
    const auto* const payload = reinterpret_cast<const uint32_t*>(uintptr_t{slot + sizeof(PacketHeader)});
    volatile SinkFlow* const flow = flow_of(header.flow);
    if (flow == nullptr) {
      count(block().overflow);
      return;
    }
    const bool good = as_sent(header, payload);
    const uint32_t ahead = header.sequence - flow->next_sequence;
    if (!good) count(flow->corrupt);
    if (ahead != 0) count(flow->out_of_order);
    // Behind a gap it goes on from there; what was seen before changes nothing.
    if (static_cast<int32_t>(ahead) >= 0) flow->next_sequence = header.sequence + 1;
    if (!good || ahead != 0) return;
    count(flow->received);
    const uint32_t bytes = flow->bytes_low + header.payload_bytes;
    if (bytes < header.payload_bytes) count(flow->bytes_high);
    flow->bytes_low = bytes;
  }

  static bool as_sent(const PacketHeader& header, const uint32_t* payload) {
    if (header.payload_bytes > kPayloadBytesMax || header.checksum != packet_checksum(header, payload)) return false;
    for (uint32_t i = 0; i < header.payload_bytes / 4; ++i) {
      if (payload[i] != payload_word(header.flow, header.sequence, i)) return false;
    }
    return true;
  }

  // Those the host has put there before are gone on with.
  static volatile SinkFlow* flow_of(uint32_t flow) {
    const uint32_t seen = block().flows_seen;
    for (uint32_t i = 0; i < seen && i < kSinkFlows; ++i) {
      if (block().flows[i].flow == flow) return &block().flows[i];
    }
    if (seen >= kSinkFlows) return nullptr;
    block().flows[seen].flow = flow;
    block().flows_seen = seen + 1;
    return &block().flows[seen];
  }

  static void count(volatile uint32_t& counter) { counter = counter + 1; }

  Worker worker_;
  uint32_t owed_;  // by bits: rings whose router has not been told
};

Sink sink;

}  // namespace

}  // namespace warden::kernels

int main() {
  using warden::kernels::sink;
  sink.begin();
  sink.run();
}
