// SPDX-License-Identifier: Apache-2.0
// `warden fabric topology`: the meshes and their links, listed, drawn, or as the address manifest.
#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <thread>

#include "driver/fabric/manifest.h"
#include "tools/warden/fabric_attach.h"
#include "tools/warden/fabric_commands.h"
#include "tools/warden/fabric_map.h"
#include "tools/warden/fabric_svg.h"
#include "tools/warden/option_types.h"

namespace warden::cli {
namespace {

struct TopologyOptions {
  std::string svg_path;
  bool manifest = false;
  bool as_json = false;
  std::chrono::milliseconds interval{500};
  std::chrono::milliseconds link_timeout{5000};
};

// Rates are for pictures: they cost the time of two looks.
Result<FabricMap> map_with_rates(const fabric::ControlPlane& fabric, std::chrono::milliseconds interval) {
  if (!fabric.has_telemetry()) return map_of(fabric);
  const auto before = sample_traffic(fabric);
  if (!before) return std::unexpected(before.error());
  std::this_thread::sleep_for(interval);
  const auto after = sample_traffic(fabric);
  if (!after) return std::unexpected(after.error());
  return map_of(fabric, rates_between(*before, *after));
}

// What runs, or, when nothing does, what could.
Result<FabricMap> find_map(const Context& context, const TopologyOptions& options) {
  auto fabric = open_fabric(context);
  if (!fabric) return std::unexpected(fabric.error());
  if (const auto attached = fabric->attach(); attached) {
    print_remarks(fabric->remarks());
    return options.svg_path.empty() ? map_of(*fabric) : map_with_rates(*fabric, options.interval);
  } else if (attached.error().code != Code::kNotFound) {
    return std::unexpected(attached.error());
  }
  const auto topology = fabric::discover(fabric->cards(), options.link_timeout);
  if (!topology) return std::unexpected(topology.error());
  print_remarks(topology->remarks);
  return map_of(*topology, fabric->cards());
}

int write_picture(const FabricMap& map, const std::string& path) {
  const std::string picture = svg_of(map);
  if (path == "-") {
    fmt::print("{}", picture);
    return kExitOk;
  }
  std::ofstream file(path);
  file << picture;
  file.close();
  if (file) return kExitOk;
  return report(fail_errno(fmt::format("write {}", path)).error());
}

int print_manifest(const Context& context) {
  const auto fabric = attach_fabric(context);
  if (!fabric) return report(fabric.error());
  const auto manifest = fabric::address_manifest(*fabric);
  if (!manifest) return report(manifest.error());
  fmt::print("{}\n", json_text(*manifest));
  return kExitOk;
}

int show_topology(const Context& context, const TopologyOptions& options) {
  if (options.manifest) return print_manifest(context);
  const auto map = find_map(context, options);
  if (!map) return report(map.error());
  if (!options.svg_path.empty()) return write_picture(*map, options.svg_path);
  fmt::print("{}", options.as_json ? json_text(json_of(*map)) + "\n" : format_map(*map));
  return kExitOk;
}

}  // namespace

void add_fabric_topology(CLI::App& fabric, Context& context) {
  CLI::App* command = fabric.add_subcommand("topology", "List or draw the meshes and their links");
  command->footer(
      "Before 'warden fabric up' it shows what the links say, without routers.\n"
      "In the picture each half of a link belongs to the router at that end: its colour is the router's state, its\n"
      "width how busy it is, and the number how many words of 16 bytes it sends a second.\n\n"
      "Examples:\n"
      "  warden fabric topology\n"
      "  warden fabric topology --svg mesh.svg\n"
      "  warden fabric topology --manifest       where routers keep their states and counters, for other tools");
  auto options = std::make_shared<TopologyOptions>();
  CLI::Option* svg =
      command->add_option("--svg", options->svg_path, "Draw a picture; - is the standard output")->type_name("FILE");
  add_duration_option(*command, "--interval", options->interval, "For how long the picture's rates are measured")
      ->needs(svg);
  CLI::Option* manifest = command->add_flag("--manifest", options->manifest, "Print the address manifest as JSON");
  CLI::Option* json = command->add_flag("--json", options->as_json, "Print JSON");
  add_duration_option(*command, "--link-timeout", options->link_timeout, "How long links may take to train");
  svg->excludes(manifest)->excludes(json);
  command->callback(
      [&context, options] { context.run = [&context, options] { return show_topology(context, *options); }; });
}

}  // namespace warden::cli
