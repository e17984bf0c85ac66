// SPDX-License-Identifier: Apache-2.0
// `warden status`: how wardend is.
#include <fmt/format.h>

#include <cstdio>

#include "tools/warden/command.h"
#include "tools/warden/status_words.h"

namespace warden::cli {
namespace {

int show_status(const Context& context, bool as_json) {
  auto session = attach(context);
  if (!session) return report(session.error());
  const auto json = (*session)->status_json();
  if (!json) return report(json.error());
  const auto words = as_json ? Result<std::string>(*json + "\n") : format_status(*json);
  if (!words) return report(words.error());
  fmt::print("{}", *words);
  return kExitOk;
}

}  // namespace

void add_status_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("status", "Say how wardend is");
  command->footer(
      "EXIT WATCHER: how the death of a process is noticed, best first: tp_btf, fentry, tracepoint, pidfd; and why\n"
      "none of the better ones. Whatever its program misses is found by pidfds; DEATHS counts that.\n"
      "The exit status is 1 when no wardend answers.\n\n"
      "Examples:\n"
      "  warden status\n"
      "  warden status --json | jq -r .exit_watcher.mechanism");
  auto as_json = std::make_shared<bool>(false);
  command->add_flag("--json", *as_json, "Print JSON, as wardend wrote it");
  command->callback(
      [&context, as_json] { context.run = [&context, as_json] { return show_status(context, *as_json); }; });
}

}  // namespace warden::cli
