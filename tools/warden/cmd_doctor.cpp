// SPDX-License-Identifier: Apache-2.0
// `warden doctor`: what this host lacks to drive its cards.
#include <fmt/format.h>

#include <cstdio>

#include "tools/warden/command.h"
#include "tools/warden/doctor.h"
#include "tools/warden/json_fields.h"
#include "tools/warden/terminal.h"

namespace warden::cli {
namespace {

struct DoctorChoice {
  std::string root;
  bool as_json = false;
};

struct Wording {
  const char* text;  // on the screen
  const char* json;
  Colour colour;
};

Wording wording_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::kGood: return {"ok", "ok", Colour::kGood};
    case Verdict::kAdvice: return {"ADVICE", "advice", Colour::kBad};
    case Verdict::kMissing: return {"MISSING", "missing", Colour::kBad};
    case Verdict::kUnknown: break;
  }
  return {"-", "unknown", Colour::kFaint};
}

void print_finding(const Check& check, const Finding& finding) {
  const Wording wording = wording_of(finding.verdict);
  fmt::print("{}  {:<14} {}\n", coloured(stdout, wording.colour, fmt::format("{:<7}", wording.text)), check.name,
             printable(finding.what));
  fmt::print("{:24} {}\n", "", coloured(stdout, Colour::kFaint, fmt::format("why: {}", check.why)));
  if (!finding.cure.empty()) fmt::print("{:24} cure: {}\n", "", printable(finding.cure));
}

Json json_of(const Check& check, const Finding& finding) {
  return {{"name", check.name},
          {"state", wording_of(finding.verdict).json},
          {"what", finding.what},
          {"why", check.why},
          {"cure", finding.cure}};
}

int examine(const Context& context, const DoctorChoice& choice) {
  const auto session = attach(context);
  const Host host = look_at_host(choice.root, session ? (*session)->status_json() : std::unexpected(session.error()));
  Json found = Json::array();
  std::size_t missing = 0;
  std::size_t advice = 0;
  for (const Check& check : checks()) {
    const Finding finding = check.look(host);
    missing += finding.verdict == Verdict::kMissing;
    advice += finding.verdict == Verdict::kAdvice;
    if (choice.as_json) {
      found.push_back(json_of(check, finding));
    } else {
      print_finding(check, finding);
    }
  }
  if (choice.as_json) {
    const Json answer = {{"ok", missing == 0}, {"checks", found}};
    fmt::print("{}\n", answer.dump(2, ' ', false, Json::error_handler_t::replace));
  } else {
    const std::string verdict = missing == 0 ? coloured(stdout, Colour::kGood, "this host can drive its cards")
                                             : coloured(stdout, Colour::kBad, "this host can't drive its cards yet");
    fmt::print("\n{}: {} missing, {} advised\n", verdict, missing, advice);
  }
  return missing == 0 ? kExitOk : kExitFailed;
}

}  // namespace

void add_doctor_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("doctor", "Say what this host lacks to drive its cards, and what mends it");
  command->footer(
      "MISSING: wardend can't drive a card. ADVICE: it can, but not as well as it could. The rights are those of who\n"
      "asks: run it as the user that wardend runs as. The exit status is 0 only when nothing is missing.\n\n"
      "Examples:\n"
      "  warden doctor\n"
      "  warden doctor --json | jq -r '.checks[] | select(.state == \"missing\") | .cure'\n"
      "  warden doctor --root /host                   from within a container that has the host's root there");
  auto choice = std::make_shared<DoctorChoice>();
  command->add_option("--root", choice->root, "Where the host's root directory is")->type_name("DIR");
  command->add_flag("--json", choice->as_json, "Print JSON");
  command->callback([&context, choice] { context.run = [&context, choice] { return examine(context, *choice); }; });
}

}  // namespace warden::cli
