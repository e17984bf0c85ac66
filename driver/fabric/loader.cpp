// SPDX-License-Identifier: Apache-2.0
// Hold, write, release, wait: each for all routers before the next.
#include "driver/fabric/loader.h"

#include <fmt/format.h>

#include "driver/fabric/patience.h"
#include "driver/fabric/router_memory.h"
#include "driver/fabric/soft_reset.h"

namespace warden::fabric {
namespace {

Status write_router(Card& card, const RouterPlan& plan, const LoadOptions& options) {
  const Tile tile = plan.router.tile;
  kernels::RouterBlock block = plan.block;
  block.state = {};
  block.state.command = options.command;
  if (auto written = write_image(card, tile, kernels::router_image(options.telemetry)); !written) return written;
  return write_struct(card, tile, in_router(0), block);
}

// Nothing while it has not come so far; an error when it says something that can't be.
Result<bool> has_started(Card& card, Tile tile, RouterStateCommon wanted, std::string& seen) {
  const auto manifest = read_struct<kernels::RouterManifest>(card, tile, in_router(0));
  if (!manifest) return std::unexpected(manifest.error());
  const auto state = card.read32(tile, kStateWord);
  if (!state) return std::unexpected(state.error());
  seen = fmt::format("magic {:#x}, version {}, state {}", manifest->magic, manifest->version,
                     router_state_name(static_cast<RouterStateCommon>(*state)));
  if (manifest->magic != kernels::kRouterMagic) return false;
  if (manifest->version != kernels::kRouterVersion) return fail(Code::kProtocol, "it runs another version: " + seen);
  return static_cast<RouterStateCommon>(*state) == wanted;
}

Status await_start(Card& card, const RouterPlan& plan, RouterStateCommon wanted, Patience& patience) {
  const std::string doing = fmt::format("start router {}", to_string(plan.router.id));
  std::string seen;
  while (true) {
    const auto started = has_started(card, plan.router.tile, wanted, seen);
    if (!started) return wrap(started.error(), doing);
    if (*started) return {};
    if (!patience.again()) {
      return fail(Code::kTimeout, fmt::format("{}: it did not become {} in time; last seen: {}", doing,
                                              router_state_name(wanted), seen));
    }
  }
}

}  // namespace

Status write_image(Card& card, Tile tile, const kernels::Image& image) {
  for (const kernels::Segment& segment : image.segments) {
    if (auto written = card.write(tile, {segment.address}, segment.bytes); !written) return written;
  }
  return {};
}

Status load_routers(std::span<const std::unique_ptr<Card>> cards, std::span<const RouterPlan> plans,
                    const LoadOptions& options) {
  const auto for_each = [&](auto what) -> Status {
    for (const RouterPlan& plan : plans) {
      if (auto done = what(*cards[plan.router.card], plan); !done) {
        return wrap(std::move(done).error(), fmt::format("load router {}", to_string(plan.router.id)));
      }
    }
    return {};
  };
  auto done = for_each([](Card& card, const RouterPlan& plan) { return hold_ethernet(card, plan.router.tile); });
  if (!done) return done;
  done = for_each([&](Card& card, const RouterPlan& plan) { return write_router(card, plan, options); });
  if (!done) return done;
  done = for_each([](Card& card, const RouterPlan& plan) { return release_ethernet(card, plan.router.tile); });
  if (!done) return done;
  Patience patience(options.deadline);
  for (const RouterPlan& plan : plans) {
    done = await_start(*cards[plan.router.card], plan, state_after(options.command), patience);
    if (!done) return done;
  }
  return {};
}

}  // namespace warden::fabric
