// SPDX-License-Identifier: Apache-2.0
// Tables followed from router to router.
#include "driver/fabric/paths.h"

#include "driver/fabric/router_memory.h"
#include "driver/fabric/topology.h"

namespace warden::fabric {
namespace {

std::optional<chan_id_t> channel_at(Tile tile) {
  for (chan_id_t channel = 0; channel < kChannels; ++channel) {
    if (ethernet_tile(channel) == tile) return channel;
  }
  return std::nullopt;
}

}  // namespace

void Paths::add(const Router& router, const kernels::RouterBlock& block) {
  Entry entry{.peer = router.peer, .number = router.number, .peer_number = router.peer_number};
  for (std::uint32_t destination = 0; destination < kernels::kNodesMax; ++destination) {
    const std::uint32_t port = block.forward[destination];
    entry.next[destination] = kNoChannel;
    if (port < kernels::kPorts) {
      entry.next[destination] = channel_at(tile_of_word(block.ports[port].tile)).value_or(kNoChannel);
    }
  }
  routers_[router.id] = entry;
}

std::optional<std::vector<Paths::Hop>> Paths::from(const RouterId& first, std::uint32_t destination) const {
  if (destination >= kernels::kNodesMax) return std::nullopt;
  std::vector<Hop> hops;
  auto at = routers_.find(first);
  if (at != routers_.end() && at->second.number == destination) return std::nullopt;
  while (at != routers_.end() && hops.size() <= routers_.size()) {
    hops.push_back({at->first, at->second.peer});
    if (at->second.peer_number == destination) return hops;
    const auto arrived = routers_.find(at->second.peer);
    if (arrived == routers_.end()) return std::nullopt;
    const chan_id_t next = arrived->second.next[destination];
    if (next == kNoChannel) return std::nullopt;
    at = routers_.find({arrived->first.node, next});
  }
  return std::nullopt;
}

}  // namespace warden::fabric
