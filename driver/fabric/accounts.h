// SPDX-License-Identifier: Apache-2.0
// How many packets were admitted to the fabric and how many came out, for every pair of devices; read from the routers.
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include <warden/result.h>

#include "driver/fabric/control_plane.h"
#include "driver/fabric/node.h"

namespace warden::fabric {

// Counts wrap at 2^32; differences are right.
struct PairAccount {
  FabricNodeId source;
  FabricNodeId destination;
  std::uint32_t admitted = 0;     // taken from workers' lanes
  std::uint32_t delivered = 0;    // put into sinks' rings, or dropped and counted where they ended
  std::uint32_t written_off = 0;  // lost in chips that were reset
  [[nodiscard]] std::uint32_t inside() const noexcept { return admitted - delivered - written_off; }
};

struct Drops {
  std::uint64_t unreachable = 0;    // no way to the destination
  std::uint64_t undeliverable = 0;  // no sink on the tile
  std::uint64_t malformed = 0;
  [[nodiscard]] std::uint64_t total() const noexcept { return unreachable + undeliverable + malformed; }
};

class Accounts {
 public:
  // What was delivered is read first, so that what is on its way is never less than nothing. Routers that can't be read
  // are an error, unless `tolerant`: then they count as zero, and are named by unreadable().
  [[nodiscard]] static Result<Accounts> read(const ControlPlane& fabric, bool tolerant = false);

  [[nodiscard]] std::vector<PairAccount> pairs() const;       // those that ever had traffic
  [[nodiscard]] std::vector<PairAccount> unbalanced() const;  // packets of which are inside
  [[nodiscard]] PairAccount pair(const FabricNodeId& source, const FabricNodeId& destination) const;
  [[nodiscard]] std::uint64_t admitted() const noexcept;
  [[nodiscard]] std::uint64_t delivered() const noexcept;  // with drops
  // By the routers themselves: packets in their lanes and rings; one that moves may be missed, or counted twice.
  [[nodiscard]] std::uint64_t inside() const noexcept { return inside_; }
  [[nodiscard]] const Drops& drops() const noexcept { return drops_; }
  [[nodiscard]] const std::vector<RouterId>& unreadable() const noexcept { return unreadable_; }

 private:
  using Key = std::pair<FabricNodeId, FabricNodeId>;
  PairAccount& entry(const FabricNodeId& source, const FabricNodeId& destination);

  std::map<Key, PairAccount> pairs_;
  Drops drops_;
  std::uint64_t inside_ = 0;
  std::vector<RouterId> unreadable_;
};

}  // namespace warden::fabric
