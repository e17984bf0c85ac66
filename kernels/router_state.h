// SPDX-License-Identifier: Apache-2.0
// A router's block as the router itself sees it, and the small things its parts have in common.
#pragma once

#include "kernels/device.h"
#include "kernels/router_layout.h"

namespace warden::kernels {

inline volatile RouterBlock& block() { return at<RouterBlock>(kRouterBlock); }

// `volatile` knows no ++.
inline void count_one(volatile uint32_t& counter) { counter = counter + 1; }

// What a router needs to know of a packet, read once: whoever wrote it may write again.
struct PacketView {
  uint32_t slot;  // where it is
  uint32_t payload_bytes;
  uint32_t destination_node;
  uint32_t destination_tile;
  uint32_t source_node;

  explicit PacketView(uint32_t slot_address) : slot(slot_address), payload_bytes(at(slot_address)) {
    const uint32_t destination = at(slot_address + 4);
    destination_node = destination & 0xFFFF;
    destination_tile = destination >> 16;
    source_node = at(slot_address + 8) & 0xFFFF;
  }
  bool possible() const {
    return payload_bytes >= kLineBytes && payload_bytes <= kPayloadBytesMax && payload_bytes % kLineBytes == 0 &&
           destination_node < kNodesMax && source_node < kNodesMax;
  }
  uint32_t bytes() const { return sizeof(PacketHeader) + payload_bytes; }
};

}  // namespace warden::kernels
