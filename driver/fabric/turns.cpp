// SPDX-License-Identifier: Apache-2.0
// Probes written, answers awaited.
#include "driver/fabric/turns.h"

#include "driver/fabric/patience.h"
#include "driver/fabric/router_memory.h"

namespace warden::fabric {

std::vector<RouterId> await_turn(const ControlPlane& fabric, RouterSpan routers, std::chrono::milliseconds timeout) {
  struct Asked {
    const Router* router;
    std::uint32_t probe;
  };
  std::vector<RouterId> silent;
  std::vector<Asked> asked;
  for (const Router* router : routers) {
    const auto probe = fabric.card(*router).read32(router->tile, kProbe);
    if (probe && fabric.card(*router).write32(router->tile, kProbe, *probe + 1)) {
      asked.push_back({router, *probe + 1});
    } else {
      silent.push_back(router->id);
    }
  }
  Patience patience(timeout);
  const auto has_answered = [&](const Asked& one) {
    const auto answer = fabric.card(*one.router).read32(one.router->tile, kProbeAnswer);
    return answer && *answer == one.probe;
  };
  do {
    std::erase_if(asked, has_answered);
  } while (!asked.empty() && patience.again());
  for (const Asked& one : asked) silent.push_back(one.router->id);
  return silent;
}

}  // namespace warden::fabric
