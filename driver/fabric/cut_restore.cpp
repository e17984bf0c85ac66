// SPDX-License-Identifier: Apache-2.0
// After the reset: links, routers, their neighbours, admission.
#include <fmt/format.h>

#include <algorithm>

#include "driver/fabric/cut.h"
#include "driver/fabric/cut_links.h"
#include "driver/fabric/loader.h"
#include "driver/fabric/patience.h"
#include "driver/fabric/router_memory.h"
#include "driver/fabric/turns.h"

namespace warden::fabric {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kConfiguration = offsetof(kernels::RouterBlock, configuration);
constexpr CardAddress kLinkSession = in_router(kConfiguration + offsetof(kernels::RouterConfiguration, link_session));
constexpr CardAddress kRetrainFlags = in_router(kConfiguration + offsetof(kernels::RouterConfiguration, retrain_flags));
constexpr CardAddress kResent =
    in_router(offsetof(kernels::RouterBlock, counters) + offsetof(kernels::RouterCounters, resent));

// The last session that a router on this tile knew; 0 if there is none.
std::uint32_t session_at(Card& card, Tile tile) {
  const auto magic = card.read32(tile, in_router(offsetof(kernels::RouterManifest, magic)));
  if (!magic || *magic != kernels::kRouterMagic) return 0;
  return card.read32(tile, kLinkSession).value_or(0);
}

// Higher than any that either end has had, and the same for both.
void choose_cut_sessions(const ControlPlane& fabric, std::vector<RouterPlan>& plans) {
  for (RouterPlan& plan : plans) {
    const auto peer_card = fabric.card_of(plan.router.peer.node);
    const std::uint32_t own = session_at(fabric.card(plan.router), plan.router.tile);
    const std::uint32_t peer =
        peer_card ? session_at(*fabric.cards()[*peer_card], ethernet_tile(plan.router.peer.channel)) : 0;
    plan.block.configuration.link_session = std::max(own, peer) + 1;
  }
}

// What the chips had counted is gone with their memory. They begin with what makes the accounts of their pairs right:
// all that the others sent them has come out, but for what still lies before the cut; all that the others have of them,
// or still will, was sent.
void preset_counts(const ControlPlane& fabric, std::vector<RouterPlan>& plans, const Accounts& accounts,
                   const PairCounts& before_cut) {
  const auto in_cut = [&](const FabricNodeId& node) {
    return std::ranges::any_of(plans, [&](const RouterPlan& plan) { return plan.router.id.node == node; });
  };
  const auto waiting = [&](const FabricNodeId& source, const FabricNodeId& destination) {
    const auto found = before_cut.find({source, destination});
    return found == before_cut.end() ? 0U : found->second;
  };
  const FabricNodeId* last = nullptr;
  for (RouterPlan& plan : plans) {
    const FabricNodeId& chip = plan.router.id.node;
    if (last != nullptr && *last == chip) continue;  // the first router of a chip speaks for it
    last = &chip;
    for (std::uint32_t number = 0; number < kernels::kNodesMax; ++number) {
      const FabricNodeId other = fabric.node_at(chip.mesh_id, number);
      if (in_cut(other)) continue;
      plan.block.delivered[number] = accounts.pair(other, chip).admitted - waiting(other, chip);
      const PairAccount out = accounts.pair(chip, other);
      plan.block.admitted[number] = out.delivered + out.written_off + waiting(chip, other);
    }
  }
}

std::uint64_t resent_by(const ControlPlane& fabric, RouterSpan routers) {
  std::uint64_t sum = 0;
  for (const Router* router : routers) sum += fabric.card(*router).read32(router->tile, kResent).value_or(0);
  return sum;
}

// The neighbours' side of the links: a new session with a router that knows nothing of the old one.
std::vector<Straggler> join(ControlPlane& fabric, const RouterList& facing, std::span<const RouterPlan> plans,
                            milliseconds timeout) {
  FabricRouterStateManager manager(fabric);
  Patience patience(timeout);
  // A command is seen when it changes: one that a predecessor left may be this one.
  (void)manager.command(facing, RouterCommand::kPause);
  (void)await_turn(fabric, facing, patience.left());
  for (const Router* router : facing) {
    const auto peer = std::ranges::find(plans, router->peer, [](const RouterPlan& plan) { return plan.router.id; });
    if (peer == plans.end()) continue;
    (void)fabric.card(*router).write32(router->tile, kLinkSession, peer->block.configuration.link_session);
    (void)fabric.card(*router).write32(router->tile, kRetrainFlags, 0);
  }
  (void)manager.command(facing, RouterCommand::kRetrain);
  // Twice: in the turn of the first answer the state may still be that of before.
  (void)await_turn(fabric, facing, patience.left());
  (void)await_turn(fabric, facing, patience.left());
  // Those that could not be written to are among those that did not follow.
  return manager.wait(facing, RouterStateCommon::PAUSED, patience.left()).stragglers;
}

}  // namespace

