// SPDX-License-Identifier: Apache-2.0
// See completions.h. An option whose type name reads "a|b|c" completes to these words.
#include "tools/warden/completions.h"

#include <fmt/format.h>

#include <algorithm>

namespace warden::cli {
namespace {

std::vector<const CLI::App*> subcommands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

std::vector<std::string> words_of(const CLI::Option& option) {
  std::string type = option.get_type_name();
  if (type.find('|') == std::string::npos) return {};
  std::ranges::replace(type, '|', ' ');
  return CLI::detail::split_up(type);
}

std::string joined(const std::vector<std::string>& words, const char* between = " ") {
  return fmt::format("{}", fmt::join(words, between));
}

// "--json", "--device", ...
std::vector<std::string> flags_of(const CLI::App& app) {
  std::vector<std::string> flags;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
  }
  return flags;
}

std::vector<std::string> names_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : subcommands_of(app)) names.push_back(command->get_name());
  return names;
}

std::string shell_quoted(std::string text) {
  std::erase_if(text, [](char c) { return c == '\'' || c == '[' || c == ']' || c == ':'; });
  return "'" + text + "'";
}

// Words that may follow on the command's name itself: `completions bash`.
std::vector<std::string> positional_words(const CLI::App& app) {
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) {
      if (auto words = words_of(*option); !words.empty()) return words;
    }
  }
  return {};
}

// A value that may be left out has two colons before it.
std::string zsh_value(const CLI::Option& option) {
  if (option.get_items_expected_max() == 0) return "";
  return fmt::format("{}:value:({})", option.get_items_expected_min() == 0 ? ":" : "", joined(words_of(option)));
}

}  // namespace

std::string bash_completions(const CLI::App& app) {
  std::string cases;
  std::string values;
  for (const CLI::App* command : subcommands_of(app)) {
    auto words = flags_of(*command);
    for (const std::string& word : positional_words(*command)) words.push_back(word);
    cases += fmt::format("    {}) words='{} --socket' ;;\n", command->get_name(), joined(words));
    for (const CLI::Option* option : command->get_options()) {
      const auto choices = words_of(*option);
      if (choices.empty() || option->get_lnames().empty()) continue;
      values += fmt::format("    --{}) words='{}' ;;\n", option->get_lnames().front(), joined(choices));
    }
  }
  return fmt::format(
      "# bash completion for warden\n"
      "_warden() {{\n"
      "  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} command= words= i\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    case ${{COMP_WORDS[i]}} in\n"
      "      --) COMPREPLY=($(compgen -c -- \"$current\")); return ;;\n"
      "      --socket) ((i++)) ;;\n"
      "      -*) ;;\n"
      "      *) command=${{command:-${{COMP_WORDS[i]}}}} ;;\n"
      "    esac\n"
      "  done\n"
      "  case $command in\n"
      "    '') words='{} {}' ;;\n{}  esac\n"
      "  case $previous in\n"
      "    --socket) COMPREPLY=($(compgen -f -- \"$current\")); return ;;\n{}  esac\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
      "}}\n"
      "complete -F _warden warden\n",
      joined(names_of(app)), joined(flags_of(app)), cases, values);
}

std::string zsh_completions(const CLI::App& app) {
  std::string described;
  std::string cases;
  for (const CLI::App* command : subcommands_of(app)) {
    described += fmt::format("    {}\n", shell_quoted(command->get_name() + " " + command->get_description())
                                             .replace(1 + command->get_name().size(), 1, ":"));
    cases += fmt::format("        {}) _arguments", command->get_name());
    for (const CLI::Option* option : command->get_options()) {
      const auto choices = words_of(*option);
      if (option->get_lnames().empty()) {
        if (!choices.empty()) cases += fmt::format(" '1:{}:({})'", option->get_name(true), joined(choices));
        continue;
      }
      std::string description = shell_quoted(option->get_description());
      description = description.substr(1, description.size() - 2);
      cases += fmt::format(" '--{}[{}]{}'", option->get_lnames().front(), description, zsh_value(*option));
    }
    cases += " ;;\n";
  }
  return fmt::format(
      "#compdef warden\n"
      "_warden() {{\n"
      "  local -a commands=(\n{}  )\n"
      "  local state line\n"
      "  _arguments -C '--socket[Socket of wardend]:path:_files' '--help' '--version' '1:command:->command' "
      "'*::argument:->argument'\n"
      "  case $state in\n"
      "    command) _describe command commands ;;\n"
      "    argument)\n"
      "      case ${{words[1]}} in\n{}      esac ;;\n"
      "  esac\n"
      "}}\n"
      "_warden \"$@\"\n",
      described, cases);
}

std::string fish_completions(const CLI::App& app) {
  std::string text = "# fish completion for warden\ncomplete -c warden -f\n";
  text += "complete -c warden -l socket -r -F -d 'Socket of wardend'\n";
  for (const CLI::App* command : subcommands_of(app)) {
    text += fmt::format("complete -c warden -n __fish_use_subcommand -a {} -d {}\n", command->get_name(),
                        shell_quoted(command->get_description()));
    const std::string condition =
        fmt::format("complete -c warden -n '__fish_seen_subcommand_from {}'", command->get_name());
    for (const CLI::Option* option : command->get_options()) {
      const auto choices = words_of(*option);
      if (option->get_lnames().empty()) {
        if (!choices.empty()) text += fmt::format("{} -a '{}'\n", condition, joined(choices));
        continue;
      }
      text += fmt::format("{} -l {} -d {}", condition, option->get_lnames().front(),
                          shell_quoted(option->get_description()));
      if (option->get_items_expected_min() != 0)
        text += choices.empty() ? " -r" : fmt::format(" -x -a '{}'", joined(choices));
      text += '\n';
    }
  }
  return text;
}

}  // namespace warden::cli
