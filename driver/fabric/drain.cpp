// SPDX-License-Identifier: Apache-2.0
// Draining: first nothing more comes in, then all that is inside comes out, then the routers pause.
#include <algorithm>
#include <set>

#include "driver/fabric/holds.h"
#include "driver/fabric/patience.h"
#include "driver/fabric/previous_commands.h"
#include "driver/fabric/router_state_manager.h"
#include "driver/fabric/settling.h"

namespace warden::fabric {

using std::chrono::milliseconds;

Transition FabricRouterStateManager::drain(RouterSpan routers, milliseconds timeout) {
  Patience patience(timeout);
  const PreviousCommands before(*fabric_, routers);
  Transition transition;
  if (routers.size() == fabric_->routers().size()) {
    (void)command(routers, RouterCommand::kDrain);  // who could not be told does not follow
    transition = wait(routers, RouterStateCommon::DRAINING, patience.left());
    if (transition.complete()) transition.undrained = await_empty(*fabric_, patience);
  } else {
    std::set<RouterId> through;
    for (const Router* router : routers) through.insert(router->id);
    const ClosedPairs closed = close_admission(*fabric_, through, patience.left());
    for (const RouterId& silent : closed.silent) {
      transition.stragglers.push_back({.router = silent, .last_seen = {}, .problem = "does not answer"});
    }
    if (transition.complete()) transition.undrained = await_balance(*fabric_, closed.pairs, patience);
  }
  if (transition.complete()) {
    (void)command(routers, RouterCommand::kPause);  // as above
    transition = wait(routers, RouterStateCommon::PAUSED, patience.left());
  }
  if (!transition.complete()) transition.rolled_back = before.restore(*this, {}, timeout);
  // What was held only to be counted goes on; all the rest if it was rolled back.
  if (auto opened = open_admission(*fabric_); !opened) fabric_->log(opened.error().message);
  transition.duration = patience.elapsed();
  return transition;
}

}  // namespace warden::fabric
