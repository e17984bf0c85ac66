// SPDX-License-Identifier: Apache-2.0
// `warden devices`: the cards, how they are, and who holds them.
#include <fmt/format.h>

#include <cstdio>

#include "tools/warden/command.h"
#include "tools/warden/listing.h"

namespace warden::cli {
namespace {

const std::vector<Column> kColumns = {
    {.heading = "DEVICE", .key = "name"},
    {.heading = "CHIP", .key = "chip"},
    {.heading = "BOARD", .key = "board"},
    {.heading = "STATE", .key = "state"},
    {.heading = "TEMP", .key = "temperature", .unit = " C"},
    {.heading = "AICLK", .key = "aiclk", .unit = " MHz"},
    {.heading = "ARCCLK", .key = "arcclk", .unit = " MHz"},
    {.heading = "HEARTBEAT", .key = "heartbeat"},
    {.heading = "HOLDERS", .key = "holders"},
};

int list_devices(const Context& context, bool as_json) {
  auto session = attach(context);
  if (!session) return report(session.error());
  return print_listing((*session)->devices_json(), "devices", kColumns, as_json);
}

}  // namespace

void add_devices_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("devices", "List the cards: address, chip, state, clocks, holders");
  command->footer(
      "HOLDERS are the processes that have the card open, by pid.\n\n"
      "Examples:\n"
      "  warden devices\n"
      "  warden devices --json | jq -r '.[].name'");
  auto as_json = std::make_shared<bool>(false);
  command->add_flag("--json", *as_json, "Print JSON, as wardend wrote it");
  command->callback(
      [&context, as_json] { context.run = [&context, as_json] { return list_devices(context, *as_json); }; });
}

}  // namespace warden::cli
