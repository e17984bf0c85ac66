// SPDX-License-Identifier: Apache-2.0
// Tables from routes, then lanes for the pairs of routers that the tables use.
#include "driver/fabric/plan.h"

#include <algorithm>

#include "driver/fabric/lanes.h"
#include "driver/fabric/routes.h"

namespace warden::fabric {
namespace {

Router router_of(const Topology& topology, const Device& device, const Link& link) {
  const Device& peer = topology.devices[link.peer_card];
  return {.id = {device.node, link.channel},
          .number = device.number,
          .direction = link.direction,
          .peer = {peer.node, link.peer_channel},
          .peer_number = peer.number,
          .card = device.card,
          .tile = ethernet_tile(link.channel)};
}

kernels::RouterConfiguration configuration_of(const Router& router, const Mesh& mesh) {
  kernels::RouterConfiguration configuration{};
  configuration.mesh_id = static_cast<std::uint16_t>(mesh.id);
  configuration.node = router.number;
  configuration.channel = router.id.channel;
  configuration.direction = static_cast<std::uint8_t>(router.direction);
  configuration.rows = static_cast<std::uint16_t>(mesh.rows);
  configuration.columns = static_cast<std::uint16_t>(mesh.columns);
  configuration.peer_node = router.peer_number;
  configuration.peer_channel = router.peer.channel;
  return configuration;
}

// The channels of an edge, in ascending order.
std::vector<chan_id_t> channels_of(const Device& device, Direction direction) {
  std::vector<chan_id_t> channels;
  for (const Link& link : device.links) {
    if (link.direction == direction) channels.push_back(link.channel);
  }
  return channels;
}

std::size_t rank_of(const Device& device, const Router& router) {
  const auto edge = channels_of(device, router.direction);
  return static_cast<std::size_t>(std::ranges::find(edge, router.id.channel) - edge.begin());
}

Grid grid_of(const Topology& topology, const Mesh& mesh) {
  Grid grid(mesh.rows, mesh.columns);
  for (const std::size_t card : mesh.cards) {
    const Device& device = topology.devices[card];
    for (const Link& link : device.links) grid.open(device.number, link.direction);
  }
  return grid;
}

void fill_forward(RouterPlan& plan, const Device& device, const Routes& routes) {
  // What comes over this link moves away from it.
  const Direction heading = opposite(plan.router.direction);
  const std::size_t rank = rank_of(device, plan.router);
  for (std::uint32_t destination = 0; destination < kernels::kNodesMax; ++destination) {
    std::uint32_t& forward = plan.block.forward[destination];
    forward = kernels::kForwardNowhere;
    if (destination == device.number) forward = kernels::kForwardLocal;
    const auto step = routes.next(device.number, heading, destination);
    if (!step) continue;
    const auto edge = channels_of(device, *step);
    forward = edge[rank % edge.size()];
  }
}

}  // namespace

Result<std::vector<RouterPlan>> make_plan(const Topology& topology) {
  std::vector<RouterPlan> plans;
  for (const Mesh& mesh : topology.meshes) {
    const Routes routes(grid_of(topology, mesh));
    for (const std::size_t card : mesh.cards) {
      const Device& device = topology.devices[card];
      const std::size_t first = plans.size();
      for (const Link& link : device.links) {
        RouterPlan plan{.router = router_of(topology, device, link)};
        plan.block.configuration = configuration_of(plan.router, mesh);
        fill_forward(plan, device, routes);
        plans.push_back(plan);
      }
      if (auto assigned = assign_lanes(std::span(plans).subspan(first)); !assigned) {
        return std::unexpected(std::move(assigned).error());
      }
    }
  }
  std::ranges::sort(plans, {}, [](const RouterPlan& plan) { return plan.router.id; });
  return plans;
}

}  // namespace warden::fabric
