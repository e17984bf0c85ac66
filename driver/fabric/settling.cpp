// SPDX-License-Identifier: Apache-2.0
// Looks at the accounts until they are settled, and into the lanes where the accounts can't tell.
#include "driver/fabric/settling.h"

#include <algorithm>

#include "driver/fabric/lane_counts.h"

namespace warden::fabric {
namespace {

using Pair = std::pair<FabricNodeId, FabricNodeId>;

bool same(const std::vector<PairAccount>& one, const std::vector<PairAccount>& other) {
  return std::ranges::equal(one, other, [](const PairAccount& a, const PairAccount& b) {
    return a.source == b.source && a.destination == b.destination && a.admitted == b.admitted &&
           a.delivered == b.delivered;
  });
}

// Packets that were lost once, in a chip that was reset, or that came twice, leave their pairs unbalanced for ever.
// That nothing is inside all the same is seen in the lanes: a packet is always in one, but may move on between two
// looks. One that moves is either seen in time, or delivered, since every way has an end.
class Lanes {
 public:
  explicit Lanes(const ControlPlane& fabric) : fabric_(&fabric) {}

  // Call after each look; whether nothing is inside of these pairs, the same for several looks.
  bool empty_of(const std::vector<PairAccount>& pairs) {
    const bool standing = !last_.empty() && same(pairs, last_);
    last_ = pairs;
    if (!standing) {
      looks_ = empty_looks_ = 0;
      return false;
    }
    if (++looks_ < kLooksBefore) return false;
    const PairCounts lying = packets_in_lanes(*fabric_, fabric_->all());
    const bool none = std::ranges::none_of(
        pairs, [&](const PairAccount& pair) { return lying.contains({pair.source, pair.destination}); });
    empty_looks_ = none ? empty_looks_ + 1 : 0;
    return empty_looks_ > longest_way(pairs);
  }

 private:
  static constexpr std::size_t kLooksBefore = 8;  // reading lanes is slow: most pairs are balanced before

  [[nodiscard]] std::size_t longest_way(const std::vector<PairAccount>& pairs) const {
    std::size_t longest = 0;
    for (const PairAccount& pair : pairs) {
      for (const Router& router : fabric_->routers()) {
        if (router.id.node != pair.source) continue;
        const auto path = fabric_->paths().from(router.id, fabric_->number_of(pair.destination));
        if (path) longest = std::max(longest, path->size());
      }
    }
    return longest;
  }

  const ControlPlane* fabric_;
  std::vector<PairAccount> last_;
  std::size_t looks_ = 0;
  std::size_t empty_looks_ = 0;
};

template <typename Wanted>
std::vector<PairAccount> await(const ControlPlane& fabric, Patience& patience, Wanted wanted) {
  Lanes lanes(fabric);
  while (true) {
    const auto accounts = Accounts::read(fabric, true);
    std::vector<PairAccount> inside = accounts->unbalanced();
    std::erase_if(inside, [&](const PairAccount& pair) { return !wanted(pair); });
    if (inside.empty()) return inside;
    if (accounts->unreadable().empty() && lanes.empty_of(inside)) return {};
    if (!patience.again()) return inside;
  }
}

}  // namespace

std::vector<PairAccount> await_balance(const ControlPlane& fabric, const std::set<Pair>& pairs, Patience& patience) {
  return await(fabric, patience,
               [&](const PairAccount& pair) { return pairs.contains({pair.source, pair.destination}); });
}

std::vector<PairAccount> await_empty(const ControlPlane& fabric, Patience& patience) {
  return await(fabric, patience, [](const PairAccount&) { return true; });
}

}  // namespace warden::fabric
