// SPDX-License-Identifier: Apache-2.0
// What routers were told before, to be told again when the whole did not work.
#pragma once

#include <chrono>
#include <utility>
#include <vector>

#include "driver/fabric/router_state_manager.h"

namespace warden::fabric {

class PreviousCommands {
 public:
  PreviousCommands(const ControlPlane& fabric, RouterSpan routers);

  // Commands them as before, and waits until those that can be read, and are no stragglers, have followed, or the
  // timeout. Whether they have.
  [[nodiscard]] bool restore(FabricRouterStateManager& manager, const std::vector<Straggler>& stragglers,
                             std::chrono::milliseconds timeout) const;

 private:
  std::vector<std::pair<const Router*, RouterCommand>> commands_;  // of those that could be read
};

}  // namespace warden::fabric
