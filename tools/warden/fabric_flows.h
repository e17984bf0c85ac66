// SPDX-License-Identifier: Apache-2.0
// The flows between generators and sinks: what was sent, what arrived, and whether that is all and in order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <warden/result.h>

#include "driver/fabric/worker.h"
#include "tools/warden/fabric_words.h"

namespace warden::cli {

// Counts are of packets, and wrap at 2^32; differences are right.
struct SentCount {
  kernels::WorkerStatus status = kernels::WorkerStatus::kLoaded;
  std::uint32_t first_sequence = 0;
  std::uint32_t sent = 0;
  std::uint32_t delayed = 0;  // found no room at first
  bool held = false;          // its core is in reset: who started or took it away was killed
};

struct ReceivedCount {
  std::uint32_t received = 0;  // good ones, in order
  std::uint32_t next_sequence = 0;
  std::uint32_t out_of_order = 0;
  std::uint32_t corrupt = 0;
  std::uint64_t bytes = 0;
};

struct Flow {
  std::uint32_t number = 0;  // of its source's node and tile: unique in its mesh
  fabric::FabricNodeId source;
  fabric::Tile source_tile;
  fabric::FabricNodeId destination;
  fabric::Tile destination_tile;
  std::optional<SentCount> sender = {};    // nothing: the generator is gone
  std::optional<ReceivedCount> sink = {};  // nothing: nothing has arrived
  bool is_sink_gone = false;               // its chip was reset: what is sent is dropped there

  // Sent and not arrived; nothing when one of its ends is gone.
  [[nodiscard]] std::optional<std::uint32_t> on_the_way() const;
  [[nodiscard]] bool is_sending() const;  // or about to
  [[nodiscard]] bool has_errors() const;
};

struct Traffic {
  std::vector<Flow> flows = {};
  std::vector<fabric::Worker> generators = {};
  std::vector<fabric::Worker> sinks = {};
  std::uint32_t overflow = 0;  // packets of flows that sinks had no room to count
  [[nodiscard]] bool has_errors() const;
  [[nodiscard]] bool has_arrived() const;  // everything that was sent
};

// Of the flow's number and the mesh it is in.
[[nodiscard]] Flow flow_from(std::uint32_t number, fabric::MeshId mesh, std::uint32_t columns);
// Puts what a sink has counted to the flows that it is of, or adds a flow whose generator is gone.
void add_sink(std::vector<Flow>& flows, const fabric::Worker& sink, const kernels::SinkBlock& block,
              std::uint32_t columns);

// Sinks are read first, so that nothing arrives that was not sent yet.
[[nodiscard]] Result<Traffic> read_traffic(const fabric::ControlPlane& fabric);

[[nodiscard]] std::string format_traffic(const Traffic& traffic);
[[nodiscard]] Json json_of(const Traffic& traffic);

}  // namespace warden::cli
