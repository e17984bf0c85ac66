// SPDX-License-Identifier: Apache-2.0
// `warden sessions`: who is attached to wardend, and who is awaited.
#include <fmt/format.h>

#include <cstdio>

#include "tools/warden/command.h"
#include "tools/warden/listing.h"

namespace warden::cli {
namespace {

const std::vector<Column> kColumns = {
    {.heading = "SESSION", .key = "id"},          {.heading = "PID", .key = "pid"},
    {.heading = "SUBJECT", .key = "subject_pid"}, {.heading = "USER", .key = "user_id"},
    {.heading = "NAME", .key = "name"},           {.heading = "LISTENS", .key = "listens"},
    {.heading = "OWES", .key = "owed_reset_id"},
};

int list_sessions(const Context& context, bool as_json) {
  auto session = attach(context);
  if (!session) return report(session.error());
  return print_listing((*session)->sessions_json(), "sessions", kColumns, as_json, "no sessions");
}

}  // namespace

void add_sessions_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("sessions", "List who is attached to wardend");
  command->footer(
      "SUBJECT is the process a session stands for, when that is not its own (`warden listen -- COMMAND`).\n"
      "OWES is the reset that waits for this session's acknowledgement.\n\n"
      "Examples:\n"
      "  warden sessions\n"
      "  warden sessions --json");
  auto as_json = std::make_shared<bool>(false);
  command->add_flag("--json", *as_json, "Print JSON, as wardend wrote it");
  command->callback(
      [&context, as_json] { context.run = [&context, as_json] { return list_sessions(context, *as_json); }; });
}

}  // namespace warden::cli
