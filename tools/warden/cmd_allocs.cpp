// SPDX-License-Identifier: Apache-2.0
// `warden allocs`: what every process has allocated on the cards, in sums or record by record.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <cstdio>
#include <ctime>

#include "tools/warden/allocation_listing.h"
#include "tools/warden/command.h"
#include "tools/warden/live_view.h"
#include "tools/warden/option_types.h"
#include "tools/warden/terminal.h"

namespace warden::cli {
namespace {

constexpr std::chrono::milliseconds kShortestInterval{10};

struct AllocsOptions {
  AllocationFilter filter;
  bool remaining = false;
  bool leaks = false;
  bool watch = false;
  bool as_json = false;
  std::chrono::milliseconds age = std::chrono::minutes(10);
  std::chrono::milliseconds interval = std::chrono::seconds(1);
};

Result<std::string> allocations_text(Session& session, const AllocsOptions& options) {
  const auto json = session.allocations_json(options.filter);
  if (!json) return std::unexpected(json.error());
  if (options.as_json) {
    const auto shown = options.leaks ? leaks_json(*json, options.age) : json;
    return shown ? Result<std::string>(*shown + "\n") : shown;
  }
  auto listing = parse_allocations(*json);
  if (!listing) return std::unexpected(listing.error());
  if (options.leaks) return format_leaks(older_than(std::move(*listing), options.age), options.age);
  if (options.remaining) return daemon::format_remaining(remaining_buffers(*listing));
  return format_allocations(*listing);
}

// With the time it was taken, so that a look at a still picture tells that it is alive.
Result<std::string> picture(Session& session, const AllocsOptions& options) {
  auto text = allocations_text(session, options);
  if (!text || options.as_json) return text;
  const std::string heading =
      fmt::format("{:%H:%M:%S}  every {}", fmt::localtime(std::time(nullptr)), format_duration(options.interval));
  return coloured(stdout, Colour::kFaint, heading) + "\n\n" + *text;
}

int list_allocations(const Context& context, const AllocsOptions& options) {
  auto session = attach(context);
  if (!session) return report(session.error());
  if (options.watch) {
    return run_live_view([&] { return picture(**session, options); }, std::max(options.interval, kShortestInterval));
  }
  const auto text = allocations_text(**session, options);
  if (!text) return report(text.error());
  fmt::print("{}", *text);
  return kExitOk;
}

}  // namespace

void add_allocs_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("allocs", "List what processes have allocated on the cards");
  command->footer(
      "Only living processes are there: what a process held is gone with it.\n"
      "PID is the process as wardend sees it, OWN PID as it sees itself. FROM: `session` for programs that use\n"
      "libwarden, `bridge` for clients of the allocation server.\n\n"
      "Examples:\n"
      "  warden allocs\n"
      "  warden allocs --device 0 --watch\n"
      "  warden allocs --leaks 1h                what has been held for an hour or longer, one line each\n"
      "  warden allocs --remaining               the report of dump_remaining_buffers\n"
      "  warden allocs --json | jq '.processes[] | {pid, bytes}'");
  auto options = std::make_shared<AllocsOptions>();
  command->add_option("--device", options->filter.device, "Only what is on this card: its name or number")
      ->type_name("DEVICE");
  command->add_option("--pid", options->filter.pid, "Only what this process holds")
      ->type_name("PID")
      ->check([](const std::string& text) {
        const auto pid = parse_number(text);
        return pid && *pid > 0 && *pid <= 0x7fff'ffff ? std::string() : "'" + text + "' is not a process's number";
      });
  CLI::Option* remaining = command->add_flag("--remaining", options->remaining, "As a report in a box");
  CLI::Option* leaks = add_optional_duration_option(*command, "--leaks", options->age, options->leaks,
                                                    "Single records, at least this old");
  CLI::Option* json = command->add_flag("--json", options->as_json, "Print JSON, as wardend wrote it");
  add_optional_duration_option(*command, "--watch", options->interval, options->watch,
                               "Show it again and again, this often, until Ctrl-C");
  remaining->excludes(leaks)->excludes(json);
  command->callback([&context, options] {
    options->filter.records = options->leaks;
    if (options->leaks) options->filter.min_age = options->age;
    context.run = [&context, options] { return list_allocations(context, *options); };
  });
}

}  // namespace warden::cli
