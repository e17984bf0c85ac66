// SPDX-License-Identifier: Apache-2.0
// `warden fabric traffic`: packets to see the fabric by, and what becomes of them.
#include <fmt/format.h>

#include <cstdio>

#include "tools/warden/fabric_attach.h"
#include "tools/warden/fabric_commands.h"
#include "tools/warden/fabric_flows.h"

namespace warden::cli {
namespace {

int show_flows(const Context& context, bool as_json) {
  const auto fabric = attach_fabric(context);
  if (!fabric) return report(fabric.error());
  const auto traffic = read_traffic(*fabric);
  if (!traffic) return report(traffic.error());
  if (as_json) {
    fmt::print("{}\n", json_text(json_of(*traffic)));
  } else if (traffic->flows.empty() && !traffic->sinks.empty()) {
    fmt::print("no flows; {} left: 'warden fabric traffic stop' takes them away\n",
               counted(traffic->sinks.size(), "sink"));
  } else if (traffic->flows.empty()) {
    fmt::print("no flows\n");
  } else {
    fmt::print("{}", format_traffic(*traffic));
  }
  return traffic->has_errors() ? kExitFailed : kExitOk;
}

}  // namespace

void add_traffic_status(CLI::App& traffic, Context& context) {
  CLI::App* command = traffic.add_subcommand("status", "List the flows: sent, received, in order, unchanged");
  command->footer(
      "Exit status: 1 when packets were lost, doubled, reordered or changed, or a generator was refused.\n\n"
      "Examples:\n"
      "  warden fabric traffic status\n"
      "  warden fabric traffic status --json | jq '.flows[] | {sent, received}'");
  auto as_json = std::make_shared<bool>(false);
  command->add_flag("--json", *as_json, "Print JSON");
  command->callback(
      [&context, as_json] { context.run = [&context, as_json] { return show_flows(context, *as_json); }; });
}

void add_fabric_traffic(CLI::App& fabric, Context& context) {
  CLI::App* traffic = fabric.add_subcommand("traffic", "Watch what the links carry; start and stop test traffic");
  traffic->footer(
      "Without a command it is 'watch'. Generators and sinks are programs on Tensix cores: 'start' takes cores that\n"
      "are held in reset, 'stop' gives them back.\n\n"
      "Examples:\n"
      "  warden fabric traffic start --from 0,0 --to 1,1\n"
      "  warden fabric traffic                   words a second by link, until Ctrl-C\n"
      "  warden fabric traffic stop              waits until every packet has arrived, and says so");
  traffic->require_subcommand(0, 1);
  add_traffic_start(*traffic, context);
  add_traffic_watch(*traffic, context);
  add_traffic_status(*traffic, context);
  add_traffic_stop(*traffic, context);
}

}  // namespace warden::cli
