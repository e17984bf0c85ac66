// SPDX-License-Identifier: Apache-2.0
// `warden fabric up`: finds the meshes and starts the routers.
#include <fmt/format.h>

#include <chrono>
#include <cstdio>

#include "tools/warden/fabric_attach.h"
#include "tools/warden/fabric_commands.h"
#include "tools/warden/fabric_map.h"
#include "tools/warden/option_types.h"
#include "tools/warden/progress.h"
#include "tools/warden/terminal.h"

namespace warden::cli {
namespace {

struct UpOptions {
  bool no_telemetry = false;
  bool paused = false;
  bool force = false;
  bool as_json = false;
  fabric::BringUpOptions bring_up;
};

// Whether the routers may be started: none runs, or they are to be replaced.
Status make_room(fabric::ControlPlane& fabric, bool force) {
  if (force) return {};
  const auto attached = fabric.attach();
  if (!attached && attached.error().code == Code::kNotFound) return {};
  if (!attached) return attached;
  return fail(Code::kBusy, fmt::format("{} run already: --force starts them anew, and loses what they carry",
                                       counted(fabric.routers().size(), "router")));
}

void print_up(const fabric::ControlPlane& fabric, std::chrono::microseconds duration, const UpOptions& options) {
  const FabricMap map = map_of(fabric);
  if (options.as_json) {
    Json json = json_of(map);
    json["routers"] = fabric.routers().size();
    json["telemetry"] = fabric.has_telemetry();
    json["remarks"] = fabric.remarks();
    json["duration_us"] = duration.count();
    fmt::print("{}\n", json_text(json));
    return;
  }
  for (const MapMesh& mesh : map.meshes) {
    fmt::print("mesh {}: {} rows x {} columns\n", mesh.id, mesh.rows, mesh.columns);
  }
  fmt::print("{} {} on {}, {}\n", coloured(stdout, Colour::kGood, options.paused ? "PAUSED" : "RUNNING"),
             counted(fabric.routers().size(), "router"), counted(map.links.size(), "link"), format_duration(duration));
}

int bring_up(const Context& context, const UpOptions& options) {
  auto fabric = open_fabric(context);
  if (!fabric) return report(fabric.error());
  if (const auto room = make_room(*fabric, options.force); !room) return report(room.error());
  const auto begin = std::chrono::steady_clock::now();
  const auto started = [&] {
    const Progress progress(fmt::format("routers of {} to start", counted(fabric->cards().size(), "card")));
    return fabric->bring_up(options.bring_up);
  }();
  if (!started) return report(started.error());
  print_remarks(fabric->remarks());
  const auto duration = std::chrono::steady_clock::now() - begin;
  print_up(*fabric, std::chrono::duration_cast<std::chrono::microseconds>(duration), options);
  return kExitOk;
}

}  // namespace

void add_fabric_up(CLI::App& fabric, Context& context) {
  CLI::App* command = fabric.add_subcommand("up", "Find the meshes and start their routers");
  command->footer(
      "The meshes are found in what the Ethernet tiles say about their links; nothing is configured.\n"
      "Links that don't come up in time are left out, and named.\n\n"
      "Examples:\n"
      "  warden fabric up\n"
      "  warden fabric up --paused               nothing moves before 'warden fabric resume'\n"
      "  warden fabric up --force --json | jq .meshes");
  auto options = std::make_shared<UpOptions>();
  command->add_flag("--no-telemetry", options->no_telemetry, "Routers that don't count what they send");
  command->add_flag("--paused", options->paused, "Leave the routers paused");
  command->add_flag("--force", options->force, "Replace routers that run; what they carry is lost");
  add_duration_option(*command, "--link-timeout", options->bring_up.link_deadline, "How long links may take to train");
  add_duration_option(*command, "--timeout", options->bring_up.start_deadline, "How long routers may take to start");
  command->add_flag("--json", options->as_json, "Print JSON");
  command->callback([&context, options] {
    options->bring_up.telemetry = !options->no_telemetry;
    options->bring_up.run = !options->paused;
    context.run = [&context, options] { return bring_up(context, *options); };
  });
}

}  // namespace warden::cli
