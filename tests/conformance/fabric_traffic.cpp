// SPDX-License-Identifier: Apache-2.0
// Traffic started, ended and counted.
#include "tests/conformance/fabric_traffic.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "driver/fabric/patience.h"
#include "driver/fabric/settling.h"

namespace warden::fabric::testing {
namespace {

template <typename T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(*result);
}

}  // namespace

std::uint32_t expect_exact(ControlPlane& fabric, const Worker& generator, const Worker& sink) {
  const kernels::GeneratorBlock sender = must(read_generator(fabric, generator));
  kernels::SinkFlow seen{};
  // What a generator has been told is consumed may still lie before the sink.
  Patience patience(kPatience);
  do {
    const kernels::SinkBlock block = must(read_sink(fabric, sink));
    for (const kernels::SinkFlow& one : block.flows) {
      if (one.flow == sender.arguments.flow) seen = one;
    }
  } while (seen.received != sender.sent && patience.again());
  EXPECT_EQ(seen.received, sender.sent) << to_string(generator) << " to " << to_string(sink);
  EXPECT_EQ(seen.out_of_order, 0U) << to_string(generator);
  EXPECT_EQ(seen.corrupt, 0U) << to_string(generator);
  return sender.sent;
}

const Worker& Traffic::sink(const FabricNodeId& node) {
  const auto found = sinks_.find(node);
  if (found != sinks_.end()) return found->second;
  const Tile tile = must(free_tile(*fabric_, node));
  return sinks_[node] = must(start_sink(*fabric_, node, tile, kPatience));
}

void Traffic::add(const FabricNodeId& source, const FabricNodeId& destination) {
  const GeneratorOptions options{.destination = destination,
                                 .destination_tile = sink(destination).tile,
                                 .memory = must(allocate_worker_memory(options_.payload_bytes)),
                                 .packets = options_.packets,
                                 .interval_cycles = options_.interval_cycles};
  const Tile tile = must(free_tile(*fabric_, source));
  flows_.push_back({source, destination, must(start_generator(*fabric_, source, tile, options, kPatience))});
}

void Traffic::all_pairs() {
  for (const Mesh& mesh : fabric_->meshes()) {
    const auto devices = fabric_->devices(mesh.id);
    for (const FabricNodeId& source : devices) {
      for (const FabricNodeId& destination : devices) {
        if (source != destination) add(source, destination);
      }
    }
  }
}

void Traffic::everywhere(std::size_t distance) {
  for (const Mesh& mesh : fabric_->meshes()) {
    const auto devices = fabric_->devices(mesh.id);
    for (std::size_t i = 0; i < devices.size(); ++i) add(devices[i], devices[(i + distance) % devices.size()]);
  }
}

void Traffic::await_complete() {
  for (const Flow& flow : flows_) {
    const Status waited = wait_for_worker_complete(*fabric_, flow.generator, kPatience);
    EXPECT_TRUE(waited) << waited.error().message;
  }
}

void Traffic::end() {
  for (const Flow& flow : flows_) {
    const Status detached = detach_worker(*fabric_, flow.generator, kPatience);
    EXPECT_TRUE(detached) << detached.error().message;
  }
  // What was sent is still to arrive: without a sink it would be dropped.
  Patience patience(kPatience);
  EXPECT_TRUE(await_empty(*fabric_, patience).empty());
  for (const auto& [node, sink] : sinks_) {
    const Status detached = detach_worker(*fabric_, sink, kPatience);
    EXPECT_TRUE(detached) << detached.error().message;
  }
}

const std::vector<Traffic::Flow>& Traffic::flows() {
  for (Flow& flow : flows_) flow.sent = must(read_generator(*fabric_, flow.generator)).sent;
  return flows_;
}

void Traffic::forget(const FabricNodeId& node) {
  std::erase_if(flows_, [&](const Flow& flow) { return flow.source == node; });
  sinks_.erase(node);
}

std::uint64_t Traffic::expect_exact() {
  std::uint64_t packets = 0;
  for (const Flow& flow : flows_) {
    if (!sinks_.contains(flow.destination)) continue;
    packets += testing::expect_exact(*fabric_, flow.generator, sinks_.at(flow.destination));
  }
  return packets;
}

}  // namespace warden::fabric::testing
