// SPDX-License-Identifier: Apache-2.0
// Command words read, and written back.
#include "driver/fabric/previous_commands.h"

#include <algorithm>

#include "driver/fabric/router_memory.h"

namespace warden::fabric {

PreviousCommands::PreviousCommands(const ControlPlane& fabric, RouterSpan routers) {
  for (const Router* router : routers) {
    const auto command = fabric.card(*router).read32(router->tile, kCommandWord);
    if (command) commands_.emplace_back(router, static_cast<RouterCommand>(*command));
  }
}

bool PreviousCommands::restore(FabricRouterStateManager& manager, const std::vector<Straggler>& stragglers,
                               std::chrono::milliseconds timeout) const {
  bool followed = true;
  for (const RouterCommand command : {RouterCommand::kRun, RouterCommand::kPause, RouterCommand::kDrain}) {
    RouterList routers;
    for (const auto& [router, before] : commands_) {
      // A link that was being trained anew is left paused: training it again is for who began it.
      const RouterCommand wanted = before == RouterCommand::kRetrain ? RouterCommand::kPause : before;
      if (wanted == command) routers.push_back(router);
    }
    if (routers.empty()) continue;
    followed &= manager.command(routers, command).has_value();
    // Who did not hear the one command is not waited for to hear the other.
    std::erase_if(routers, [&](const Router* router) {
      return std::ranges::find(stragglers, router->id, &Straggler::router) != stragglers.end();
    });
    followed &= manager.wait(routers, state_after(command), timeout).complete();
  }
  return followed;
}

}  // namespace warden::fabric
