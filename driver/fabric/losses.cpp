// SPDX-License-Identifier: Apache-2.0
// Looks again and again: a packet that moves may be missed in the lanes by one look, but not by more than its way has
// steps.
#include "driver/fabric/losses.h"

#include <fmt/format.h>

#include <algorithm>

#include "driver/fabric/lane_counts.h"
#include "driver/fabric/router_memory.h"

namespace warden::fabric {
namespace {

struct Seen {
  PairAccount account;
  std::uint32_t missing = 0;
  bool operator==(const Seen& other) const {
    return account.admitted == other.account.admitted && account.delivered == other.account.delivered &&
           missing == other.missing;
  }
};
using Look = std::map<std::pair<FabricNodeId, FabricNodeId>, Seen>;

bool are_known(const Accounts& accounts, RouterSpan routers) {
  return std::ranges::none_of(routers, [&](const Router* router) {
    return std::ranges::find(accounts.unreadable(), router->id) != accounts.unreadable().end();
  });
}

Look look(const ControlPlane& fabric, RouterSpan routers, const std::function<bool(const PairAccount&)>& wanted) {
  const auto accounts = Accounts::read(fabric, true);
  if (!are_known(*accounts, routers)) return {};  // packets may lie there
  const PairCounts lying = packets_in_lanes(fabric, routers);
  Look seen;
  for (const PairAccount& pair : accounts->pairs()) {
    if (!wanted(pair)) continue;
    const auto found = lying.find({pair.source, pair.destination});
    const std::uint32_t waiting = found == lying.end() ? 0 : found->second;
    const auto missing = static_cast<std::int32_t>(pair.inside() - waiting);
    // More in the lanes than inside is no riddle: who has sent a packet keeps it until it hears that it was taken.
    if (missing <= 0) continue;
    seen[{pair.source, pair.destination}] = {.account = pair, .missing = static_cast<std::uint32_t>(missing)};
  }
  return seen;
}

std::uint32_t longest_way(const ControlPlane& fabric) {
  std::uint32_t steps = 0;
  for (const Mesh& mesh : fabric.meshes()) steps = std::max(steps, mesh.rows * mesh.columns);
  return steps;
}

}  // namespace

Losses find_losses(const ControlPlane& fabric, RouterSpan routers,
                   const std::function<bool(const PairAccount&)>& wanted) {
  Look standing = look(fabric, routers, wanted);
  for (std::uint32_t looks = 0; looks <= longest_way(fabric) && !standing.empty(); ++looks) {
    const Look again = look(fabric, routers, wanted);
    std::erase_if(standing, [&](const auto& entry) {
      const auto found = again.find(entry.first);
      return found == again.end() || found->second != entry.second;
    });
  }
  Losses losses;
  for (const auto& [pair, seen] : standing) losses[pair] = seen.missing;
  return losses;
}

Status write_off(const ControlPlane& fabric, const Losses& losses) {
  for (const auto& [pair, missing] : losses) {
    const auto& [source, destination] = pair;
    const auto router = std::ranges::find(fabric.routers(), destination, [](const Router& one) { return one.id.node; });
    if (router == fabric.routers().end()) continue;
    Card& card = fabric.card(*router);
    const CardAddress address{in_router(offsetof(kernels::RouterBlock, written_off)).value +
                              sizeof(std::uint32_t) * fabric.number_of(source)};
    const auto before = card.read32(router->tile, address);
    if (!before) return wrap(before.error(), "write off packets that are lost");
    auto written = card.write32(router->tile, address, *before + missing);
    if (!written) return wrap(std::move(written).error(), "write off packets that are lost");
  }
  return {};
}

}  // namespace warden::fabric
