// SPDX-License-Identifier: Apache-2.0
// `warden fabric pause`, `resume`, `drain` and `recover`: routers brought to a state together, or not at all.
#include <fmt/format.h>

#include <cstdio>
#include <utility>

#include "driver/fabric/router_state_manager.h"
#include "tools/warden/fabric_attach.h"
#include "tools/warden/fabric_commands.h"
#include "tools/warden/fabric_words.h"
#include "tools/warden/option_types.h"
#include "tools/warden/progress.h"
#include "tools/warden/terminal.h"

namespace warden::cli {
namespace {

using Manager = fabric::FabricRouterStateManager;

// One of the three commands that bring routers to a state.
struct StateCommand {
  const char* name;     // "pause"
  const char* done;     // "PAUSED"
  const char* summary;  // for the list of commands
  const char* footer;
  fabric::Transition (Manager::*run)(fabric::RouterSpan, std::chrono::milliseconds);
};

constexpr StateCommand kCommands[] = {
    {.name = "pause",
     .done = "PAUSED",
     .summary = "Stop routers, with the packets that they carry",
     .footer =
         "All of them, or none: when some don't follow in time, the others are brought back, and those are named.\n"
         "Senders wait; nothing is lost.\n\n"
         "Examples:\n"
         "  warden fabric pause\n"
         "  warden fabric pause --device 0,1 --channel e4\n"
         "  warden fabric pause --edge 0,0-1,0 --timeout 500ms",
     .run = &Manager::pause},
    {.name = "resume",
     .done = "RUNNING",
     .summary = "Let routers run again, from pause or drain",
     .footer = "Examples:\n"
               "  warden fabric resume\n"
               "  warden fabric resume --device 0,1",
     .run = &Manager::resume},
    {.name = "drain",
     .done = "DRAINED",
     .summary = "Pause routers when nothing is on its way through them any more",
     .footer = "New packets wait at their senders. Routers that are not chosen go on, but for what would come through\n"
               "the chosen ones. Undone when it does not come about in time.\n\n"
               "Examples:\n"
               "  warden fabric drain\n"
               "  warden fabric drain --device 1,0 --timeout 2s",
     .run = &Manager::drain},
};

struct StateOptions {
  SelectionWords selection;
  std::chrono::milliseconds timeout = fabric::DEFAULT_PAUSE_TIMEOUT;
  bool as_json = false;
};

int print_transition(const std::string& name, const std::string& done, std::size_t count,
                     const fabric::Transition& transition, bool as_json) {
  if (as_json) {
    Json json = json_of(transition);
    json["command"] = name;
    json["routers"] = count;
    fmt::print("{}\n", json_text(json));
  } else if (transition.complete()) {
    fmt::print("{} {} in {}\n", coloured(stdout, Colour::kGood, done), counted(count, "router"),
               format_duration(transition.duration));
  } else {
    return report({.code = Code::kTimeout,
                   .message = fmt::format("{}: {}; 'warden fabric status --probe' tells slow from hung", name,
                                          to_string(transition))});
  }
  return transition.complete() ? kExitOk : kExitFailed;
}

int change_state(const Context& context, const StateCommand& command, const StateOptions& options) {
  auto fabric = attach_fabric(context);
  if (!fabric) return report(fabric.error());
  const auto selection = make_selection(options.selection, places_of(*fabric));
  if (!selection) return report(selection.error());
  const auto routers = fabric->select(*selection);
  if (!routers) return report(routers.error());
  const auto transition = [&] {
    const Progress progress(fmt::format("{} to {}", counted(routers->size(), "router"), command.name));
    Manager manager(*fabric);
    return (manager.*command.run)(*routers, options.timeout);
  }();
  return print_transition(command.name, command.done, routers->size(), transition, options.as_json);
}

struct RecoverOptions {
  bool finish = false;
  bool undo = false;
  std::chrono::milliseconds timeout = fabric::DEFAULT_PAUSE_TIMEOUT;
  bool as_json = false;
};

int recover(const Context& context, const RecoverOptions& options) {
  auto fabric = attach_fabric(context);
  if (!fabric) return report(fabric.error());
  Manager manager(*fabric);
  const auto transition = [&] {
    const Progress progress("what was begun to be " + std::string(options.finish ? "finished" : "undone"));
    return manager.recover(options.finish ? fabric::Recovery::kFinish : fabric::Recovery::kUndo, options.timeout);
  }();
  return print_transition("recover", options.finish ? "PAUSED" : "RUNNING", fabric->routers().size(), transition,
                          options.as_json);
}

void add_recover(CLI::App& fabric, Context& context) {
  CLI::App* command = fabric.add_subcommand("recover", "End what a killed command left half done");
  command->footer(
      "Examples:\n"
      "  warden fabric status                    says whether there is something to recover\n"
      "  warden fabric recover --undo            all run, and accept packets for everywhere\n"
      "  warden fabric recover --finish          all are paused");
  auto options = std::make_shared<RecoverOptions>();
  CLI::Option* finish = command->add_flag("--finish", options->finish, "Pause all routers");
  command->add_flag("--undo", options->undo, "Let all routers run")->excludes(finish);
  add_duration_option(*command, "--timeout", options->timeout, "How long it may take");
  command->add_flag("--json", options->as_json, "Print JSON");
  command->callback([&context, options] {
    if (!options->finish && !options->undo) throw CLI::RequiredError("--finish or --undo");
    context.run = [&context, options] { return recover(context, *options); };
  });
}

}  // namespace

void add_fabric_states(CLI::App& fabric, Context& context) {
  for (const StateCommand& command : kCommands) {
    CLI::App* app = fabric.add_subcommand(command.name, command.summary);
    app->footer(command.footer);
    auto options = std::make_shared<StateOptions>();
    add_selection_options(*app, options->selection);
    add_duration_option(*app, "--timeout", options->timeout, "How long it may take");
    app->add_flag("--json", options->as_json, "Print JSON");
    app->callback([&context, &command, options] {
      context.run = [&context, &command, options] { return change_state(context, command, *options); };
    });
  }
  add_recover(fabric, context);
}

}  // namespace warden::cli
