// SPDX-License-Identifier: Apache-2.0
// Before the reset: hold, drain, pause.
#include "driver/fabric/cut.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "driver/fabric/holds.h"
#include "driver/fabric/patience.h"
#include "driver/fabric/router_memory.h"
#include "driver/fabric/settling.h"

namespace warden::fabric {

using nlohmann::json;

Cut::Cut(ControlPlane& fabric, std::vector<FabricNodeId> chips, const CutOptions& options)
    : fabric_(&fabric), chips_(std::move(chips)), options_(options) {
  report_.chips = chips_;
}

bool Cut::in_cut(const FabricNodeId& node) const noexcept { return std::ranges::find(chips_, node) != chips_.end(); }

Status Cut::check_chips() const {
  if (chips_.empty()) return fail(Code::kInvalidArgument, "no device is to be cut out of the fabric");
  for (const FabricNodeId& chip : chips_) {
    if (fabric_->card_of(chip)) continue;
    return fail(Code::kNotFound, fmt::format("there is no device {} in the fabric", to_string(chip)));
  }
  return {};
}

RouterList Cut::facing() const {
  RouterList list;
  for (const Router& router : fabric_->routers()) {
    if (!in_cut(router.id.node) && in_cut(router.peer.node)) list.push_back(&router);
  }
  return list;
}

RouterList Cut::inside() const {
  RouterList list;
  for (const Router& router : fabric_->routers()) {
    if (in_cut(router.id.node)) list.push_back(&router);
  }
  return list;
}

void Cut::note_paused(RouterSpan routers) {
  for (const Router* router : routers) {
    Card& card = fabric_->card(*router);
    const auto command = card.read32(router->tile, kCommandWord);
    if (!command) continue;
    // One that an earlier cut has paused, whose reset failed, is not somebody else's.
    const bool runs = static_cast<RouterCommand>(*command) == RouterCommand::kRun;
    if (!runs && card.read32(router->tile, kPausedByCut).value_or(0) == 0) paused_before_.insert(router->id);
    if (runs) (void)card.write32(router->tile, kPausedByCut, 1);
  }
}

Status Cut::prepare() {
  if (auto known = check_chips(); !known) return known;
  Patience patience(options_.drain_timeout);
  FabricRouterStateManager manager(*fabric_);
  const RouterList neighbours = facing();
  const RouterList own = inside();
  std::set<RouterId> through;
  for (const Router* router : neighbours) through.insert(router->id);
  for (const Router* router : own) through.insert(router->id);
  report_.facing.clear();
  for (const Router* router : neighbours) report_.facing.push_back(router->id);

  note_paused(neighbours);
  note_paused(own);
  held_before_ = read_held_counts(*fabric_);
  // Chips that hang are cut out as well: they must not use up the time in which the others drain.
  const ClosedPairs closed = close_admission(*fabric_, through, patience.left() / 4);
  for (const RouterId& silent : closed.silent) {
    report_.remarks.push_back(fmt::format("router {} does not answer", to_string(silent)));
  }
  report_.held_pairs = static_cast<std::uint32_t>(closed.pairs.size());
  report_.undrained = await_balance(*fabric_, closed.pairs, patience);

  for (const RouterList& list : {own, neighbours}) {
    if (auto told = manager.command(list, RouterCommand::kPause); !told) {
      report_.remarks.push_back(std::move(told).error().message);
    }
  }
  report_.not_paused = manager.wait(neighbours, RouterStateCommon::PAUSED, options_.pause_timeout).stragglers;
  if (auto opened = open_admission(*fabric_); !opened) report_.remarks.push_back(std::move(opened).error().message);
  prepared_ = true;
  report_.prepare_duration = patience.elapsed();
  return {};
}

Status Cut::abandon() {
  if (auto known = check_chips(); !known) return known;
  std::vector<RouterId> routers;
  for (const RouterList& list : {facing(), inside()}) {
    for (const Router* router : list) routers.push_back(router->id);
  }
  return run(routers);
}

Status Cut::run(std::span<const RouterId> routers) {
  RouterList running;
  for (const RouterId& id : routers) {
    if (!paused_before_.contains(id)) running.push_back(fabric_->find(id));
  }
  const Transition transition = FabricRouterStateManager(*fabric_).resume(running, options_.start_deadline);
  count_delayed();
  if (transition.complete()) return {};
  return fail(Code::kTimeout, "put the cut back: " + to_string(transition));
}

void Cut::count_delayed() { report_.delayed_packets = held_since(held_before_, read_held_counts(*fabric_)); }

Result<std::vector<FabricNodeId>> devices_of_cards(const ControlPlane& fabric, const std::vector<std::string>& names) {
  std::vector<FabricNodeId> devices;
  for (const std::string& name : names) {
    const std::size_t before = devices.size();
    for (const Mesh& mesh : fabric.meshes()) {
      for (const FabricNodeId& node : fabric.devices(mesh.id)) {
        if (fabric.cards()[*fabric.card_of(node)]->name() == name) devices.push_back(node);
      }
    }
    if (devices.size() == before) return fail(Code::kNotFound, fmt::format("{} is not part of the fabric", name));
  }
  return devices;
}

json to_json(const CutReport& report) {
  const auto texts = [](const auto& list) {
    json array = json::array();
    for (const auto& one : list) array.push_back(to_string(one));
    return array;
  };
  json undrained = json::array();
  for (const PairAccount& pair : report.undrained) {
    undrained.push_back(
        {{"source", to_string(pair.source)}, {"destination", to_string(pair.destination)}, {"packets", pair.inside()}});
  }
  return {{"chips", texts(report.chips)},
          {"facing", texts(report.facing)},
          {"undrained", std::move(undrained)},
          {"not_paused", texts(report.not_paused)},
          {"held_pairs", report.held_pairs},
          {"delayed_packets", report.delayed_packets},
          {"resent_packets", report.resent_packets},
          {"lost_packets", report.lost_packets},
          {"doubled_packets", report.doubled_packets},
          {"not_restored", texts(report.not_restored)},
          {"remarks", report.remarks},
          {"prepare_us", report.prepare_duration.count()},
          {"restore_us", report.restore_duration.count()}};
}

}  // namespace warden::fabric
