// SPDX-License-Identifier: Apache-2.0
// Finding, loading and naming the routers.
#include "driver/fabric/control_plane.h"

#include <fmt/format.h>

#include <algorithm>

#include "driver/fabric/loader.h"
#include "driver/fabric/plan.h"
#include "driver/fabric/predecessor.h"
#include "driver/fabric/router_memory.h"
#include "driver/fabric/survey.h"

namespace warden::fabric {

ControlPlane::ControlPlane(std::vector<std::unique_ptr<Card>> cards) : cards_(std::move(cards)) {}

Status ControlPlane::bring_up(const BringUpOptions& options) {
  for (const auto& card : cards_) {
    if (auto renewed = card->renew(); !renewed) return renewed;
  }
  auto topology = discover(cards_, options.link_deadline);
  if (!topology) return wrap(std::move(topology).error(), "find the fabric's links");
  auto plans = make_plan(*topology);
  if (!plans) return wrap(std::move(plans).error(), "plan the fabric's routes");
  if (auto stopped = replace_predecessor(cards_, *plans); !stopped) {
    return wrap(std::move(stopped).error(), "stop what ran before");
  }
  const LoadOptions load{.telemetry = options.telemetry,
                         .command = options.run ? RouterCommand::kRun : RouterCommand::kPause,
                         .deadline = options.start_deadline};
  if (auto loaded = load_routers(cards_, *plans, load); !loaded) return loaded;

  Survey found{.routers = std::move(*plans), .meshes = topology->meshes, .nodes = {}, .remarks = topology->remarks};
  for (const Device& device : topology->devices) found.nodes.emplace_back(device.node);
  take(std::move(found));
  has_telemetry_ = options.telemetry;
  return {};
}

Status ControlPlane::attach() {
  for (const auto& card : cards_) (void)card->renew();  // one that can't be used does not answer, and is named
  auto found = survey(cards_);
  if (!found) return wrap(std::move(found).error(), "look for a running fabric");
  if (found->routers.empty()) {
    std::string why = found->remarks.empty() ? "" : " (" + found->remarks.front() + ")";
    return fail(Code::kNotFound, "no router runs on these cards" + why + ": bring the fabric up first");
  }
  has_telemetry_ = std::ranges::all_of(found->routers, [](const RouterPlan& plan) {
    return (plan.block.manifest.features & kernels::kFeatureTelemetry) != 0;
  });
  take(std::move(*found));
  return {};
}

void ControlPlane::take(Survey found) {
  routers_.clear();
  paths_ = {};
  for (const RouterPlan& plan : found.routers) {
    routers_.push_back(plan.router);
    paths_.add(plan.router, plan.block);
  }
  meshes_ = std::move(found.meshes);
  nodes_ = std::move(found.nodes);
  remarks_ = std::move(found.remarks);
}

void ControlPlane::adopt(const FabricNodeId& node, std::span<const RouterPlan> plans) {
  std::erase_if(routers_, [&](const Router& router) {
    if (router.id.node != node) return false;
    paths_.remove(router.id);
    return true;
  });
  for (const RouterPlan& plan : plans) {
    if (plan.router.id.node != node) continue;
    routers_.push_back(plan.router);
    paths_.add(plan.router, plan.block);
  }
  std::ranges::sort(routers_, {}, &Router::id);
}

std::vector<MeshId> ControlPlane::get_user_physical_mesh_ids() const {
  std::vector<MeshId> ids;
  for (const Mesh& mesh : meshes_) ids.push_back(mesh.id);
  return ids;
}

std::vector<FabricNodeId> ControlPlane::devices(MeshId mesh) const {
  std::vector<FabricNodeId> nodes;
  const auto found = std::ranges::find(meshes_, mesh, &Mesh::id);
  if (found == meshes_.end()) return nodes;
  for (const std::size_t card : found->cards) nodes.push_back(*nodes_[card]);
  return nodes;
}

std::uint16_t ControlPlane::number_of(const FabricNodeId& node) const noexcept {
  const auto mesh = std::ranges::find(meshes_, node.mesh_id, &Mesh::id);
  const std::uint32_t columns = mesh == meshes_.end() ? 1 : mesh->columns;
  return static_cast<std::uint16_t>(node.logical_y * columns + node.logical_x);
}

FabricNodeId ControlPlane::node_at(MeshId mesh, std::uint32_t number) const noexcept {
  const auto found = std::ranges::find(meshes_, mesh, &Mesh::id);
  const std::uint32_t columns = found == meshes_.end() ? 1 : found->columns;
  return {.mesh_id = mesh, .logical_x = number % columns, .logical_y = number / columns};
}

const Router* ControlPlane::find(const FabricNodeId& node, chan_id_t channel) const noexcept {
  const RouterId wanted{node, channel};
  const auto found = std::ranges::lower_bound(routers_, wanted, {}, &Router::id);
  return found != routers_.end() && found->id == wanted ? &*found : nullptr;
}

RouterList ControlPlane::all() const {
  RouterList list;
  for (const Router& router : routers_) list.push_back(&router);
  return list;
}

Result<RouterList> ControlPlane::select(const Selection& selection) const {
  const auto joins = [&](const Router& router) {
    const FabricNodeId& here = router.id.node;
    const FabricNodeId& there = router.peer.node;
    return (here == *selection.node && there == *selection.neighbour) ||
           (there == *selection.node && here == *selection.neighbour);
  };
  RouterList list;
  for (const Router& router : routers_) {
    const bool edge = selection.node && selection.neighbour;
    if (selection.mesh && router.id.node.mesh_id != *selection.mesh) continue;
    if (edge && !joins(router)) continue;
    if (!edge && selection.node && router.id.node != *selection.node) continue;
    if (selection.channel && router.id.channel != *selection.channel) continue;
    list.push_back(&router);
  }
  if (list.empty()) {
    return fail(Code::kNotFound, fmt::format("no router of the fabric is meant by this selection: there are {} routers",
                                             routers_.size()));
  }
  return list;
}

std::optional<std::size_t> ControlPlane::card_of(const FabricNodeId& node) const noexcept {
  const auto found = std::ranges::find(nodes_, std::optional(node));
  if (found == nodes_.end()) return std::nullopt;
  return static_cast<std::size_t>(found - nodes_.begin());
}

Result<kernels::RouterBlock> ControlPlane::block(const Router& router) const {
  auto read = read_struct<kernels::RouterBlock>(card(router), router.tile, in_router(0));
  if (!read) return wrap(std::move(read).error(), "read router " + to_string(router.id));
  return read;
}

Result<kernels::RouterTelemetry> ControlPlane::telemetry(const Router& router) const {
  auto read = read_struct<kernels::RouterTelemetry>(card(router), router.tile,
                                                    in_router(offsetof(kernels::RouterBlock, telemetry)));
  if (!read) return wrap(std::move(read).error(), "read the telemetry of router " + to_string(router.id));
  return read;
}

Result<RouterStateCommon> ControlPlane::state(const Router& router) const {
  auto read = card(router).read32(router.tile, kStateWord);
  if (!read) return wrap(std::move(read).error(), "read the state of router " + to_string(router.id));
  return static_cast<RouterStateCommon>(*read);
}

}  // namespace warden::fabric
