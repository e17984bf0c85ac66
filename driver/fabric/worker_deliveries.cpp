// SPDX-License-Identifier: Apache-2.0
// Rings between the routers of a chip and its sinks.
#include "driver/fabric/worker_deliveries.h"

#include <fmt/format.h>

#include <algorithm>

#include "driver/fabric/patience.h"
#include "driver/fabric/router_memory.h"
#include "driver/fabric/turns.h"

namespace warden::fabric {
namespace {

using Deliveries = std::array<kernels::DeliveryBlock, kernels::kDeliveries>;

std::uint32_t ring_address(chan_id_t channel) {
  return kernels::kWorkerBlock +
         static_cast<std::uint32_t>(offsetof(kernels::SinkBlock, rings) + channel * sizeof(kernels::SinkRing));
}

Result<Deliveries> read_deliveries(const ControlPlane& fabric, const Router& router) {
  auto read = read_struct<Deliveries>(fabric.card(router), router.tile, delivery_address(0));
  if (!read) return wrap(std::move(read).error(), "read the deliveries of router " + to_string(router.id));
  return read;
}

Status set_word(const ControlPlane& fabric, const Router& router, std::uint32_t delivery, std::size_t offset,
                std::uint32_t word) {
  const CardAddress address{delivery_address(delivery).value + offset};
  auto written = fabric.card(router).write32(router.tile, address, word);
  if (!written) return wrap(std::move(written).error(), "write a delivery of router " + to_string(router.id));
  return written;
}
constexpr std::size_t kTile = offsetof(kernels::DeliveryBlock, tile);
constexpr std::size_t kOwner = offsetof(kernels::DeliveryBlock, owner);

bool is_free(const kernels::DeliveryBlock& delivery) { return delivery.tile == 0 && delivery.owner == 0; }

// Closed, but what was put into its ring may not have been taken yet.
struct Closing {
  const Router* router;
  std::uint32_t delivery;
};

Result<bool> has_taken(const ControlPlane& fabric, const Worker& sink, const Closing& closing, std::string& seen) {
  const auto deliveries = read_deliveries(fabric, *closing.router);
  if (!deliveries) return std::unexpected(deliveries.error());
  const auto ring =
      read_struct<kernels::SinkRing>(*fabric.cards()[sink.card], sink.tile, {ring_address(closing.router->id.channel)});
  if (!ring) return std::unexpected(ring.error());
  const std::uint32_t put = (*deliveries)[closing.delivery].produced;
  seen = fmt::format("router {} has put in {} packets, {} have arrived, {} were taken", to_string(closing.router->id),
                     put, ring->produced, ring->consumed);
  return ring->consumed == put;
}

}  // namespace

Result<std::vector<DeliveryPlace>> choose_deliveries(const ControlPlane& fabric, const FabricNodeId& node) {
  std::vector<DeliveryPlace> places;
  for (const Router& router : fabric.routers()) {
    if (router.id.node != node) continue;
    const auto deliveries = read_deliveries(fabric, router);
    if (!deliveries) return std::unexpected(deliveries.error());
    const auto free = std::ranges::find_if(*deliveries, is_free);
    if (free == deliveries->end()) {
      return fail(Code::kBusy, fmt::format("router {} already delivers to {} sinks: take one away first",
                                           to_string(router.id), kernels::kDeliveries));
    }
    places.push_back({.router = &router, .delivery = static_cast<std::uint32_t>(free - deliveries->begin())});
  }
  if (places.empty()) return fail(Code::kNotFound, fmt::format("device {} has no routers", to_string(node)));
  return places;
}

void fill_rings(const std::vector<DeliveryPlace>& places, kernels::SinkBlock& sink) {
  for (const DeliveryPlace& place : places) {
    kernels::SinkRing& ring = sink.rings[place.router->id.channel];
    ring.credit_tile = tile_word(place.router->tile);
    ring.credit_address =
        static_cast<std::uint32_t>(delivery_address(place.delivery).value + offsetof(kernels::DeliveryBlock, consumed));
  }
}

Status reserve_deliveries(const ControlPlane& fabric, const std::vector<DeliveryPlace>& places, Tile sink) {
  for (const auto& [router, index] : places) {
    kernels::DeliveryBlock fresh{};
    fresh.ring = ring_address(router->id.channel);
    fresh.owner = tile_word(sink);
    if (auto written = write_struct(fabric.card(*router), router->tile, delivery_address(index), fresh); !written) {
      return wrap(std::move(written).error(), "write a delivery of router " + to_string(router->id));
    }
  }
  return {};
}

Status open_deliveries(const ControlPlane& fabric, const std::vector<DeliveryPlace>& places, Tile sink) {
  for (const DeliveryPlace& place : places) {
    if (auto done = set_word(fabric, *place.router, place.delivery, kTile, tile_word(sink)); !done) return done;
  }
  return {};
}

Status close_deliveries(const ControlPlane& fabric, const Worker& sink, bool takes, std::chrono::milliseconds timeout) {
  Patience patience(timeout);
  std::vector<Closing> closing;
  RouterList routers;
  for (const Router& router : fabric.routers()) {
    if (router.id.node != sink.node) continue;
    const auto deliveries = read_deliveries(fabric, router);
    if (!deliveries) return std::unexpected(deliveries.error());
    for (std::uint32_t index = 0; index < kernels::kDeliveries; ++index) {
      if ((*deliveries)[index].tile != tile_word(sink.tile)) continue;
      if (auto done = set_word(fabric, router, index, kTile, 0); !done) return done;
      closing.push_back({&router, index});
      routers.push_back(&router);
    }
  }
  const auto silent = await_turn(fabric, routers, patience.left());
  if (!silent.empty()) {
    return fail(Code::kTimeout, fmt::format("router {} did not answer within {} ms: whether it still writes to {} is "
                                            "not known",
                                            to_string(silent.front()), timeout.count(), to_string(sink)));
  }
  for (const Closing& one : closing) {
    std::string seen;
    while (takes) {
      const auto taken = has_taken(fabric, sink, one, seen);
      if (!taken) return std::unexpected(taken.error());
      if (*taken) break;
      if (!patience.again()) {
        return fail(Code::kTimeout, fmt::format("{} did not take all its packets within {} ms: {}", to_string(sink),
                                                timeout.count(), seen));
      }
    }
  }
  return {};
}

Status free_deliveries(const ControlPlane& fabric, const Worker& sink) {
  for (const Router& router : fabric.routers()) {
    if (router.id.node != sink.node) continue;
    const auto deliveries = read_deliveries(fabric, router);
    if (!deliveries) return std::unexpected(deliveries.error());
    for (std::uint32_t index = 0; index < kernels::kDeliveries; ++index) {
      if ((*deliveries)[index].owner != tile_word(sink.tile)) continue;
      if (auto done = set_word(fabric, router, index, kOwner, 0); !done) return done;
    }
  }
  return {};
}

}  // namespace warden::fabric
