// SPDX-License-Identifier: Apache-2.0
// Workers started and ended.
#include "driver/fabric/worker.h"

#include <fmt/format.h>

#include <algorithm>

#include "driver/fabric/loader.h"
#include "driver/fabric/patience.h"
#include "driver/fabric/router_memory.h"
#include "driver/fabric/soft_reset.h"
#include "driver/fabric/worker_deliveries.h"
#include "driver/fabric/worker_lanes.h"

namespace warden::fabric {
namespace {

using kernels::WorkerHeader;
using kernels::WorkerKind;
using kernels::WorkerStatus;
using std::chrono::milliseconds;

constexpr std::uint32_t kMailboxBytes = 16;  // its own line

const char* name_of(WorkerStatus status) {
  switch (status) {
    case WorkerStatus::kLoaded: return "LOADED";
    case WorkerStatus::kRunning: return "RUNNING";
    case WorkerStatus::kComplete: return "COMPLETE";
    case WorkerStatus::kRefused: return "REFUSED";
  }
  return "UNKNOWN";
}

Card& card_of(const ControlPlane& fabric, const Worker& worker) { return *fabric.cards()[worker.card]; }

Result<WorkerHeader> read_header(const ControlPlane& fabric, const Worker& worker) {
  auto header = read_struct<WorkerHeader>(card_of(fabric, worker), worker.tile, {kernels::kWorkerBlock});
  if (!header) return wrap(std::move(header).error(), "read " + to_string(worker));
  return header;
}

// A tile of the device that works and runs nothing.
Result<Worker> place_on(const ControlPlane& fabric, WorkerKind kind, const FabricNodeId& node, Tile tile) {
  const auto card = fabric.card_of(node);
  if (!card) return fail(Code::kNotFound, fmt::format("there is no device {}", to_string(node)));
  Worker worker{.kind = kind, .node = node, .card = *card, .tile = tile};
  const auto tiles = working_tiles(*fabric.cards()[*card]);
  if (std::ranges::find(tiles, tile) == tiles.end()) {
    return fail(Code::kInvalidArgument, fmt::format("place {}: that is no working Tensix tile", to_string(worker)));
  }
  const auto held = brisc_is_held(*fabric.cards()[*card], tile);
  if (!held) return wrap(held.error(), "place " + to_string(worker));
  if (!*held) return fail(Code::kBusy, fmt::format("place {}: something runs on that tile", to_string(worker)));
  return worker;
}

template <typename Block>
Status write_worker(const ControlPlane& fabric, const Worker& worker, const kernels::Image& image, const Block& block) {
  Card& card = card_of(fabric, worker);
  if (auto done = write_image(card, worker.tile, image); !done) return done;
  if (auto done = write_struct(card, worker.tile, {kernels::kWorkerBlock}, block); !done) return done;
  return card.write32(worker.tile, {worker.teardown_signal_address}, kernels::kWorkerKeepRunning);
}

Status start_core(const ControlPlane& fabric, const Worker& worker, milliseconds timeout) {
  if (auto done = release_brisc(card_of(fabric, worker), worker.tile); !done) return done;
  Patience patience(timeout);
  while (true) {
    const auto header = read_header(fabric, worker);
    if (!header) return std::unexpected(header.error());
    const bool speaks = header->magic == kernels::kWorkerMagic;
    if (speaks && header->status == WorkerStatus::kRefused) {
      return fail(Code::kInvalidArgument, fmt::format("{} refuses its arguments", to_string(worker)));
    }
    if (speaks && header->status != WorkerStatus::kLoaded) return {};
    if (!patience.again()) {
      return fail(Code::kTimeout,
                  fmt::format("{} did not start within {} ms: magic {:#x}, status {}", to_string(worker),
                              timeout.count(), header->magic, name_of(header->status)));
    }
  }
}

// After a failure; what it says is of no interest any more.
std::unexpected<Error> give_up(const ControlPlane& fabric, const Worker& worker, Error error) {
  (void)hold_tensix(card_of(fabric, worker), worker.tile);
  return std::unexpected(std::move(error).in("start " + to_string(worker)));
}

kernels::GeneratorBlock block_of(const ControlPlane& fabric, const Worker& worker, const LanePlace& place,
                                 const GeneratorOptions& options) {
  const std::uint16_t number = fabric.number_of(worker.node);
  kernels::GeneratorBlock block{};
  block.header.teardown_address = worker.teardown_signal_address;
  block.arguments = {.router_tile = tile_word(place.router->tile),
                     .lane = place.lane,
                     .lane_count = place.count,
                     .source_node = number,
                     .destination_node = fabric.number_of(options.destination),
                     .destination_tile = tile_word(options.destination_tile),
                     .flow = std::uint32_t{number} << 16 | tile_word(worker.tile),
                     .first_sequence = options.first_sequence,
                     .packets = options.packets,
                     .payload_bytes = options.memory.packet_payload_size_bytes,
                     .source_buffer = options.memory.source_buffer_address,
                     .interval_cycles = options.interval_cycles,
                     .reserved = 0};
  block.credit = place.count;
  return block;
}

}  // namespace

Result<WorkerMemoryLayout> allocate_worker_memory(std::uint32_t packet_payload_size_bytes) {
  if (packet_payload_size_bytes == 0 || packet_payload_size_bytes > kernels::kPayloadBytesMax ||
      packet_payload_size_bytes % kernels::kLineBytes != 0) {
    return fail(Code::kInvalidArgument,
                fmt::format("a payload of {} bytes: use a multiple of {} up to {}", packet_payload_size_bytes,
                            kernels::kLineBytes, kernels::kPayloadBytesMax));
  }
  return WorkerMemoryLayout{.source_buffer_address = kernels::kWorkerFree + kMailboxBytes,
                            .teardown_signal_address = kernels::kWorkerFree,
                            .packet_payload_size_bytes = packet_payload_size_bytes};
}

std::string to_string(const Worker& worker) {
  return fmt::format("{} {} tile ({},{})", worker.kind == WorkerKind::kSink ? "sink" : "generator",
                     to_string(worker.node), worker.tile.x, worker.tile.y);
}

Result<Worker> start_sink(ControlPlane& fabric, const FabricNodeId& node, Tile tile, milliseconds timeout) {
  auto worker = place_on(fabric, WorkerKind::kSink, node, tile);
  if (!worker) return worker;
  const auto places = choose_deliveries(fabric, node);
  if (!places) return wrap(places.error(), "start " + to_string(*worker));
  worker->teardown_signal_address = kernels::kWorkerFree;
  kernels::SinkBlock block{};
  block.header.teardown_address = worker->teardown_signal_address;
  fill_rings(*places, block);
  auto done = write_worker(fabric, *worker, kernels::sink_image(), block);
  if (done) done = reserve_deliveries(fabric, *places, tile);
  if (done) done = start_core(fabric, *worker, timeout);
  if (done) done = open_deliveries(fabric, *places, tile);
  if (!done) {
    (void)close_deliveries(fabric, *worker, false, timeout);  // those that were opened
    auto given_up = give_up(fabric, *worker, std::move(done).error());
    (void)free_deliveries(fabric, *worker);
    return given_up;
  }
  return worker;
}

Result<Worker> start_generator(ControlPlane& fabric, const FabricNodeId& node, Tile tile,
                               const GeneratorOptions& options, milliseconds timeout) {
  auto worker = place_on(fabric, WorkerKind::kGenerator, node, tile);
  if (!worker) return worker;
  const auto place = choose_lane(fabric, node, options);
  if (!place) return wrap(place.error(), "start " + to_string(*worker));
  worker->router = place->router->id;
  worker->lane = place->lane;
  worker->teardown_signal_address = options.memory.teardown_signal_address;
  auto done = write_worker(fabric, *worker, kernels::generator_image(), block_of(fabric, *worker, *place, options));
  if (!done) return give_up(fabric, *worker, std::move(done).error());
  done = give_lane(fabric, *place, tile);
  if (done) done = start_core(fabric, *worker, timeout);
  if (!done) {
    auto given_up = give_up(fabric, *worker, std::move(done).error());
    (void)take_lane_back(fabric, *place->router, place->lane, timeout);  // one that is not empty stays
    return given_up;
  }
  return worker;
}

Status signal_worker_teardown(ControlPlane& fabric, const Worker& worker) {
  auto written =
      card_of(fabric, worker).write32(worker.tile, {worker.teardown_signal_address}, kernels::kWorkerTeardown);
  if (!written) return wrap(std::move(written).error(), "tear down " + to_string(worker));
  return written;
}

Status wait_for_worker_complete(ControlPlane& fabric, const Worker& worker, milliseconds timeout) {
  Patience patience(timeout);
  while (true) {
    const auto header = read_header(fabric, worker);
    if (!header) return std::unexpected(header.error());
    if (header->status == WorkerStatus::kComplete) return {};
    // Whoever placed it died before it let its core go.
    if (header->status == WorkerStatus::kLoaded &&
        brisc_is_held(card_of(fabric, worker), worker.tile).value_or(false)) {
      return {};
    }
    if (!patience.again()) {
      return fail(Code::kTimeout,
                  fmt::format("Worker {} did not complete in time: awaited COMPLETE for {} ms, last "
                              "seen {}, heartbeat {}",
                              to_string(worker), timeout.count(), name_of(header->status), header->heartbeat));
    }
  }
}

Status detach_worker(ControlPlane& fabric, const Worker& worker, milliseconds timeout) {
  Patience patience(timeout);
  Card& card = card_of(fabric, worker);
  const auto held = brisc_is_held(card, worker.tile);
  if (!held) return wrap(held.error(), "detach " + to_string(worker));
  const bool is_sink = worker.kind == WorkerKind::kSink;
  if (is_sink) {
    const auto header = read_header(fabric, worker);
    if (!header) return std::unexpected(header.error());
    const bool takes = !*held && header->status == WorkerStatus::kRunning;
    if (auto done = close_deliveries(fabric, worker, takes, patience.left()); !done) return done;
  }
  if (!*held) {
    if (auto done = signal_worker_teardown(fabric, worker); !done) return done;
    if (auto done = wait_for_worker_complete(fabric, worker, patience.left()); !done) return done;
    if (auto done = hold_tensix(card, worker.tile); !done) return done;
  }
  if (is_sink) return free_deliveries(fabric, worker);
  const Router* router = worker.router ? fabric.find(*worker.router) : nullptr;
  if (router == nullptr) return {};
  return take_lane_back(fabric, *router, worker.lane, patience.left());
}

Result<kernels::GeneratorBlock> read_generator(const ControlPlane& fabric, const Worker& worker) {
  auto read = read_struct<kernels::GeneratorBlock>(card_of(fabric, worker), worker.tile, {kernels::kWorkerBlock});
  if (!read) return wrap(std::move(read).error(), "read " + to_string(worker));
  return read;
}

Result<kernels::SinkBlock> read_sink(const ControlPlane& fabric, const Worker& worker) {
  auto read = read_struct<kernels::SinkBlock>(card_of(fabric, worker), worker.tile, {kernels::kWorkerBlock});
  if (!read) return wrap(std::move(read).error(), "read " + to_string(worker));
  return read;
}

}  // namespace warden::fabric
