// SPDX-License-Identifier: Apache-2.0
// Options whose values are durations, or one of a few words.
#pragma once

#include <CLI/CLI.hpp>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "tools/warden/duration.h"

namespace warden::cli {

// `target` keeps its value unless the option is typed; help shows that value.
inline CLI::Option* add_duration_option(CLI::App& command, const std::string& name, std::chrono::milliseconds& target,
                                        std::string description) {
  if (target.count() > 0) description += " (" + format_duration(target) + ")";
  const auto take = [&target](const CLI::results_t& typed) {
    const auto duration = parse_duration(typed.back());
    if (duration) target = *duration;
    return duration.has_value();
  };
  return command.add_option(name, take, description)->type_name("DURATION")->check([](const std::string& text) {
    const auto duration = parse_duration(text);
    return duration ? std::string() : duration.error().message;
  });
}

// The same with a value that may be left out: the option alone keeps the target's value. `is_typed` says that it was
// there.
inline CLI::Option* add_optional_duration_option(CLI::App& command, const std::string& name,
                                                 std::chrono::milliseconds& target, bool& is_typed,
                                                 std::string description) {
  const auto take = [&target, &is_typed](const CLI::results_t& typed) {
    is_typed = true;
    if (typed.back().empty()) return true;
    const auto duration = parse_duration(typed.back());
    if (duration) target = *duration;
    return duration.has_value();
  };
  description += " (" + format_age(target) + ")";
  return command.add_option(name, take, description)
      ->expected(0, 1)
      ->type_name("[DURATION]")
      ->check([](const std::string& text) {
        if (text.empty()) return std::string();
        const auto duration = parse_duration(text);
        return duration ? std::string() : duration.error().message;
      });
}

template <typename Choice>
CLI::Option* add_choice_option(CLI::App& command, const std::string& name, Choice& target, std::string description,
                               const std::vector<std::pair<std::string, Choice>>& choices) {
  std::string words;
  for (const auto& [word, value] : choices) words += (words.empty() ? "" : "|") + word;
  const auto take = [&target, choices](const CLI::results_t& typed) {
    for (const auto& [word, value] : choices) {
      if (word == typed.back()) target = value;
    }
    return true;
  };
  // A description of the choices in CLI11's own words would run over several lines of the help.
  const auto check = [choices, words](const std::string& text) {
    for (const auto& [word, value] : choices) {
      if (word == text) return std::string();
    }
    return "'" + text + "' is not one of " + words;
  };
  return command.add_option(name, take, std::move(description))->type_name(words)->check(check);
}

}  // namespace warden::cli
