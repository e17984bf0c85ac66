// SPDX-License-Identifier: Apache-2.0
// The admission tables of the routers, by the ways that packets take.
#include "driver/fabric/holds.h"

#include <algorithm>
#include <array>

#include "driver/fabric/router_memory.h"
#include "driver/fabric/turns.h"

namespace warden::fabric {
namespace {

using Admissions = std::array<std::uint32_t, kernels::kNodesMax>;
constexpr CardAddress kAdmit = in_router(offsetof(kernels::RouterBlock, admit));

Result<Admissions> read_admissions(const ControlPlane& fabric, const Router& router) {
  return read_struct<Admissions>(fabric.card(router), router.tile, kAdmit);
}

std::uint32_t nodes_of(const ControlPlane& fabric, MeshId mesh) {
  const auto found = std::ranges::find(fabric.meshes(), mesh, &Mesh::id);
  return found == fabric.meshes().end() ? 0 : found->rows * found->columns;
}

bool touches(const ControlPlane& fabric, const Router& router, std::uint32_t destination,
             const std::set<RouterId>& through) {
  const auto path = fabric.paths().from(router.id, destination);
  if (!path) return false;
  return std::ranges::any_of(
      *path, [&](const Paths::Hop& hop) { return through.contains(hop.out) || through.contains(hop.in); });
}

// Those that run, as far as they can be asked.
std::set<RouterId> running_routers(const ControlPlane& fabric) {
  std::set<RouterId> running;
  for (const Router& router : fabric.routers()) {
    const auto command = fabric.card(router).read32(router.tile, kCommandWord);
    if (command && static_cast<RouterCommand>(*command) == RouterCommand::kRun) running.insert(router.id);
  }
  return running;
}

bool is_clear(const ControlPlane& fabric, const Router& router, std::uint32_t destination,
              const std::set<RouterId>& running) {
  const auto path = fabric.paths().from(router.id, destination);
  if (!path) return true;  // it would be dropped and counted; holding it helps nobody
  return std::ranges::all_of(
      *path, [&](const Paths::Hop& hop) { return running.contains(hop.out) && running.contains(hop.in); });
}

using Entries = std::set<std::pair<RouterId, std::uint32_t>>;  // a router's admission to a destination

// Those that can send packets through these routers.
Entries touched_entries(const ControlPlane& fabric, const std::set<RouterId>& through) {
  Entries entries;
  for (const Router& router : fabric.routers()) {
    const std::uint32_t nodes = nodes_of(fabric, router.id.node.mesh_id);
    for (std::uint32_t destination = 0; destination < nodes; ++destination) {
      if (touches(fabric, router, destination, through)) entries.emplace(router.id, destination);
    }
  }
  return entries;
}

// Gives the routers that are not known to have closed them.
std::set<RouterId> close_entries(const ControlPlane& fabric, const Entries& entries,
                                 std::chrono::milliseconds timeout) {
  std::set<RouterId> silent;
  RouterList changed;
  for (const Router& router : fabric.routers()) {
    auto admissions = read_admissions(fabric, router);
    if (!admissions) {
      silent.insert(router.id);
      continue;
    }
    const Admissions before = *admissions;
    for (std::uint32_t destination = 0; destination < kernels::kNodesMax; ++destination) {
      if (entries.contains({router.id, destination})) (*admissions)[destination] = kernels::kAdmitHeld;
    }
    if (*admissions == before) continue;
    if (write_struct(fabric.card(router), router.tile, kAdmit, *admissions)) {
      changed.push_back(&router);
    } else {
      silent.insert(router.id);
    }
  }
  for (const RouterId& router : await_turn(fabric, changed, timeout)) silent.insert(router);
  return silent;
}

// Those by which packets were ever admitted.
Entries used_entries(const ControlPlane& fabric) {
  Entries used;
  for (const Router& router : fabric.routers()) {
    const auto admitted = read_struct<Admissions>(fabric.card(router), router.tile, kAdmitted);
    for (std::uint32_t destination = 0; admitted && destination < kernels::kNodesMax; ++destination) {
      if ((*admitted)[destination] != 0) used.emplace(router.id, destination);
    }
  }
  return used;
}

}  // namespace

ClosedPairs close_admission(const ControlPlane& fabric, const std::set<RouterId>& through,
                            std::chrono::milliseconds timeout) {
  ClosedPairs closed;
  Entries entries = touched_entries(fabric, through);
  closed.silent = close_entries(fabric, entries, timeout);
  const auto pair_of = [&](const auto& entry) {
    const FabricNodeId& source = entry.first.node;
    return std::pair(source, fabric.node_at(source.mesh_id, entry.second));
  };
  const Entries used = used_entries(fabric);
  for (const auto& entry : used) {
    if (entries.contains(entry)) closed.pairs.insert(pair_of(entry));
  }
  // Packets are counted by pair: one that is also sent by another way could not be seen to be out.
  Entries others;
  for (const auto& entry : used) {
    if (closed.pairs.contains(pair_of(entry)) && !entries.contains(entry)) others.insert(entry);
  }
  if (!others.empty()) closed.silent.merge(close_entries(fabric, others, timeout));
  return closed;
}

Status open_admission(const ControlPlane& fabric) {
  const std::set<RouterId> running = running_routers(fabric);
  for (const Router& router : fabric.routers()) {
    auto admissions = read_admissions(fabric, router);
    if (!admissions) continue;  // it was not asked before either
    const Admissions before = *admissions;
    for (std::uint32_t destination = 0; destination < kernels::kNodesMax; ++destination) {
      std::uint32_t& admit = (*admissions)[destination];
      if (admit == kernels::kAdmitHeld && is_clear(fabric, router, destination, running)) admit = kernels::kAdmitOpen;
    }
    if (*admissions == before) continue;
    if (auto written = write_struct(fabric.card(router), router.tile, kAdmit, *admissions); !written) {
      return wrap(std::move(written).error(), "open the admission of router " + to_string(router.id));
    }
  }
  return {};
}

std::vector<RouterId> holding_routers(const ControlPlane& fabric) {
  std::vector<RouterId> holding;
  for (const Router& router : fabric.routers()) {
    const auto admissions = read_admissions(fabric, router);
    if (!admissions) continue;
    if (std::ranges::count(*admissions, kernels::kAdmitHeld) != 0) holding.push_back(router.id);
  }
  return holding;
}

}  // namespace warden::fabric
