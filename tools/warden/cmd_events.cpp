// SPDX-License-Identifier: Apache-2.0
// `warden events`: everything that happens, one line each, as it happens.
#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include <warden/events.h>

#include "tools/warden/command.h"
#include "tools/warden/duration.h"
#include "tools/warden/terminal.h"

namespace warden::cli {
namespace {

struct EventChoice {
  bool as_json = false;
  bool history = false;
  bool follow = true;
};

std::string json_line(const Event& event) {
  return nlohmann::json{{"number", event.number},  {"time_ns", event.time_ns}, {"kind", event.kind},
                        {"reset", event.reset_id}, {"devices", event.devices}, {"phase", event.phase},
                        {"result", event.result},  {"pid", event.pid},         {"session", event.session_id},
                        {"value", event.value},    {"text", event.text},       {"missed", event.missed}}
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);  // text may be cut inside a character
}

// As the directory's layout numbers them (docs/protocol.md).
std::string_view device_state(std::uint64_t number) {
  constexpr std::string_view kNames[] = {"gone", "ready", "resetting", "failed", "lost"};
  return number < std::size(kNames) ? kNames[number] : "unknown";
}

std::string details_of(const Event& event) {
  std::string text = printable(event.text);
  if (event.kind == "announce") return fmt::format("{} ({})", fmt::join(event.devices, ", "), text);
  if (event.kind == "phase") return event.phase;
  if (event.kind == "result") return event.result + (text.empty() ? "" : ": " + text);
  if (event.kind == "device") return fmt::format("{} {}", text, device_state(event.value));
  std::string details = fmt::format("pid {}{}", event.pid, text.empty() ? "" : " (" + text + ")");
  if (event.kind == "acknowledged") {
    details += " after " + format_duration(std::chrono::microseconds(event.value));
  }
  if (event.kind == "extended") details += " by " + format_duration(std::chrono::milliseconds(event.value));
  return details;
}

std::string text_line(const Event& event) {
  const std::string reset = event.reset_id == 0 ? "" : fmt::format("reset {}", event.reset_id);
  return fmt::format("{:>14.6f}  {:<14}  {:<10}  {}", static_cast<double>(event.time_ns) / 1e9, event.kind, reset,
                     details_of(event));
}

int follow_events(const Context& context, const EventChoice& choice) {
  auto session = attach(context);
  if (!session) return report(session.error());
  auto stream = EventStream::open(*session, choice.history || !choice.follow);
  if (!stream) return report(stream.error());
  const auto bound = choice.follow ? std::chrono::milliseconds(1000) : std::chrono::milliseconds(0);
  for (;;) {
    const auto event = stream->next(bound);
    if (!event) return report(event.error());
    if (!*event && !choice.follow) return kExitOk;
    if (!*event) continue;
    if ((*event)->missed > 0 && !choice.as_json) fmt::print("({} events missed)\n", (*event)->missed);
    fmt::print("{}\n", choice.as_json ? json_line(**event) : text_line(**event));
    if (std::fflush(stdout) != 0) return kExitFailed;  // nobody reads any more
  }
}

}  // namespace

void add_events_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("events", "Follow everything that happens");
  command->footer(
      "Each line: seconds since boot, what happened, in which reset, to whom.\n\n"
      "Examples:\n"
      "  warden events\n"
      "  warden events --no-follow               what is still remembered (about 1000 events), then end\n"
      "  warden events --json | jq 'select(.kind == \"result\")'");
  auto choice = std::make_shared<EventChoice>();
  command->add_flag("--json", choice->as_json, "One JSON object a line");
  command->add_flag("--history", choice->history, "Begin with what is still remembered");
  command->add_flag("--follow,!--no-follow", choice->follow,
                    "Go on until interrupted (default), or end after the history");
  command->callback(
      [&context, choice] { context.run = [&context, choice] { return follow_events(context, *choice); }; });
}

}  // namespace warden::cli
