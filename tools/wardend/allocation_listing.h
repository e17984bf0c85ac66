// SPDX-License-Identifier: Apache-2.0
// What is allocated, as JSON text: of sessions by their ledgers, of bridged clients by their books.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "tools/wardend/allocation_clients.h"
#include "tools/wardend/devices.h"
#include "tools/wardend/reaper.h"
#include "tools/wardend/session_table.h"

namespace warden::daemon {

// Whose allocations are told; `clients` may be null.
struct AllocationSources {
  const Devices& devices;
  const SessionTable& sessions;
  const Reaper& reaper;
  const AllocationClients* clients;
};

struct AllocationQuery {
  std::optional<std::uint32_t> device;  // none: all
  int pid = 0;                          // 0: all
  std::uint32_t max_records = 0;        // single records, of all together
  std::chrono::milliseconds min_age{};  // single records of sessions: at least this old
};

// Only the living are in it. Takes down what only the main loop may look at; what it answers reads everybody's
// counters, and the records that are asked for, on any thread and once, for as long as the reaper lives.
[[nodiscard]] std::function<std::string()> allocations_listing(const AllocationSources& sources,
                                                               const AllocationQuery& query);
// The sum over everybody, by the counters alone.
[[nodiscard]] shm::AllocationSum sum_of_allocations(const AllocationSources& sources);

}  // namespace warden::daemon
