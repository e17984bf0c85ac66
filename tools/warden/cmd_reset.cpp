// SPDX-License-Identifier: Apache-2.0
// `warden reset`: the whole transaction, watched live, and an exit status that tells the truth about it.
#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include <warden/reset.h>

#include "tools/warden/command.h"
#include "tools/warden/option_types.h"
#include "tools/warden/terminal.h"

namespace warden::cli {
namespace {

struct ResetChoice {
  std::vector<std::string> devices;
  WarmResetOptions options;
  bool as_json = false;
};

// Progress goes to stderr: what is on stdout is the result.
void print_progress(const std::string& phase, const std::string& message) {
  fmt::print(stderr, "{} {}\n", coloured(stderr, Colour::kFaint, fmt::format("{:<10}", phase)), printable(message));
}

// Who listens to any of these cards, and so is waited for: "pid 4711 (trainer), pid 4712 (server)".
std::string awaited_in(const std::string& sessions_json) {
  const nlohmann::json sessions = nlohmann::json::parse(sessions_json, nullptr, false);
  std::string awaited;
  if (!sessions.is_array()) return awaited;
  for (const auto& session : sessions) {
    if (!session.is_object() || session.value("listens", nlohmann::json::array()).empty()) continue;
    const int subject = session.value("subject", 0);
    awaited += fmt::format("{}pid {} ({})", awaited.empty() ? "" : ", ",
                           subject != 0 ? subject : session.value("pid", 0), session.value("name", "?"));
  }
  return awaited;
}

// Called on the thread that waits for the reset, whose session is busy: looks by a session of its own.
class Watcher {
 public:
  explicit Watcher(std::shared_ptr<Session> session) : session_(std::move(session)) {}
  void operator()(const ResetProgress& progress) {
    print_progress(progress.phase, progress.message);
    if (progress.phase != "announced" || std::exchange(has_listed_, true)) return;
    const auto sessions = session_->sessions_json();
    const std::string awaited = sessions ? awaited_in(*sessions) : "";
    if (!awaited.empty()) print_progress(progress.phase, "listening: " + awaited);
  }

 private:
  std::shared_ptr<Session> session_;
  bool has_listed_ = false;
};

void print_evidence(const ResetReport& result) {
  for (const ResetEvidence& item : result.evidence) {
    const auto verdict =
        item.passed ? coloured(stdout, Colour::kGood, "proven") : coloured(stdout, Colour::kBad, "NOT proven");
    fmt::print("evidence   {}: {}: before {}, after {}: {}\n", printable(item.device), printable(item.name),
               printable(item.before), printable(item.after), verdict);
  }
}

void print_fabric(const ResetFabric& fabric) {
  fmt::print(
      "fabric     {} router{} paused, {} route{} held, {} packet{} delayed, {} lost: {}{}\n", fabric.routers_paused,
      fabric.routers_paused == 1 ? "" : "s", fabric.routes_held, fabric.routes_held == 1 ? "" : "s",
      fabric.packets_delayed, fabric.packets_delayed == 1 ? "" : "s", fabric.packets_lost,
      fabric.restored ? coloured(stdout, Colour::kGood, "restored") : coloured(stdout, Colour::kBad, "NOT restored"),
      fabric.complaint.empty() ? "" : " (" + printable(fabric.complaint) + ")");
}

void print_verdict(const ResetReport& result) {
  if (result.result == ResetResult::kOk) {
    std::uint64_t total_us = 0;
    for (const ResetPhaseTime& phase : result.phases) total_us += phase.duration_us;
    fmt::print("{} reset {}: {} device{}, {} listener{}, {}\n", coloured(stdout, Colour::kGood, "OK"), result.reset_id,
               result.devices.size(), result.devices.size() == 1 ? "" : "s", result.listeners.size(),
               result.listeners.size() == 1 ? "" : "s", format_duration(std::chrono::microseconds(total_us)));
    return;
  }
  std::string verdict(to_string(result.result));
  for (char& letter : verdict) letter = letter >= 'a' && letter <= 'z' ? static_cast<char>(letter - 'a' + 'A') : letter;
  fmt::print("{} reset {}: {}\n", coloured(stdout, Colour::kBad, verdict), result.reset_id, printable(result.reason));
}

int reset(const Context& context, ResetChoice& choice) {
  auto session = attach(context);
  if (!session) return report(session.error());
  auto second = attach(context);
  if (!second) return report(second.error());
  choice.options.progress = Watcher(std::move(*second));
  const auto result = warm_reset(**session, choice.devices, choice.options);
  if (!result) return report(result.error());
  if (choice.as_json) {
    fmt::print("{}\n", result->json);
  } else {
    print_evidence(*result);
    if (result->fabric) print_fabric(*result->fabric);
    print_verdict(*result);
  }
  const bool traffic_back = !result->fabric || result->fabric->restored;
  return result->result == ResetResult::kOk && traffic_back ? kExitOk : kExitFailed;
}

}  // namespace

void add_reset_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("reset", "Reset cards, everybody told before and after");
  command->footer(
      "Listeners have --timeout to acknowledge; who asks for more time may add up to --extension-cap to it.\n"
      "Exit status: 0 only when the reset was done and proven, and traffic between cards goes on as before;\n"
      "1 when it failed, was refused or aborted.\n\n"
      "Examples:\n"
      "  warden reset\n"
      "  warden reset --device 0 --timeout 5s --on-timeout abort\n"
      "  warden reset --json --reason 'new firmware' | jq .result");
  auto choice = std::make_shared<ResetChoice>();
  command->add_option("--device", choice->devices, "Card to reset, by name or number; repeat for more (all cards)")
      ->type_name("DEVICE")
      ->allow_extra_args(false);
  add_duration_option(*command, "--timeout", choice->options.timeout, "How long listeners may take to acknowledge");
  add_duration_option(*command, "--extension-cap", choice->options.extension_cap, "How much they may add on request");
  add_choice_option(*command, "--on-timeout", choice->options.on_timeout, "When a listener stays silent",
                    {{"proceed", OnTimeout::kProceed}, {"abort", OnTimeout::kAbort}, {"kill", OnTimeout::kKill}});
  add_choice_option(*command, "--on-conflict", choice->options.on_conflict, "When another reset is under way",
                    {{"wait", OnConflict::kWait}, {"refuse", OnConflict::kRefuse}});
  command->add_option("--reason", choice->options.reason, "Told to everybody")->type_name("TEXT");
  command->add_flag("--json", choice->as_json, "Print the report as JSON");
  command->callback([&context, choice] { context.run = [&context, choice] { return reset(context, *choice); }; });
}

}  // namespace warden::cli
