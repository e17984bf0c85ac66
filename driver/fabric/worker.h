// SPDX-License-Identifier: Apache-2.0
// Traffic generators and sinks on Tensix tiles: placed, attached to running routers, torn down and taken away again.
// Which there are is read from the cards, so that another process may take them away.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <warden/result.h>

#include "driver/fabric/control_plane.h"
#include "kernels/worker_layout.h"

namespace warden::fabric {

// NOLINTBEGIN(readability-identifier-naming): tt-metal's names
inline constexpr std::uint32_t WORKER_KEEP_RUNNING = kernels::kWorkerKeepRunning;
inline constexpr std::uint32_t WORKER_TEARDOWN = kernels::kWorkerTeardown;
// NOLINTEND(readability-identifier-naming)

// Addresses in the L1 of the worker's tile.
struct WorkerMemoryLayout {
  std::uint32_t source_buffer_address = 0;
  std::uint32_t teardown_signal_address = 0;
  std::uint32_t packet_payload_size_bytes = 0;
};
// kInvalidArgument for a size that is not a multiple of 16 up to kPayloadBytesMax.
[[nodiscard]] Result<WorkerMemoryLayout> allocate_worker_memory(std::uint32_t packet_payload_size_bytes = 1024);

struct Worker {
  kernels::WorkerKind kind = kernels::WorkerKind::kGenerator;
  FabricNodeId node;
  std::size_t card = 0;
  Tile tile;
  std::optional<RouterId> router = {};  // of a generator: the first on its way
  std::uint32_t lane = 0;               // there
  std::uint32_t teardown_signal_address = 0;
  bool whole = true;  // false of a sink whose starter, or who took it away, was killed on the way: detach it
};
[[nodiscard]] std::string to_string(const Worker& worker);  // "generator 0:(1,2) tile (3,4)"

struct GeneratorOptions {
  FabricNodeId destination;
  Tile destination_tile;  // of a sink there
  WorkerMemoryLayout memory;
  std::uint32_t packets = 0;  // 0: until torn down
  std::uint32_t interval_cycles = 0;
  std::uint32_t first_sequence = 0;
  std::optional<chan_id_t> channel = {};  // the router to send through; else the one with the fewest workers
};

// The working Tensix tiles of a card, row by row: logical core (x, y) is the entry y * 8 + x.
inline constexpr std::size_t kTensixColumns = 8;
[[nodiscard]] std::vector<Tile> working_tiles(const Card& card);
// The first one whose core is held in reset and that no lane or delivery names, from the last on. kBusy when there is
// none.
[[nodiscard]] Result<Tile> free_tile(const ControlPlane& fabric, const FabricNodeId& node);

// Placed on `tile` (which must be free), attached and running when they return; on errors nothing is left. A sink takes
// from every router of its chip; packets for it are accepted from then on.
[[nodiscard]] Result<Worker> start_sink(ControlPlane& fabric, const FabricNodeId& node, Tile tile,
                                        std::chrono::milliseconds timeout = std::chrono::milliseconds(1000));
[[nodiscard]] Result<Worker> start_generator(ControlPlane& fabric, const FabricNodeId& node, Tile tile,
                                             const GeneratorOptions& options,
                                             std::chrono::milliseconds timeout = std::chrono::milliseconds(1000));

[[nodiscard]] Status signal_worker_teardown(ControlPlane& fabric, const Worker& worker);
// Until it is complete, or was never started. kTimeout: "Worker X did not complete in time", and what was last seen.
[[nodiscard]] Status wait_for_worker_complete(ControlPlane& fabric, const Worker& worker,
                                              std::chrono::milliseconds timeout = std::chrono::milliseconds(1000));
// Its core is held, and its lane (once empty) or its deliveries are given back. A sink must have no packets on their
// way: those that come later are dropped and counted.
[[nodiscard]] Status detach_worker(ControlPlane& fabric, const Worker& worker,
                                   std::chrono::milliseconds timeout = std::chrono::milliseconds(1000));

// The workers that lanes and deliveries of the routers name: all whose cores run, and those that somebody died over.
[[nodiscard]] Result<std::vector<Worker>> find_workers(const ControlPlane& fabric);

[[nodiscard]] Result<kernels::GeneratorBlock> read_generator(const ControlPlane& fabric, const Worker& worker);
[[nodiscard]] Result<kernels::SinkBlock> read_sink(const ControlPlane& fabric, const Worker& worker);

}  // namespace warden::fabric
