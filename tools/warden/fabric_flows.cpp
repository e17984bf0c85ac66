// SPDX-License-Identifier: Apache-2.0
// See fabric_flows.h. What sinks say is memory of the card: its counts are bounded before they are believed.
#include "tools/warden/fabric_flows.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "driver/fabric/soft_reset.h"
#include "tools/warden/duration.h"
#include "tools/warden/terminal.h"

namespace warden::cli {
namespace {

constexpr std::uint32_t kCoordinateBits = 6;  // of kernels::tile_word()

fabric::Tile tile_of(std::uint32_t word) {
  constexpr std::uint32_t kMask = (1U << kCoordinateBits) - 1;
  return {.x = static_cast<std::uint8_t>(word & kMask),
          .y = static_cast<std::uint8_t>(word >> kCoordinateBits & kMask)};
}

std::uint32_t columns_of(const fabric::ControlPlane& fabric, fabric::MeshId mesh) {
  const auto& meshes = fabric.meshes();
  const auto found = std::ranges::find(meshes, mesh, &fabric::Mesh::id);
  return found != meshes.end() && found->columns > 0 ? found->columns : 1;
}

Flow flow_of(const fabric::ControlPlane& fabric, const fabric::Worker& generator,
             const kernels::GeneratorBlock& block) {
  const kernels::GeneratorArguments& arguments = block.arguments;
  return {.number = arguments.flow,
          .source = generator.node,
          .source_tile = generator.tile,
          .destination = fabric.node_at(generator.node.mesh_id, arguments.destination_node),
          .destination_tile = tile_of(arguments.destination_tile),
          .sender = SentCount{.status = block.header.status,
                              .first_sequence = arguments.first_sequence,
                              .sent = block.sent,
                              .delayed = block.delayed}};
}

const char* status_text(const Flow& flow) {
  if (!flow.sender) return "gone";
  if (flow.sender->held) return "held";
  switch (flow.sender->status) {
    case kernels::WorkerStatus::kLoaded: return "starting";
    case kernels::WorkerStatus::kRunning: return "running";
    case kernels::WorkerStatus::kComplete: return "complete";
    case kernels::WorkerStatus::kRefused: return "refused";
  }
  return "unknown";
}

std::string end_text(const fabric::FabricNodeId& node, fabric::Tile tile) {
  return fmt::format("{} tile {}", to_string(node), tile_text(tile));
}

Json end_json(const fabric::FabricNodeId& node, fabric::Tile tile) {
  Json json = json_of(node);
  json["tile"] = tile_text(tile);
  return json;
}

}  // namespace

std::optional<std::uint32_t> Flow::on_the_way() const {
  if (!sender || is_sink_gone) return std::nullopt;
  if (!sink) return sender->sent;
  return sender->first_sequence + sender->sent - sink->next_sequence;
}

bool Flow::is_sending() const {
  return sender && !sender->held && sender->status != kernels::WorkerStatus::kComplete &&
         sender->status != kernels::WorkerStatus::kRefused;
}

bool Flow::has_errors() const {
  const bool is_refused = sender && sender->status == kernels::WorkerStatus::kRefused;
  return is_refused || (sink && (sink->out_of_order != 0 || sink->corrupt != 0));
}

bool Traffic::has_errors() const { return overflow != 0 || std::ranges::any_of(flows, &Flow::has_errors); }

bool Traffic::has_arrived() const {
  return std::ranges::all_of(flows, [](const Flow& flow) { return flow.on_the_way().value_or(0) == 0; });
}

Flow flow_from(std::uint32_t number, fabric::MeshId mesh, std::uint32_t columns) {
  const std::uint32_t node = number >> 16;
  return {.number = number,
          .source = {.mesh_id = mesh, .logical_x = node % columns, .logical_y = node / columns},
          .source_tile = tile_of(number),
          .destination = {},
          .destination_tile = {}};
}

void add_sink(std::vector<Flow>& flows, const fabric::Worker& sink, const kernels::SinkBlock& block,
              std::uint32_t columns) {
  for (std::uint32_t i = 0; i < std::min(block.flows_seen, kernels::kSinkFlows); ++i) {
    const kernels::SinkFlow& counted = block.flows[i];
    auto flow = std::ranges::find_if(flows, [&](const Flow& known) {
      return known.number == counted.flow && known.destination == sink.node && known.destination_tile == sink.tile;
    });
    if (flow == flows.end()) {
      flow = flows.insert(flows.end(), flow_from(counted.flow, sink.node.mesh_id, columns));
      flow->destination = sink.node;
      flow->destination_tile = sink.tile;
    }
    flow->sink = ReceivedCount{.received = counted.received,
                               .next_sequence = counted.next_sequence,
                               .out_of_order = counted.out_of_order,
                               .corrupt = counted.corrupt,
                               .bytes = counted.bytes_low | std::uint64_t{counted.bytes_high} << 32};
  }
}

Result<Traffic> read_traffic(const fabric::ControlPlane& fabric) {
  const auto workers = fabric::find_workers(fabric);
  if (!workers) return std::unexpected(workers.error());
  Traffic traffic;
  std::vector<kernels::SinkBlock> blocks;
  for (const fabric::Worker& worker : *workers) {
    if (worker.kind != kernels::WorkerKind::kSink) continue;
    const auto block = fabric::read_sink(fabric, worker);
    if (!block) return wrap(block.error(), to_string(worker));
    traffic.sinks.push_back(worker);
    blocks.push_back(*block);
    traffic.overflow += block->overflow;
  }
  for (const fabric::Worker& worker : *workers) {
    if (worker.kind != kernels::WorkerKind::kGenerator) continue;
    const auto block = fabric::read_generator(fabric, worker);
    if (!block) return wrap(block.error(), to_string(worker));
    traffic.generators.push_back(worker);
    const auto held = fabric::brisc_is_held(*fabric.cards()[worker.card], worker.tile);
    if (!held) return wrap(held.error(), to_string(worker));
    traffic.flows.push_back(flow_of(fabric, worker, *block));
    Flow& flow = traffic.flows.back();
    flow.sender->held = *held;
    flow.is_sink_gone = std::ranges::none_of(traffic.sinks, [&](const fabric::Worker& sink) {
      return sink.node == flow.destination && sink.tile == flow.destination_tile && sink.whole;
    });
  }
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    add_sink(traffic.flows, traffic.sinks[i], blocks[i], columns_of(fabric, traffic.sinks[i].node.mesh_id));
  }
  return traffic;
}

