// SPDX-License-Identifier: Apache-2.0
// `warden listen`: any command, stopped or paused around resets; without one, a listener that only tells.
#include <fmt/format.h>
#include <poll.h>

#include <cstdio>

#include <warden/listener.h>

#include "tools/warden/command.h"
#include "tools/warden/front.h"
#include "tools/warden/option_types.h"
#include "tools/warden/terminal.h"

namespace warden::cli {
namespace {

void say(const std::string& line) {
  fmt::print("{}\n", line);
  std::fflush(stdout);
}

// Acknowledges at once: the callback's return is the answer. With kStop the first reset is the last.
int listen_alone(const Context& context, const ListenOptions& options) {
  auto session = attach(context, true);
  if (!session) return report(session.error());
  bool done = false;
  ListenerCallbacks callbacks;
  callbacks.announce = [](const ResetAnnouncement& told) {
    say(fmt::format("reset {} announced for {} ({}), {} left{}", told.reset_id, fmt::join(told.devices, ", "),
                    printable(told.reason), format_duration(told.time_left), told.owed ? "" : ", already under way"));
  };
  callbacks.finish = [&](const ResetOutcome& told) {
    say(fmt::format("reset {} ended: {}{}{}", told.reset_id, to_string(told.result), told.reason.empty() ? "" : ": ",
                    printable(told.reason)));
    done = options.on_reset == OnReset::kStop;
  };
  auto listener =
      Listener::start(*session, std::move(callbacks), ListenerOptions{.devices = options.devices, .thread = false});
  if (!listener) return report(listener.error());
  say("listening");
  while (!done) {
    pollfd readable{.fd = (*listener)->fd(), .events = POLLIN, .revents = 0};
    (void)::poll(&readable, 1, 1000);
    if (const auto status = (*listener)->dispatch(); !status) return report(status.error());
  }
  return kExitOk;
}

}  // namespace

void add_listen_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("listen", "Run a command that is stopped or paused around resets");
  command->footer(
      "pause: all processes of the command are sent SIGSTOP, seen stopped, and continued when the reset has ended.\n"
      "stop: they are sent SIGTERM, and the reset waits until all have ended.\n"
      "The exit status is the command's: its own, or 128 and the signal that killed it; 127 when it is not found.\n"
      "Without a command, resets are printed and acknowledged at once.\n\n"
      "Examples:\n"
      "  warden listen --on-reset pause -- ./train --epochs 3\n"
      "  warden listen --on-reset stop --kill-after 10s -- ./serve\n"
      "  warden listen --on-reset pause --device 0");
  auto options = std::make_shared<ListenOptions>();
  add_choice_option(*command, "--on-reset", options->on_reset, "What to do with the command",
                    {{"stop", OnReset::kStop}, {"pause", OnReset::kPause}})
      ->required();
  command->add_option("--device", options->devices, "Only resets of this card; repeat for more (all cards)")
      ->type_name("DEVICE")
      ->allow_extra_args(false);
  add_duration_option(*command, "--kill-after", options->kill_after,
                      "With stop: SIGKILL to what has not ended by then (never)");
  command->add_flag("--quiet", options->quiet, "Say nothing about resets on stderr");
  command->callback([&context, options] {
    context.run = [&context, options] {
      options->argv = context.argv;
      options->socket_path = context.socket_path;
      options->command_line = context.command_line;
      return options->command_line.empty() ? listen_alone(context, *options) : run_front(*options);
    };
  });
}

}  // namespace warden::cli
