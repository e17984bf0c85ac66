// SPDX-License-Identifier: Apache-2.0
// `warden fabric status`: every router, what it does and what it carries, and whether all is as it should be.
#include <fmt/format.h>

#include <cstdio>
#include <map>
#include <optional>

#include "driver/fabric/accounts.h"
#include "driver/fabric/router_state_manager.h"
#include "tools/warden/fabric_attach.h"
#include "tools/warden/fabric_commands.h"
#include "tools/warden/fabric_words.h"
#include "tools/warden/progress.h"
#include "tools/warden/terminal.h"

namespace warden::cli {
namespace {

struct StatusOptions {
  bool probe = false;
  bool as_json = false;
  SelectionWords selection;
};

struct RouterLook {
  const fabric::Router* router;
  Result<kernels::RouterBlock> block;
  std::optional<fabric::Diagnosis> diagnosis = {};
};

struct FabricLook {
  std::vector<RouterLook> routers;
  fabric::Condition condition;
  fabric::Accounts accounts;
  [[nodiscard]] bool is_good() const {
    const auto is_sound = [](const RouterLook& look) {
      return look.block && (!look.diagnosis || look.diagnosis->health == fabric::Health::kAlive ||
                            look.diagnosis->health == fabric::Health::kSlow);
    };
    return condition.settled() && std::ranges::all_of(routers, is_sound);
  }
};

fabric::RouterStateCommon state_of(const kernels::RouterBlock& block) {
  return static_cast<fabric::RouterStateCommon>(block.state.state);
}

Result<FabricLook> look_at(fabric::ControlPlane& fabric, const StatusOptions& options) {
  const auto selection = make_selection(options.selection, places_of(fabric));
  if (!selection) return std::unexpected(selection.error());
  const auto routers = fabric.select(*selection);
  if (!routers) return std::unexpected(routers.error());
  const fabric::FabricRouterStateManager manager(fabric);
  FabricLook look;
  const Progress progress(counted(routers->size(), "router") + (options.probe ? " to answer" : " to be read"));
  for (const fabric::Router* router : *routers) {
    RouterLook& entry = look.routers.emplace_back(RouterLook{.router = router, .block = fabric.block(*router)});
    if (options.probe) entry.diagnosis = manager.probe(*router);
  }
  look.condition = manager.examine();
  auto accounts = fabric::Accounts::read(fabric, true);
  if (!accounts) return std::unexpected(std::move(accounts).error());
  look.accounts = std::move(*accounts);
  return look;
}

Json json_of(const RouterLook& look) {
  const fabric::Router& router = *look.router;
  Json json = cli::json_of(router.id);
  json["direction"] = fabric::direction_name(router.direction);
  json["peer"] = cli::json_of(router.peer);
  json["tile"] = tile_text(router.tile);
  json["state"] = look.block ? Json(fabric::router_state_name(state_of(*look.block))) : Json();
  json["problem"] = look.block ? "" : look.block.error().message;
  if (look.block) {
    const kernels::RouterTelemetry& telemetry = look.block->telemetry;
    const kernels::RouterCounters& counters = look.block->counters;
    json["command"] = fabric::router_command_name(look.block->state.command);
    json["words_sent"] = telemetry.transmit.words;
    json["words_received"] = telemetry.receive.words;
    json["packets_sent"] = telemetry.transmit.packets;
    json["packets_received"] = telemetry.receive.packets;
    json["inside"] = counters.inside;
    json["resent"] = counters.resent;
    json["command_seen_cycles"] = counters.command_seen_low | std::uint64_t{counters.command_seen_high} << 32;
    json["state_since_cycles"] = counters.state_since_low | std::uint64_t{counters.state_since_high} << 32;
    json["heartbeat"] = telemetry.cores[0].transmit_heartbeat;
  }
  if (look.diagnosis) json["health"] = to_string(look.diagnosis->health);
  return json;
}

Json json_of(const FabricLook& look, const fabric::ControlPlane& fabric) {
  Json routers = Json::array();
  std::map<std::string, std::size_t> states = {{"RUNNING", 0}, {"PAUSED", 0}};
  for (const RouterLook& entry : look.routers) {
    routers.push_back(json_of(entry));
    if (entry.block) ++states[fabric::router_state_name(state_of(*entry.block))];
  }
  const fabric::Drops& drops = look.accounts.drops();
  return {{"routers", std::move(routers)},
          {"states", states},
          {"telemetry", fabric.has_telemetry()},
          {"condition", cli::json_of(look.condition)},
          {"packets",
           {{"admitted", look.accounts.admitted()},
            {"delivered", look.accounts.delivered()},
            {"unreachable", drops.unreachable},
            {"undeliverable", drops.undeliverable},
            {"malformed", drops.malformed}}},
          {"remarks", fabric.remarks()},
          {"good", look.is_good()}};
}

std::vector<std::string> row_of(const RouterLook& look, bool with_health) {
  const fabric::Router& router = *look.router;
  std::vector<std::string> row = {to_string(router.id), fabric::direction_name(router.direction),
                                  to_string(router.peer)};
  if (look.block) {
    const kernels::RouterTelemetry& telemetry = look.block->telemetry;
    row.insert(
        row.end(),
        {fabric::router_state_name(state_of(*look.block)), fabric::router_command_name(look.block->state.command),
         std::to_string(telemetry.transmit.words), std::to_string(telemetry.receive.words),
         std::to_string(look.block->counters.inside), std::to_string(telemetry.cores[0].transmit_heartbeat)});
  } else {
    row.insert(row.end(), {"unreadable", "-", "-", "-", "-", "-"});
  }
  if (with_health) row.emplace_back(look.diagnosis ? to_string(look.diagnosis->health) : "-");
  return row;
}

// One line for each thing that is not as it should be.
void print_complaints(const FabricLook& look) {
  const auto complain = [](const std::string& what, const std::vector<fabric::RouterId>& routers) {
    if (routers.empty()) return;
    fmt::print("{}\n", coloured(stdout, Colour::kBad, fmt::format("{}: {}", what, list_of(routers))));
  };
  std::vector<fabric::RouterId> hung;
  for (const RouterLook& entry : look.routers) {
    if (entry.diagnosis && entry.diagnosis->health == fabric::Health::kHung) hung.push_back(entry.router->id);
  }
  complain("hung", hung);
  complain("unreadable", look.condition.unreadable);
  complain("not in the state of their command", look.condition.not_following);
  if (look.condition.settled()) return;
  complain("not running", look.condition.not_running);
  complain("holding packets back", look.condition.holding);
  fmt::print("'warden fabric resume' lets all run; after a command that was killed, 'warden fabric recover'\n");
}

void print_look(const FabricLook& look, const StatusOptions& options) {
  std::vector<std::vector<std::string>> table = {
      {"ROUTER", "DIRECTION", "PEER", "STATE", "COMMAND", "SENT", "RECEIVED", "INSIDE", "HEARTBEAT"}};
  if (options.probe) table.front().emplace_back("HEALTH");
  std::map<std::string, std::size_t> states;
  for (const RouterLook& entry : look.routers) {
    table.push_back(row_of(entry, options.probe));
    ++states[entry.block ? fabric::router_state_name(state_of(*entry.block)) : "unreadable"];
  }
  std::string summary;
  for (const auto& [state, count] : states)
    summary += fmt::format("{}{} {}", summary.empty() ? "" : ", ", count, state);
  fmt::print("{}\n{}; packets: {} admitted, {} delivered, {} dropped\n", format_table(table),
             coloured(stdout, look.is_good() ? Colour::kGood : Colour::kBad, summary), look.accounts.admitted(),
             look.accounts.delivered(), look.accounts.drops().total());
  print_complaints(look);
}

int show_status(const Context& context, const StatusOptions& options) {
  auto fabric = attach_fabric(context);
  if (!fabric) return report(fabric.error());
  const auto look = look_at(*fabric, options);
  if (!look) return report(look.error());
  if (options.as_json) {
    fmt::print("{}\n", json_text(json_of(*look, *fabric)));
  } else {
    print_look(*look, options);
  }
  return look->is_good() ? kExitOk : kExitFailed;
}

}  // namespace

void add_fabric_status(CLI::App& fabric, Context& context) {
  CLI::App* command = fabric.add_subcommand("status", "List the routers: states, counters, what is not right");
  command->footer(
      "SENT and RECEIVED count words of 16 bytes; without telemetry they stay 0, as the heartbeat does.\n"
      "Exit status: 0 when all routers run, or all are paused, and each does what it was told; else 1.\n\n"
      "Examples:\n"
      "  warden fabric status\n"
      "  warden fabric status --probe            asks every router for a sign of life, and names those that hang\n"
      "  warden fabric status --json | jq .states");
  auto options = std::make_shared<StatusOptions>();
  add_selection_options(*command, options->selection);
  command->add_flag("--probe", options->probe, "Ask each router for an answer");
  command->add_flag("--json", options->as_json, "Print JSON");
  command->callback(
      [&context, options] { context.run = [&context, options] { return show_status(context, *options); }; });
}

}  // namespace warden::cli
