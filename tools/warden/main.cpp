// SPDX-License-Identifier: Apache-2.0
// `warden`: what operators type. Each subcommand is in a file of its own, cmd_NAME.cpp.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <vector>

#include "tools/warden/command.h"

namespace warden::cli {
namespace {

constexpr const char* kFooter =
    "Examples:\n"
    "  warden devices                              the cards, and who holds them\n"
    "  warden allocs --watch                       what every process has allocated, as it changes\n"
    "  warden reset --reason 'new firmware'        reset all cards, everybody told before\n"
    "  warden listen --on-reset pause -- ./train   pause any program around resets\n"
    "  warden events                               watch what happens\n"
    "  warden fabric up                            start routers between the cards\n"
    "\n"
    "wardend is found at --socket, else $WARDEN_SOCKET, else /run/warden/warden.sock.\n"
    "Exit status: 0 it was done, 1 it was not, 2 it was not understood.";

// CLI11 knows `--` too, but lets options of a subcommand's parent be typed behind it; a command to run is nobody's
// options.
std::vector<std::string> split_command_line(int argc, char** argv, Context& context) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  const auto mark = std::ranges::find(arguments, "--");
  if (mark != arguments.end()) {
    context.command_line.assign(mark + 1, arguments.end());
    arguments.erase(mark, arguments.end());
  }
  std::ranges::reverse(arguments);  // the order CLI11 wants
  return arguments;
}

// The status to exit with at once; nothing when there is something to run.
std::optional<int> parse(CLI::App& app, std::vector<std::string> arguments, const Context& context) {
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::Success& success) {  // --help, --version
    return app.exit(success) == 0 ? kExitOk : kExitFailed;
  } catch (const CLI::ParseError& error) {
    std::string typed = "warden";
    const CLI::App* last = &app;
    while (!last->get_subcommands().empty()) {
      last = last->get_subcommands().front();
      typed += " " + last->get_name();
    }
    const auto unknown = app.remaining(true);
    const bool takes_commands = !last->get_subcommands([](const CLI::App*) { return true; }).empty();
    const bool no_command = takes_commands && !unknown.empty() && !unknown.front().starts_with('-');
    const std::string problem = no_command ? fmt::format("there is no command '{}'", unknown.front()) : error.what();
    fmt::print(stderr, "warden: {} (see '{} --help')\n", problem, typed);
    return kExitUsage;
  }
  if (!context.command_line.empty() && !app.got_subcommand("listen")) {
    fmt::print(stderr, "warden: only 'warden listen' runs a command after '--' (see 'warden listen --help')\n");
    return kExitUsage;
  }
  return std::nullopt;
}

int run(int argc, char** argv) {
  Context context;
  context.argv = argv;
  CLI::App app{"Coordinated resets of accelerator cards: ask wardend, or act around what it does.", "warden"};
  app.footer(kFooter);
  app.set_version_flag("--version", "warden " WARDEN_VERSION);
  app.add_option("--socket", context.socket_path, "Socket of wardend")->type_name("PATH");
  app.require_subcommand(1);
  app.fallthrough();
  add_devices_command(app, context);
  add_sessions_command(app, context);
  add_allocs_command(app, context);
  add_status_command(app, context);
  add_reset_command(app, context);
  add_listen_command(app, context);
  add_events_command(app, context);
  add_fabric_command(app, context);
  add_peek_command(app, context);
  add_poke_command(app, context);
  add_doctor_command(app, context);
  add_bind_command(app, context);
  add_unbind_command(app, context);
  add_completions_command(app, context);
  if (const auto status = parse(app, split_command_line(argc, argv, context), context)) return *status;
  return context.run();
}

}  // namespace
}  // namespace warden::cli

int main(int argc, char** argv) { return warden::cli::run(argc, argv); }
