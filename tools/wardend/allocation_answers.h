// SPDX-License-Identifier: Apache-2.0
// What the bridge answers to questions about allocations and devices.
//
// DUMP_REMAINING is answered with one message for each record, then one RESPONSE.
//   record     type ALLOC, CB_ALLOC or KERNEL_LOAD as it was sent; device_id, size, buffer_id, timestamp as they were;
//              buffer_type its kind (CB 5, KERNEL 6); process_id as wardend numbers it; in place of the totals
//              at 40 how many times it was allocated, at 48 the number its process calls itself, at 56 that process's
//              name (16 bytes, zeros behind it)
//   RESPONSE   device_id -1; size how many records came before it; the totals of these records
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/wardend/allocation_clients.h"
#include "tools/wardend/allocation_connection.h"

namespace warden::daemon {

// A card as tt-metal's tools know it. All zero where nothing is known.
struct AllocationDevice {
  std::uint32_t arch = 0;  // 2: Wormhole B0
  std::uint32_t dram_channels = 0;
  std::uint32_t dram_per_channel_bytes = 0;
  std::uint32_t l1_per_core_bytes = 0;
  std::uint32_t cores = 0;
  bool is_available = false;
};

[[nodiscard]] AllocationAnswer answer_query(const AllocationClients& clients, std::int32_t device);
[[nodiscard]] AllocationAnswer answer_device_info(const std::vector<AllocationDevice>& devices, std::int32_t device);
// Walks the books as the peer takes it; a client that goes meanwhile is passed over. `clients` outlives it.
[[nodiscard]] AllocationConnection::Producer dump_producer(const AllocationClients& clients, std::size_t message_bytes);
[[nodiscard]] AllocationConnection::Producer single_producer(const AllocationAnswer& answer, std::size_t message_bytes);

}  // namespace warden::daemon
