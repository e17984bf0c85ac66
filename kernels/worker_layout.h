// SPDX-License-Identifier: Apache-2.0
// What the programs of Tensix tiles keep in L1: a traffic generator, which sends one flow, and a sink, which checks
// what arrives. Counters and rings as in router_layout.h.
#pragma once

#include "kernels/packet.h"

namespace warden::kernels {

constexpr uint32_t kWorkerKeepRunning = 0;  // WORKER_KEEP_RUNNING
constexpr uint32_t kWorkerTeardown = 1;     // WORKER_TEARDOWN

enum class WorkerKind : uint32_t { kGenerator = 1, kSink = 2 };
enum class WorkerStatus : uint32_t {
  kLoaded = 0,    // host
  kRunning = 1,   // worker
  kComplete = 2,  // worker: torn down, or all sent; everything it sent was taken by its router
  kRefused = 3,   // worker: its arguments make no sense
};

struct WorkerHeader {
  uint32_t magic;    // worker, last of all
  uint32_t version;  // worker
  WorkerKind kind;   // worker
  WorkerStatus status;
  uint32_t heartbeat;         // worker: moves with every packet, and at least ten times a second
  uint32_t teardown_address;  // host: L1 address of the mailbox, which the host sets to kWorkerKeepRunning
  uint32_t reserved[2];
};
static_assert(sizeof(WorkerHeader) == 32);
constexpr uint32_t kWorkerMagic = 0x4B574657;  // "WFWK"
constexpr uint32_t kWorkerVersion = 1;

struct GeneratorArguments {  // host, before the start
  uint32_t router_tile;      // of its first router, on the same chip
  uint32_t lane;             // there
  uint32_t lane_count;       // `produced` and `consumed` of the lane, which is empty
  uint16_t source_node;
  uint16_t destination_node;
  uint32_t destination_tile;
  uint32_t flow;
  uint32_t first_sequence;
  uint32_t packets;          // 0: until torn down
  uint32_t payload_bytes;    // a multiple of 16, at most kPayloadBytesMax
  uint32_t source_buffer;    // own L1, 16-aligned, kSlotBytes
  uint32_t interval_cycles;  // between two packets; 0: as fast as it goes. Late ones are made up for
  uint32_t reserved;
};
static_assert(sizeof(GeneratorArguments) == 48);

struct GeneratorBlock {
  WorkerHeader header;
  GeneratorArguments arguments;
  uint32_t credit;  // the router, with inline stores: `consumed` of the lane. The host sets it to lane_count
  uint32_t reserved0[3];
  uint32_t sent;         // packets put into the lane
  uint32_t delayed;      // packets that found the lane full
  uint32_t blocked_low;  // cycles spent waiting for room
  uint32_t blocked_high;
};
static_assert(sizeof(GeneratorBlock) == 112);

constexpr uint32_t kSinkRings = 16;  // one for each router of the chip, by its channel
constexpr uint32_t kSinkSlots = 8;
constexpr uint32_t kSinkFlows = 64;

struct SinkRing {
  uint32_t produced;  // router
  uint32_t reserved0[3];
  uint32_t consumed;        // sink; host before the start
  uint32_t credit_tile;     // host, any time, last: 0 is unused
  uint32_t credit_address;  // host: `consumed` of the router's delivery
  uint32_t reserved1;
};
static_assert(sizeof(SinkRing) == 32);

struct SinkFlow {  // all by the sink; in the order of their first packets
  uint32_t flow;
  uint32_t received;       // good ones, in order
  uint32_t next_sequence;  // the one awaited
  uint32_t out_of_order;   // with another number than the one awaited: a gap, or one seen before
  uint32_t corrupt;        // whose checksum or content is wrong
  uint32_t bytes_low;      // of payload
  uint32_t bytes_high;
  uint32_t reserved;
};
static_assert(sizeof(SinkFlow) == 32);

struct SinkBlock {
  WorkerHeader header;
  uint32_t flows_seen;  // of flows[]
  uint32_t overflow;    // packets of flows for which there was no room in flows[]
  uint32_t reserved[2];
  SinkRing rings[kSinkRings];
  SinkFlow flows[kSinkFlows];
};

// The L1 of a worker's tile.
constexpr uint32_t kWorkerText = 0x0;
constexpr uint32_t kWorkerTextEnd = 0x4000;
constexpr uint32_t kWorkerBlock = 0x8000;
constexpr uint32_t kSinkSlotsAddress = 0x20000;  // kSinkRings rings of kSinkSlots slots each
constexpr uint32_t kWorkerFree = 0x80000;        // from here on nothing of ours: mailboxes and source buffers
static_assert(kWorkerBlock + sizeof(SinkBlock) <= kSinkSlotsAddress);
static_assert(kSinkSlotsAddress + kSinkRings * kSinkSlots * kSlotBytes <= kWorkerFree);

constexpr uint32_t sink_slots(uint32_t ring) { return kSinkSlotsAddress + ring * kSinkSlots * kSlotBytes; }

}  // namespace warden::kernels
