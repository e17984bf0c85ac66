// SPDX-License-Identifier: Apache-2.0
// The admission tables of the routers, by the ways that packets take.
#include "driver/fabric/holds.h"

#include <algorithm>
#include <array>

#include "driver/fabric/patience.h"
#include "driver/fabric/router_memory.h"

namespace warden::fabric {
namespace {

using Admissions = std::array<std::uint32_t, kernels::kNodesMax>;
constexpr CardAddress kAdmit = in_router(offsetof(kernels::RouterBlock, admit));
constexpr CardAddress kProbe = in_router(offsetof(kernels::RouterBlock, probe));
constexpr CardAddress kProbeAnswer =
    in_router(offsetof(kernels::RouterBlock, counters) + offsetof(kernels::RouterCounters, probe_answer));

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

}  // namespace

ClosedPairs close_admission(const ControlPlane& fabric, const std::set<RouterId>& through,
                            std::chrono::milliseconds timeout) {
  ClosedPairs closed;
  for (const Router& router : fabric.routers()) {
    const std::uint32_t nodes = nodes_of(fabric, router.id.node.mesh_id);
    for (std::uint32_t destination = 0; destination < nodes; ++destination) {
      if (!touches(fabric, router, destination, through)) continue;
      closed.pairs.emplace(router.id.node, fabric.node_at(router.id.node.mesh_id, destination));
    }
  }
  RouterList changed;
  for (const Router& router : fabric.routers()) {
    auto admissions = read_admissions(fabric, router);
    if (!admissions) {
      closed.silent.push_back(router.id);
      continue;
    }
    const Admissions before = *admissions;
    for (std::uint32_t destination = 0; destination < kernels::kNodesMax; ++destination) {
      const FabricNodeId there = fabric.node_at(router.id.node.mesh_id, destination);
      if (closed.pairs.contains({router.id.node, there})) (*admissions)[destination] = kernels::kAdmitHeld;
    }
    if (*admissions != before && !write_struct(fabric.card(router), router.tile, kAdmit, *admissions)) {
      closed.silent.push_back(router.id);
      continue;
    }
    changed.push_back(&router);
  }
  std::ranges::copy(await_turn(fabric, changed, timeout), std::back_inserter(closed.silent));
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

std::vector<RouterId> await_turn(const ControlPlane& fabric, RouterSpan routers, std::chrono::milliseconds timeout) {
  struct Asked {
    const Router* router;
    std::uint32_t probe;
  };
  std::vector<RouterId> silent;
  std::vector<Asked> asked;
  for (const Router* router : routers) {
    const auto probe = fabric.card(*router).read32(router->tile, kProbe);
    if (probe && fabric.card(*router).write32(router->tile, kProbe, *probe + 1)) {
      asked.push_back({router, *probe + 1});
    } else {
      silent.push_back(router->id);
    }
  }
  Patience patience(timeout);
  const auto has_answered = [&](const Asked& one) {
    const auto answer = fabric.card(*one.router).read32(one.router->tile, kProbeAnswer);
    return answer && *answer == one.probe;
  };
  do {
    std::erase_if(asked, has_answered);
  } while (!asked.empty() && patience.again());
  for (const Asked& one : asked) silent.push_back(one.router->id);
  return silent;
}

}  // namespace warden::fabric
