// SPDX-License-Identifier: Apache-2.0
// Looks at the accounts until they are settled.
#include "driver/fabric/settling.h"

#include <optional>

namespace warden::fabric {

std::vector<PairAccount> await_balance(const ControlPlane& fabric,
                                       const std::set<std::pair<FabricNodeId, FabricNodeId>>& pairs,
                                       Patience& patience) {
  while (true) {
    const auto accounts = Accounts::read(fabric, true);
    std::vector<PairAccount> inside;
    for (const PairAccount& pair : accounts->unbalanced()) {
      if (pairs.contains({pair.source, pair.destination})) inside.push_back(pair);
    }
    if (inside.empty() || !patience.again()) return inside;
  }
}

std::vector<PairAccount> await_empty(const ControlPlane& fabric, Patience& patience) {
  std::optional<Accounts> last;
  while (true) {
    const auto accounts = Accounts::read(fabric, true);
    const bool complete = accounts->unreadable().empty();
    if (complete && accounts->admitted() == accounts->delivered()) return {};
    const bool nothing_moved = last && last->admitted() == accounts->admitted() &&
                               last->delivered() == accounts->delivered() && last->inside() == 0;
    if (complete && nothing_moved && accounts->inside() == 0) return {};
    if (!patience.again()) return accounts->unbalanced();
    last = *accounts;
  }
}

}  // namespace warden::fabric
