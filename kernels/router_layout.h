// SPDX-License-Identifier: Apache-2.0
// What a router keeps in the L1 of its Ethernet tile, for the host, for its peer and for those who send through it.
//
// HOW PACKETS MOVE. A router serves one link. What leaves over the link is taken from *lanes*: rings in its own L1,
// each with one producer, which is another router of the chip (transit) or a worker. What arrives over the link lies in
// the *inbound ring*, and goes to a lane of another router of the chip or to a sink's ring, with NoC writes. Every ring
// counts with two words that only grow (mod 2^32): `produced`, written by its producer when the packet's bytes have
// arrived, and `consumed`, told back to the producer. A packet sent over the link keeps its slot in the lane until the
// peer has consumed it: the hardware may read it again, and a link that starts anew sends it again.
//
// WHO WRITES. Each word has one writer: the host (before the core starts, or marked "any time"), the router, or the
// named other. Words of the host are checked by the router before use; nothing the host writes can make it leave its
// rings, though a wrong address of the host makes it write to a wrong place.
//
// Values of commands, states and the telemetry's layout are those of tt-metal's fabric, so that its tools can read
// ours.
#pragma once

#include "kernels/packet.h"

namespace warden::kernels {

enum class RouterCommand : uint32_t { kRun = 0, kPause = 1, kDrain = 3, kRetrain = 4 };
// The host makes it kInitializing; the router never goes back to it.
enum class RouterState : uint32_t { kInitializing = 0, kRunning = 1, kPaused = 2, kDraining = 3, kRetraining = 4 };
// kRun: everything moves.
// kPause: nothing is taken from a lane or from the inbound ring. What the hardware was already given may arrive.
// kDrain: as kRun, but nothing is taken from workers' lanes; ends with another command. The host sees by the counters
//   when what it waits for is out.
// kRetrain: waits until the link is up (asks the firmware to train it first, with kRetrainPhysical), starts the link's
//   counts anew with `link_session`, sends again what the peer did not consume; then kPaused.

struct RouterStateBlock {
  RouterState state;  // router
  uint32_t reserved0[3];
  RouterCommand command;  // host, any time
  uint32_t reserved1[3];
};
static_assert(sizeof(RouterStateBlock) == 32);

// All by the router. Counted in lines of 16 bytes ("words") and packets; cycles are those of the wall clock. Written
// before the state that they lead to.
struct RouterTelemetry {
  uint16_t mesh_id;
  uint16_t node;
  uint8_t channel;
  uint8_t direction;  // as RouterConfiguration
  uint16_t reserved0;
  uint32_t reserved1[2];
  struct Traffic {
    uint64_t active_cycles;  // 16, 48: of turns in which something moved
    uint64_t cycles;         // 24, 56: of all turns
    uint64_t words;          // 32, 64: num_words_sent, and received
    uint64_t packets;        // 40, 72
  };
  Traffic transmit;
  Traffic receive;
  struct Core {
    uint64_t state;               // 80: as RouterState
    uint64_t transmit_heartbeat;  // 88: moves at least ten times a second, whatever the router does
    uint64_t receive_heartbeat;   // 96
  };
  Core cores[2];        // Wormhole has one
  uint32_t postcode;    // 128
  uint32_t scratch[7];  // 132
};
static_assert(sizeof(RouterTelemetry) == 160);

enum class LaneKind : uint32_t { kUnused = 0, kRouter = 1, kWorker = 2 };

struct LaneBlock {
  uint32_t produced;  // producer
  uint32_t reserved0[3];
  uint32_t consumed;  // router: the peer has consumed so many; their slots are free
  uint32_t taken;     // router: sent over the link so many
  uint32_t held;      // router: packets that had to wait because their destination is held
  uint32_t reserved1;
  LaneKind kind;         // host, any time: last to begin, first to end. kUnused and not empty: waits
  uint32_t credit_tile;  // host, with kind: where `consumed` is told to, with inline stores
  uint32_t credit_address;
  uint32_t reserved2[5];
};
static_assert(sizeof(LaneBlock) == 64);

// A lane of another router of this chip.
struct PortBlock {
  uint32_t tile;      // host
  uint32_t lane;      // host
  uint32_t produced;  // router; host before the start
  uint32_t reserved0;
  uint32_t consumed;  // that router
  uint32_t reserved1[3];
};
static_assert(sizeof(PortBlock) == 32);

// A ring of a sink on this chip.
struct DeliveryBlock {
  uint32_t tile;      // host, any time: last to begin, first to end. 0: unused
  uint32_t ring;      // host: L1 address of the SinkRing
  uint32_t produced;  // router; host while unused
  uint32_t owner;     // the host's note, as in RouterConfiguration: the sink's tile while its core may run. 0: free
  uint32_t consumed;  // sink; host while unused
  uint32_t reserved1[3];
};
static_assert(sizeof(DeliveryBlock) == 32);

// 16 bytes that routers send to each other over the link. Of another session: ignored.
struct LinkLine {
  uint32_t count;
  uint32_t session;
  uint32_t previous_count;    // of peer_consumed: how far it had come in the session before, for which no line may have
  uint32_t previous_session;  // come through; what was consumed then is not sent again
};
static_assert(sizeof(LinkLine) == kLineBytes);

constexpr uint32_t kLanes = 12;
constexpr uint32_t kLaneSlots = 8;
constexpr uint32_t kInboundSlots = 16;
constexpr uint32_t kPorts = 16;
constexpr uint32_t kDeliveries = 8;

// forward[]: where packets that came over the link go, by destination node.
constexpr uint32_t kForwardNowhere = 0xFFFFFFFF;  // dropped and counted
constexpr uint32_t kForwardLocal = 0x100;         // to the delivery whose tile is the packet's; else an index of a port
// admit[]: what becomes of a worker's packet at the head of its lane, by destination node.
constexpr uint32_t kAdmitOpen = 0;
constexpr uint32_t kAdmitHeld = 1;  // it waits, and what is behind it

constexpr uint32_t kFeatureTelemetry = 1;
constexpr uint32_t kRetrainPhysical = 1;

enum class Direction : uint8_t { kEast, kWest, kSouth, kNorth };

struct RouterConfiguration {  // host, before the start, except where said
  uint16_t mesh_id;
  uint16_t node;
  uint8_t channel;
  uint8_t direction;  // Direction, seen from this chip
  uint16_t reserved0;
  uint32_t link_session;   // any time before kRetrain; both ends have the same
  uint32_t retrain_flags;  // any time before kRetrain
  // The host's notes for the host that comes after it: the router does not read them.
  uint16_t rows;  // of the mesh
  uint16_t columns;
  uint16_t peer_node;
  uint8_t peer_channel;
  uint8_t reserved1;
  uint32_t paused_by_cut;  // 1: paused for the reset of a chip, so whoever ends that lets it run
  uint32_t reserved2;
};
static_assert(sizeof(RouterConfiguration) == 32);

// Where things are, for tools that know only this. By the router when it starts; the magic number last.
struct RouterManifest {
  uint32_t magic;
  uint32_t version;
  uint32_t features;  // kFeatureTelemetry: without it the telemetry stays zero
  uint32_t state_address;
  uint32_t telemetry_address;
  uint32_t lanes_address;
  uint32_t lane_slots_address;
  uint32_t inbound_address;
};
static_assert(sizeof(RouterManifest) == 32);
constexpr uint32_t kRouterMagic = 0x54524657;  // "WFRT"
constexpr uint32_t kRouterVersion = 1;

// All by the router.
struct RouterCounters {
  uint32_t unreachable;    // dropped: kForwardNowhere
  uint32_t undeliverable;  // dropped: no delivery for the packet's tile
  uint32_t malformed;      // dropped: a header that can't be
  uint32_t resent;         // sent again after kRetrain
  uint32_t inside;         // packets now in routers' lanes and in the inbound ring, and those the peer has not consumed
  uint32_t inbound;        // of them in the inbound ring
  uint32_t command_seen_low;  // wall clock when the present command was first seen
  uint32_t command_seen_high;
  uint32_t state_since_low;  // wall clock when the present state began
  uint32_t state_since_high;
  uint32_t probe_answer;  // = probe, at the next turn: a router that lives answers within one
  uint32_t reserved[5];
};
static_assert(sizeof(RouterCounters) == 64);

struct RouterBlock {
  RouterManifest manifest;
  RouterStateBlock state;
  RouterTelemetry telemetry;
  RouterConfiguration configuration;
  RouterCounters counters;
  LinkLine peer_produced;                  // peer, over the link: sent to our inbound ring so many
  LinkLine peer_consumed;                  // peer, over the link: of what we sent
  LinkLine consumed_line;                  // router: source of what it sends to the peer's
  LinkLine produced_lines[kInboundSlots];  // likewise, one after the other: the hardware may read one again until the
                                           // peer has it, and would tell of packets that are not there yet
  uint32_t probe;                          // host, any time
  uint32_t reserved[3];
  LaneBlock lanes[kLanes];
  PortBlock ports[kPorts];
  DeliveryBlock deliveries[kDeliveries];
  uint32_t forward[kNodesMax];    // host, any time
  uint32_t admit[kNodesMax];      // host, any time
  uint32_t admitted[kNodesMax];   // router: taken from workers' lanes here, by destination node; host before the start
  uint32_t delivered[kNodesMax];  // router: put into sinks' rings here, or dropped here, by source node; the same
  // The host's note, as in RouterConfiguration: packets, by source node, that were lost on their way here and that no
  // account waits for any more.
  uint32_t written_off[kNodesMax];
};
static_assert(sizeof(RouterBlock) % kLineBytes == 0);

// The L1 of an Ethernet tile: what the firmware says of the link stays where it is (0x1000 to 0x1FFF).
constexpr uint32_t kRouterEntry = 0x0;  // a jump
constexpr uint32_t kRouterText = 0x9040;
constexpr uint32_t kRouterTextEnd = 0x11000;
constexpr uint32_t kRouterBlock = 0x18000;
constexpr uint32_t kInboundRing = 0x1A000;  // kInboundSlots slots
constexpr uint32_t kLaneRings = 0x20000;    // kLanes rings of kLaneSlots slots each
static_assert(kRouterBlock + sizeof(RouterBlock) <= kInboundRing);
static_assert(kInboundRing + kInboundSlots * kSlotBytes <= kLaneRings);
static_assert(kLaneRings + kLanes * kLaneSlots * kSlotBytes <= 0x40000);

constexpr uint32_t lane_ring(uint32_t lane) { return kLaneRings + lane * kLaneSlots * kSlotBytes; }

}  // namespace warden::kernels
