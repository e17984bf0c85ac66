// SPDX-License-Identifier: Apache-2.0
// The routers' counts added up by pair.
#include "driver/fabric/accounts.h"

#include <algorithm>
#include <array>

#include "driver/fabric/router_memory.h"

namespace warden::fabric {
namespace {

using Counts = std::array<std::uint32_t, kernels::kNodesMax>;
constexpr CardAddress kDelivered = in_router(offsetof(kernels::RouterBlock, delivered));
constexpr CardAddress kCounters = in_router(offsetof(kernels::RouterBlock, counters));

struct Ended {
  Counts delivered;
  Counts written_off;
};
static_assert(offsetof(kernels::RouterBlock, written_off) ==
              offsetof(kernels::RouterBlock, delivered) + offsetof(Ended, written_off));

struct Reading {
  const Router* router;
  Ended ended{};
  kernels::RouterCounters counters{};
  Counts admitted{};
};

template <typename T>
Status read_into(const ControlPlane& fabric, const Router& router, CardAddress address, T& into) {
  auto read = read_struct<T>(fabric.card(router), router.tile, address);
  if (!read) return wrap(std::move(read).error(), "read the counts of router " + to_string(router.id));
  into = *read;
  return {};
}

}  // namespace

Result<Accounts> Accounts::read(const ControlPlane& fabric, bool tolerant) {
  Accounts accounts;
  std::vector<Reading> readings;
  // In two rounds: everything that was delivered when its count was read had been admitted before.
  for (const Router& router : fabric.routers()) {
    Reading reading{.router = &router};
    auto read = read_into(fabric, router, kDelivered, reading.ended);
    if (read) read = read_into(fabric, router, kCounters, reading.counters);
    if (!read && !tolerant) return std::unexpected(std::move(read).error());
    if (read) {
      readings.push_back(reading);
    } else {
      accounts.unreadable_.push_back(router.id);
    }
  }
  for (Reading& reading : readings) {
    auto read = read_into(fabric, *reading.router, kAdmitted, reading.admitted);
    if (!read && !tolerant) return std::unexpected(std::move(read).error());
    if (!read) accounts.unreadable_.push_back(reading.router->id);
  }
  for (const Reading& reading : readings) {
    const FabricNodeId& here = reading.router->id.node;
    for (std::uint32_t number = 0; number < kernels::kNodesMax; ++number) {
      const FabricNodeId there = fabric.node_at(here.mesh_id, number);
      if (reading.admitted[number] != 0) accounts.entry(here, there).admitted += reading.admitted[number];
      if (reading.ended.delivered[number] != 0)
        accounts.entry(there, here).delivered += reading.ended.delivered[number];
      if (reading.ended.written_off[number] != 0) {
        accounts.entry(there, here).written_off += reading.ended.written_off[number];
      }
    }
    accounts.drops_.unreachable += reading.counters.unreachable;
    accounts.drops_.undeliverable += reading.counters.undeliverable;
    accounts.drops_.malformed += reading.counters.malformed;
    accounts.inside_ += reading.counters.inside;
  }
  return accounts;
}

PairAccount& Accounts::entry(const FabricNodeId& source, const FabricNodeId& destination) {
  PairAccount& pair = pairs_[{source, destination}];
  pair.source = source;
  pair.destination = destination;
  return pair;
}

std::vector<PairAccount> Accounts::pairs() const {
  std::vector<PairAccount> list;
  for (const auto& [key, pair] : pairs_) list.push_back(pair);
  return list;
}

std::vector<PairAccount> Accounts::unbalanced() const {
  std::vector<PairAccount> list;
  for (const auto& [key, pair] : pairs_) {
    if (pair.inside() != 0) list.push_back(pair);
  }
  return list;
}

PairAccount Accounts::pair(const FabricNodeId& source, const FabricNodeId& destination) const {
  const auto found = pairs_.find({source, destination});
  return found == pairs_.end() ? PairAccount{.source = source, .destination = destination} : found->second;
}

std::uint64_t Accounts::admitted() const noexcept {
  std::uint64_t sum = 0;
  for (const auto& [key, pair] : pairs_) sum += pair.admitted;
  return sum;
}

std::uint64_t Accounts::delivered() const noexcept {
  std::uint64_t sum = 0;
  for (const auto& [key, pair] : pairs_) sum += pair.delivered;
  return sum;
}

}  // namespace warden::fabric
