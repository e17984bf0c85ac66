// SPDX-License-Identifier: Apache-2.0
// See completions.h. An option whose type name reads "a|b|c" completes to these words. Commands may have commands of
// their own: each is known by its path, "fabric traffic start".
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

// A command that may be typed, and what leads to it: " fabric", " fabric up".
struct Command {
  std::string path;
  const CLI::App* app;
};

void add_commands(const CLI::App& app, const std::string& path, std::vector<Command>& commands) {
  for (const CLI::App* command : subcommands_of(app)) {
    const std::string own_path = path + " " + command->get_name();
    commands.push_back({own_path, command});
    add_commands(*command, own_path, commands);
  }
}

std::vector<Command> commands_of(const CLI::App& app) {
  std::vector<Command> commands;
  add_commands(app, "", commands);
  return commands;
}

std::string paths_of(const CLI::App& app, const char* between) {
  std::vector<std::string> paths;
  for (const Command& command : commands_of(app)) paths.push_back("'" + command.path + "'");
  return joined(paths, between);
}

}  // namespace

std::string bash_completions(const CLI::App& app) {
  std::string cases;
  std::string values;
  for (const auto& [path, command] : commands_of(app)) {
    auto words = names_of(*command);
    for (std::string& flag : flags_of(*command)) words.push_back(std::move(flag));
    for (const std::string& word : positional_words(*command)) words.push_back(word);
    cases += fmt::format("    '{}') words='{} --socket' ;;\n", path, joined(words));
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
      "      *) case \"$command ${{COMP_WORDS[i]}}\" in {}) command=\"$command ${{COMP_WORDS[i]}}\" ;; esac ;;\n"
      "    esac\n"
      "  done\n"
      "  case $command in\n"
      "    '') words='{} {}' ;;\n{}  esac\n"
      "  case $previous in\n"
      "    --socket) COMPREPLY=($(compgen -f -- \"$current\")); return ;;\n{}  esac\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
      "}}\n"
      "complete -F _warden warden\n",
      paths_of(app, "|"), joined(names_of(app)), joined(flags_of(app)), cases, values);
}

namespace {

// ` '--json[Print JSON]' ...`: what _arguments of zsh wants to know of a command's options.
std::string zsh_options(const CLI::App& app) {
  std::string text;
  for (const CLI::Option* option : app.get_options()) {
    const auto choices = words_of(*option);
    if (option->get_lnames().empty()) {
      if (!choices.empty()) text += fmt::format(" '1:{}:({})'", option->get_name(true), joined(choices));
      continue;
    }
    std::string description = shell_quoted(option->get_description());
    description = description.substr(1, description.size() - 2);
    text += fmt::format(" '--{}[{}]{}'", option->get_lnames().front(), description, zsh_value(*option));
  }
  return text;
}

// A function of zsh for the command, and one for each of its own: _warden_fabric_traffic.
std::string zsh_function(const CLI::App& app, const std::string& name, const std::string& options) {
  if (subcommands_of(app).empty()) return fmt::format("{}() {{\n  _arguments{}\n}}\n", name, options);
  std::string functions;
  std::string described;
  std::string cases;
  for (const CLI::App* command : subcommands_of(app)) {
    const std::string function = name + "_" + command->get_name();
    functions += zsh_function(*command, function, zsh_options(*command));
    described += fmt::format("    {}\n", shell_quoted(command->get_name() + " " + command->get_description())
                                             .replace(1 + command->get_name().size(), 1, ":"));
    cases += fmt::format("        {}) {} ;;\n", command->get_name(), function);
  }
  return functions + fmt::format(
                         "{}() {{\n"
                         "  local -a commands=(\n{}  )\n"
                         "  local state line\n"
                         "  _arguments -C{} '1:command:->command' '*::argument:->argument'\n"
                         "  case $state in\n"
                         "    command) _describe command commands ;;\n"
                         "    argument)\n"
                         "      case ${{words[1]}} in\n{}      esac ;;\n"
                         "  esac\n"
                         "}}\n",
                         name, described, options, cases);
}

}  // namespace

std::string zsh_completions(const CLI::App& app) {
  return "#compdef warden\n" +
         zsh_function(app, "_warden", " '--socket[Socket of wardend]:path:_files' '--help' '--version'") +
         "_warden \"$@\"\n";
}

std::string fish_completions(const CLI::App& app) {
  std::string text = fmt::format(
      "# fish completion for warden\n"
      "# Whether this command has been typed so far.\n"
      "function __warden_at\n"
      "    set -l path ''\n"
      "    for word in (commandline -opc)[2..]\n"
      "        contains -- \"$path $word\" {}; and set path \"$path $word\"\n"
      "    end\n"
      "    test \"$path\" = \"$argv[1]\"\n"
      "end\n"
      "complete -c warden -f\n"
      "complete -c warden -l socket -r -F -d 'Socket of wardend'\n",
      paths_of(app, " "));
  for (const auto& [path, command] : commands_of(app)) {
    text += fmt::format("complete -c warden -n \"__warden_at '{}'\" -a {} -d {}\n", path.substr(0, path.rfind(' ')),
                        command->get_name(), shell_quoted(command->get_description()));
    const std::string condition = fmt::format("complete -c warden -n \"__warden_at '{}'\"", path);
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
