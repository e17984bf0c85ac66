// SPDX-License-Identifier: Apache-2.0
// Commands and waits; pausing some or none; recovery of what a predecessor left.
#include "driver/fabric/router_state_manager.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "driver/fabric/holds.h"
#include "driver/fabric/patience.h"
#include "driver/fabric/previous_commands.h"
#include "driver/fabric/router_memory.h"

namespace warden::fabric {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kNamedAtMost = 8;  // in one line

}  // namespace

std::string to_string(const Straggler& straggler) {
  return fmt::format("{} ({})", to_string(straggler.router),
                     straggler.last_seen ? router_state_name(*straggler.last_seen) : straggler.problem);
}

std::string to_string(const Transition& transition) {
  std::vector<std::string> parts;
  for (const Straggler& straggler : transition.stragglers) {
    if (parts.size() < kNamedAtMost) parts.push_back(to_string(straggler));
  }
  std::string text =
      transition.stragglers.empty()
          ? "all routers followed"
          : fmt::format("{} routers did not follow: {}{}", transition.stragglers.size(), fmt::join(parts, ", "),
                        transition.stragglers.size() > parts.size() ? ", ..." : "");
  if (!transition.undrained.empty()) {
    const PairAccount& pair = transition.undrained.front();
    text += fmt::format("; packets of {} pairs are still inside, {} of them from {} to {}", transition.undrained.size(),
                        pair.inside(), to_string(pair.source), to_string(pair.destination));
  }
  if (transition.rolled_back) text += "; rolled back";
  return text;
}

Status FabricRouterStateManager::command(RouterSpan routers, RouterCommand command) {
  std::vector<std::string> refused;
  std::optional<Error> first;
  for (const Router* router : routers) {
    Card& card = fabric_->card(*router);
    auto written = card.write32(router->tile, kCommandWord, static_cast<std::uint32_t>(command));
    // Who lets it run ends what a cut had begun with it.
    if (written && command == RouterCommand::kRun) written = card.write32(router->tile, kPausedByCut, 0);
    if (written) continue;
    if (refused.size() < kNamedAtMost) refused.push_back(to_string(router->id));
    if (!first) first = std::move(written).error();
  }
  if (!first) return {};
  return wrap(std::move(*first),
              fmt::format("command {} for routers {}", router_command_name(command), fmt::join(refused, ", ")));
}

Transition FabricRouterStateManager::wait(RouterSpan routers, RouterStateCommon target, milliseconds timeout,
                                          milliseconds poll_interval) const {
  Transition transition;
  Patience patience(timeout, poll_interval);
  std::vector<const Router*> waiting(routers.begin(), routers.end());
  while (true) {
    transition.stragglers.clear();
    std::erase_if(waiting, [&](const Router* router) {
      auto state = fabric_->state(*router);
      if (state && *state == target) return true;
      Straggler straggler{.router = router->id, .last_seen = {}, .problem = {}};
      if (state) {
        straggler.last_seen = *state;
      } else {
        straggler.problem = std::move(state).error().message;
      }
      transition.stragglers.push_back(std::move(straggler));
      return false;
    });
    if (waiting.empty() || !patience.again()) break;
  }
  transition.duration = patience.elapsed();
  return transition;
}

Transition FabricRouterStateManager::pause(RouterSpan routers, milliseconds timeout) {
  const PreviousCommands before(*fabric_, routers);
  (void)command(routers, RouterCommand::kPause);  // who could not be told does not follow
  Transition transition = wait(routers, RouterStateCommon::PAUSED, timeout);
  if (!transition.complete()) transition.rolled_back = before.restore(*this, transition.stragglers, timeout);
  return transition;
}

Transition FabricRouterStateManager::resume(RouterSpan routers, milliseconds timeout) {
  (void)command(routers, RouterCommand::kRun);  // as above
  Transition transition = wait(routers, RouterStateCommon::RUNNING, timeout);
  if (auto opened = open_admission(*fabric_); !opened) fabric_->log(opened.error().message);
  return transition;
}

bool Condition::settled() const noexcept {
  if (!not_following.empty() || !unreadable.empty()) return false;
  return not_running.empty() ? holding.empty() : running == 0;
}

Condition FabricRouterStateManager::examine() const {
  Condition condition;
  for (const Router& router : fabric_->routers()) {
    const auto block = read_struct<kernels::RouterStateBlock>(fabric_->card(router), router.tile,
                                                              in_router(offsetof(kernels::RouterBlock, state)));
    if (!block) {
      condition.unreadable.push_back(router.id);
      continue;
    }
    const auto state = static_cast<RouterStateCommon>(block->state);
    if (state != state_after(block->command)) condition.not_following.push_back(router.id);
    if (block->command == RouterCommand::kRun) {
      ++condition.running;
    } else {
      condition.not_running.push_back(router.id);
    }
  }
  condition.holding = holding_routers(*fabric_);
  return condition;
}

Transition FabricRouterStateManager::recover(Recovery how, milliseconds timeout) {
  const RouterList all = fabric_->all();
  if (how == Recovery::kUndo) return resume(all, timeout);
  return pause(all, timeout);
}

}  // namespace warden::fabric
