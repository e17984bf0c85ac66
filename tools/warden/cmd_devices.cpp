// SPDX-License-Identifier: Apache-2.0
// `warden devices`: the cards, how they are, and who holds them.
#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

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

const std::vector<Column> kHolderColumns = {
    {.heading = "DEVICE", .key = "device"},
    {.heading = "PID", .key = "pid"},
    {.heading = "NAME", .key = "name"},
    {.heading = "WINDOWS", .key = "windows", .zero_is_none = true},
    {.heading = "DMA BUFFERS", .key = "dma_buffers", .zero_is_none = true},
    {.heading = "DMA MEMORY", .key = "dma_bytes", .zero_is_none = true, .is_bytes = true},
    {.heading = "ACCESS", .key = "access"},
};

// One row for each holder of each device. What is no such listing is none.
nlohmann::json holders_in(const std::string& json) {
  nlohmann::json rows = nlohmann::json::array();
  const auto devices = nlohmann::json::parse(json, nullptr, false);
  if (!devices.is_array()) return rows;
  for (const auto& device : devices) {
    if (!device.is_object() || !device.contains("holders")) continue;
    for (nlohmann::json holder : device["holders"]) {
      if (!holder.is_object()) continue;
      holder["device"] = device.value("name", nlohmann::json());
      holder["access"] = holder.value("direct", nlohmann::json()) == true ? "direct" : "by wardend";
      rows.push_back(std::move(holder));
    }
  }
  return rows;
}

int list_devices(const Context& context, bool as_json) {
  auto session = attach(context);
  if (!session) return report(session.error());
  const auto devices = (*session)->devices_json();
  const int status = print_listing(devices, "devices", kColumns, as_json);
  if (status != kExitOk || as_json) return status;
  const nlohmann::json holders = holders_in(*devices);
  if (holders.empty()) return status;
  fmt::print("\n");
  return print_listing(holders.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), "holders",
                       kHolderColumns, false);
}

}  // namespace

void add_devices_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("devices", "List the cards: address, chip, state, clocks, holders");
  command->footer(
      "HOLDERS are the processes that have the card open, by pid. The second table says what each of them holds of "
      "the card: windows, memory for its DMA, and whether it drives the card itself (direct).\n\n"
      "Examples:\n"
      "  warden devices\n"
      "  warden devices --json | jq -r '.[].name'");
  auto as_json = std::make_shared<bool>(false);
  command->add_flag("--json", *as_json, "Print JSON, as wardend wrote it");
  command->callback(
      [&context, as_json] { context.run = [&context, as_json] { return list_devices(context, *as_json); }; });
}

}  // namespace warden::cli
