// SPDX-License-Identifier: Apache-2.0
// See fabric_words.h.
#include "tools/warden/fabric_words.h"

#include <fmt/format.h>

namespace warden::cli {
namespace {

Json json_of(const std::vector<fabric::RouterId>& routers) {
  Json list = Json::array();
  for (const fabric::RouterId& router : routers) list.push_back(cli::json_of(router));
  return list;
}

Json json_of(const fabric::PairAccount& pair) {
  return {{"source", cli::json_of(pair.source)},
          {"destination", cli::json_of(pair.destination)},
          {"inside", pair.inside()}};
}

}  // namespace

Json json_of(const fabric::FabricNodeId& node) {
  return {{"mesh", node.mesh_id}, {"x", node.logical_x}, {"y", node.logical_y}};
}

Json json_of(const fabric::RouterId& router) {
  Json json = json_of(router.node);
  json["channel"] = router.channel;
  return json;
}

Json json_of(const fabric::Condition& condition) {
  return {{"settled", condition.settled()},
          {"running", condition.running},
          {"not_running", json_of(condition.not_running)},
          {"not_following", json_of(condition.not_following)},
          {"unreadable", json_of(condition.unreadable)},
          {"holding", json_of(condition.holding)}};
}

Json json_of(const fabric::Transition& transition) {
  Json stragglers = Json::array();
  for (const fabric::Straggler& straggler : transition.stragglers) {
    Json entry = json_of(straggler.router);
    entry["last_seen"] = straggler.last_seen ? Json(fabric::router_state_name(*straggler.last_seen)) : Json();
    entry["problem"] = straggler.problem;
    stragglers.push_back(std::move(entry));
  }
  Json undrained = Json::array();
  for (const fabric::PairAccount& pair : transition.undrained) undrained.push_back(json_of(pair));
  return {{"complete", transition.complete()},
          {"duration_us", transition.duration.count()},
          {"rolled_back", transition.rolled_back},
          {"stragglers", std::move(stragglers)},
          {"undrained", std::move(undrained)}};
}

std::string json_text(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string counted(std::size_t count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : what.ends_with("sh") ? "es" : "s");
}

std::string list_of(const std::vector<fabric::RouterId>& routers) {
  std::string list;
  for (const fabric::RouterId& router : routers) list += (list.empty() ? "" : ", ") + to_string(router);
  return list;
}

std::string tile_text(fabric::Tile tile) { return fmt::format("{},{}", tile.x, tile.y); }

}  // namespace warden::cli