std::string format_traffic(const Traffic& traffic) {
  std::vector<std::vector<std::string>> table = {
      {"FROM", "TO", "GENERATOR", "SENT", "RECEIVED", "ON THE WAY", "OUT OF ORDER", "CORRUPT", "PAYLOAD"}};
  for (const Flow& flow : traffic.flows) {
    const ReceivedCount sink = flow.sink.value_or(ReceivedCount{});
    const auto on_the_way = flow.on_the_way();
    table.push_back({end_text(flow.source, flow.source_tile), end_text(flow.destination, flow.destination_tile),
                     status_text(flow), flow.sender ? std::to_string(flow.sender->sent) : "-",
                     std::to_string(sink.received), on_the_way ? std::to_string(*on_the_way) : "-",
                     std::to_string(sink.out_of_order), std::to_string(sink.corrupt), format_bytes(sink.bytes)});
  }
  return format_table(table);
}

Json json_of(const Traffic& traffic) {
  Json flows = Json::array();
  for (const Flow& flow : traffic.flows) {
    const ReceivedCount sink = flow.sink.value_or(ReceivedCount{});
    const auto on_the_way = flow.on_the_way();
    flows.push_back({{"flow", flow.number},
                     {"source", end_json(flow.source, flow.source_tile)},
                     {"destination", end_json(flow.destination, flow.destination_tile)},
                     {"generator", status_text(flow)},
                     {"sent", flow.sender ? Json(flow.sender->sent) : Json()},
                     {"delayed", flow.sender ? Json(flow.sender->delayed) : Json()},
                     {"received", sink.received},
                     {"on_the_way", on_the_way ? Json(*on_the_way) : Json()},
                     {"out_of_order", sink.out_of_order},
                     {"corrupt", sink.corrupt},
                     {"bytes", sink.bytes}});
  }
  return {{"flows", std::move(flows)},
          {"generators", traffic.generators.size()},
          {"sinks", traffic.sinks.size()},
          {"overflow", traffic.overflow},
          {"errors", traffic.has_errors()}};
}

}  // namespace warden::cli
