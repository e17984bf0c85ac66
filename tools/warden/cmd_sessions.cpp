// SPDX-License-Identifier: Apache-2.0
// `warden sessions`: who is attached to wardend.
#include <fmt/format.h>

#include <cstdio>

#include "tools/warden/command.h"
#include "tools/warden/listing.h"

namespace warden::cli {
namespace {

const std::vector<Column> kColumns = {
    {.heading = "SESSION", .key = "session"},
    {.heading = "PID", .key = "pid", .zero_is_none = true},
    {.heading = "OWN PID", .key = "pid_in_namespace", .zero_is_none = true},
    {.heading = "NAME", .key = "name"},
    {.heading = "USER", .key = "uid"},
    {.heading = "STATE", .key = "state"},
    {.heading = "RUNS FOR", .key = "age_ns", .is_age = true},
    {.heading = "ATTACHED FOR", .key = "attached_ns", .is_age = true},
    {.heading = "SUBJECT", .key = "subject", .zero_is_none = true},
    {.heading = "LISTENS", .key = "listens"},
    {.heading = "OPENED", .key = "devices"},
    {.heading = "BUFFERS", .key = "allocations.records"},
    {.heading = "SIZE", .key = "allocations.bytes", .is_bytes = true},
    {.heading = "AT DEATH", .key = "death_actions"},
};

int list_sessions(const Context& context, bool as_json) {
  auto session = attach(context);
  if (!session) return report(session.error());
  return print_listing((*session)->sessions_json(), "sessions", kColumns, as_json);
}

}  // namespace

void add_sessions_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("sessions", "List who is attached to wardend");
  command->footer(
      "PID is the process as wardend sees it, OWN PID as it sees itself, in its own PID namespace.\n"
      "SUBJECT is the process a session stands for, when that is not its own (`warden listen -- COMMAND`).\n"
      "LISTENS: the cards whose resets wait for its acknowledgement. OPENED: the cards it reads and writes.\n"
      "BUFFERS and SIZE are what it holds by its allocation table (see `warden allocs`).\n"
      "AT DEATH: how many actions it wants done to the cards when it ends.\n"
      "STATE is `dying` from when the process has begun to die until all that it held is taken back, and `cleaning`\n"
      "while that waits for a card.\n\n"
      "Examples:\n"
      "  warden sessions\n"
      "  warden sessions --json | jq '.[] | select(.state == \"dying\")'");
  auto as_json = std::make_shared<bool>(false);
  command->add_flag("--json", *as_json, "Print JSON, as wardend wrote it");
  command->callback(
      [&context, as_json] { context.run = [&context, as_json] { return list_sessions(context, *as_json); }; });
}

}  // namespace warden::cli