// What was inside and does not wait before the cut was in it. Of pairs with both ends outside, the cards tell that
// whoever prepared it, if anybody did; of those to and from the chips only what was seen before the reset can tell.
void Cut::count_lost(const PairCounts& before_cut, RouterSpan others) {
  const auto through = [&](const PairAccount& pair) { return !in_cut(pair.source) && !in_cut(pair.destination); };
  bool any_through = !prepared_;
  for (const PairAccount& pair : report_.undrained) {
    any_through = any_through || through(pair);
    const auto found = before_cut.find({pair.source, pair.destination});
    const auto missing = static_cast<std::int32_t>(pair.inside() - (found == before_cut.end() ? 0 : found->second));
    if (missing > 0 && !through(pair)) report_.lost_packets += static_cast<std::uint32_t>(missing);
    if (missing < 0) report_.doubled_packets += static_cast<std::uint32_t>(-missing);
  }
  if (any_through) losses_ = find_losses(*fabric_, others, through);
  for (const auto& [pair, missing] : losses_) report_.lost_packets += missing;
}

// Whether somebody restored them before and came so far as to let them run: whoever loads them now loses what they have
// taken since.
bool Cut::run_already(std::span<const RouterPlan> plans) const {
  return std::ranges::any_of(plans, [&](const RouterPlan& plan) {
    Card& card = fabric_->card(plan.router);
    if (session_at(card, plan.router.tile) == 0) return false;  // nothing of ours is there
    const auto command = card.read32(plan.router.tile, kCommandWord);
    return command && static_cast<RouterCommand>(*command) == RouterCommand::kRun;
  });
}

// So that it can be seen what is missing: of pairs that move nothing can be said.
void Cut::stop_what_runs() {
  RouterList all = inside();
  const RouterList neighbours = facing();
  all.insert(all.end(), neighbours.begin(), neighbours.end());
  FabricRouterStateManager manager(*fabric_);
  if (auto told = manager.command(all, RouterCommand::kPause); !told) {
    report_.remarks.push_back(std::move(told).error().message);
  }
  report_.not_paused = manager.wait(all, RouterStateCommon::PAUSED, options_.pause_timeout).stragglers;
  RouterList everybody;
  for (const Router& router : fabric_->routers()) everybody.push_back(&router);
  count_lost(packets_in_lanes(*fabric_, everybody), everybody);
}

// The routers of the chips, PAUSED, as if nothing had happened to them.
Status Cut::load(std::vector<RouterPlan>& plans) {
  choose_cut_sessions(*fabric_, plans);
  RouterList others;
  for (const Router& router : fabric_->routers()) {
    if (!in_cut(router.id.node)) others.push_back(&router);
  }
  const auto accounts = Accounts::read(*fabric_, true);
  const PairCounts before_cut = packets_in_lanes(*fabric_, others);
  preset_counts(*fabric_, plans, *accounts, before_cut);
  count_lost(before_cut, others);
  const LoadOptions options{
      .telemetry = fabric_->has_telemetry(), .command = RouterCommand::kPause, .deadline = options_.start_deadline};
  return load_routers(fabric_->cards(), plans, options);
}

void Cut::name_down(const CutLinks& links) {
  for (const RouterId& down : links.facing_down) {
    report_.not_restored.push_back(down);
    report_.remarks.push_back(fmt::format("the link of router {} did not come up within {} ms", to_string(down),
                                          options_.link_deadline.count()));
  }
}

// Gives the neighbours whose links work again.
std::vector<RouterId> Cut::join_neighbours(const CutLinks& links, std::span<const RouterPlan> plans) {
  RouterList neighbours;
  for (const RouterId& up : links.facing_up) neighbours.push_back(fabric_->find(up));
  const std::uint64_t resent_before = resent_by(*fabric_, neighbours);
  std::vector<RouterId> joined = links.facing_up;
  for (const Straggler& straggler : join(*fabric_, neighbours, plans, options_.start_deadline)) {
    report_.not_restored.push_back(straggler.router);
    report_.remarks.push_back("router " + to_string(straggler) + " did not join the link anew");
    std::erase(joined, straggler.router);
  }
  report_.resent_packets = resent_by(*fabric_, neighbours) - resent_before;
  return joined;
}

Status Cut::restore() {
  if (auto known = check_chips(); !known) return known;
  Patience patience(options_.link_deadline);
  const RouterList neighbours = facing();
  report_.facing.clear();
  for (const Router* router : neighbours) report_.facing.push_back(router->id);
  report_.not_restored.clear();
  if (!prepared_) note_paused(neighbours);
  if (!prepared_) {
    report_.remarks.emplace_back(
        "prepared by somebody else, if at all: packets that were delayed, or lost on their way to and from the chips "
        "themselves, are not counted");
  }

  const auto links = await_cut_links(*fabric_, chips_, neighbours, patience);
  if (!links) return wrap(links.error(), "wait for the links of the chips that were reset");
  auto plans = plan_cut(*fabric_, chips_, *links);
  if (!plans) return wrap(std::move(plans).error(), "plan the routers of the chips that were reset");
  name_down(*links);
  std::vector<RouterId> routers = links->facing_up;
  if (run_already(*plans)) {
    stop_what_runs();
  } else {
    if (auto loaded = load(*plans); !loaded) return loaded;
    routers = join_neighbours(*links, *plans);
  }
  for (const FabricNodeId& chip : chips_) fabric_->adopt(chip, *plans);
  for (const RouterPlan& plan : *plans) routers.push_back(plan.router.id);
  const Status running = run(routers);
  // Last: whoever ends what was killed before finds them as well.
  if (auto done = write_off(*fabric_, losses_); !done) report_.remarks.push_back(std::move(done).error().message);
  report_.restore_duration = patience.elapsed();
  return running;
}

}  // namespace warden::fabric
