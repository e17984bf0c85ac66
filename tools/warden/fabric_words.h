// SPDX-License-Identifier: Apache-2.0
// What the fabric's commands print alike: places and transitions, for people and as JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "driver/fabric/router_state_manager.h"

namespace warden::cli {

using Json = nlohmann::json;

[[nodiscard]] Json json_of(const fabric::FabricNodeId& node);    // {"mesh", "x", "y"}
[[nodiscard]] Json json_of(const fabric::RouterId& router);      // and "channel"
[[nodiscard]] Json json_of(const fabric::Condition& condition);  // lists of routers, "settled"
[[nodiscard]] Json json_of(const fabric::Transition& transition);
[[nodiscard]] std::string json_text(const Json& json);  // on one line, whatever bytes names have

[[nodiscard]] std::string counted(std::size_t count, std::string_view what);  // "1 router", "2 routers"
[[nodiscard]] std::string list_of(const std::vector<fabric::RouterId>& routers);
[[nodiscard]] std::string tile_text(fabric::Tile tile);  // "3,4"

}  // namespace warden::cli
