// SPDX-License-Identifier: Apache-2.0
// A packet of the fabric: 32 bytes of header, then its payload. Shared by host and card; all words little-endian.
#pragma once

#include <stdint.h>  // NOLINT(modernize-deprecated-headers): the card's compiler has no <cstdint>

namespace warden::kernels {

// A tile as one word, NoC #0 coordinates.
constexpr uint32_t tile_word(uint32_t x, uint32_t y) { return x | y << 6; }

constexpr uint32_t kNodesMax = 64;           // of a mesh; a node is one chip: y * columns + x
constexpr uint32_t kLineBytes = 16;          // what links and NoC move in one piece; "words" of telemetry are these
constexpr uint32_t kPayloadBytesMax = 1024;  // a multiple of kLineBytes, and at least one line

struct PacketHeader {
  uint32_t payload_bytes;
  uint16_t destination_node;
  uint16_t destination_tile;  // tile_word() of the sink
  uint16_t source_node;
  uint16_t reserved0;
  uint32_t flow;      // the sender's, and unique in its mesh: node << 16 | tile_word()
  uint32_t sequence;  // from 0, one by one
  uint32_t checksum;  // packet_checksum()
  uint32_t reserved1[2];
};
static_assert(sizeof(PacketHeader) == 32);

constexpr uint32_t kSlotBytes = sizeof(PacketHeader) + kPayloadBytesMax;  // of every ring
static_assert(kSlotBytes % kLineBytes == 0);

// Over everything but itself. Notices words that change, are lost, or change places.
inline uint32_t packet_checksum(const PacketHeader& header, const uint32_t* payload) {
  uint32_t sum = header.payload_bytes;
  const auto add = [&sum](uint32_t word) { sum = (sum << 5 | sum >> 27) ^ (word + 0x9E3779B9U); };
  add(header.destination_node | uint32_t{header.destination_tile} << 16);
  add(header.source_node);
  add(header.flow);
  add(header.sequence);
  for (uint32_t i = 0; i < header.payload_bytes / 4; ++i) add(payload[i]);
  return sum;
}

// The payload that generators send and sinks expect: the word at `index`.
constexpr uint32_t payload_word(uint32_t flow, uint32_t sequence, uint32_t index) {
  return (flow * 0x85EBCA6BU) ^ (sequence * 0xC2B2AE35U) ^ (index * 0x27D4EB2FU);
}

}  // namespace warden::kernels
