// SPDX-License-Identifier: Apache-2.0
// `warden completions SHELL`: prints what makes the shell complete `warden` commands.
#include <fmt/format.h>

#include <cstdio>

#include "tools/warden/command.h"
#include "tools/warden/completions.h"
#include "tools/warden/option_types.h"

namespace warden::cli {

void add_completions_command(CLI::App& app, Context& context) {
  using Writer = std::string (*)(const CLI::App&);
  CLI::App* command = app.add_subcommand("completions", "Print a completion script for a shell");
  command->footer(
      "Examples:\n"
      "  source <(warden completions bash)\n"
      "  warden completions fish > ~/.config/fish/completions/warden.fish");
  auto writer = std::make_shared<Writer>(nullptr);
  add_choice_option<Writer>(*command, "SHELL", *writer, "Which shell",
                            {{"bash", bash_completions}, {"zsh", zsh_completions}, {"fish", fish_completions}})
      ->required();
  command->callback([&app, &context, writer] {
    context.run = [&app, writer] {
      fmt::print("{}", (*writer)(app));
      return kExitOk;
    };
  });
}

}  // namespace warden::cli
