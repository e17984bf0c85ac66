// SPDX-License-Identifier: Apache-2.0
// tt-metal's log lines, as its tests write them.
#pragma once

#include <fmt/format.h>

#include <string_view>

namespace tt {

enum LogType { LogTest };  // NOLINT(readability-identifier-naming): tt-metal's names

inline void print_log_line(const char* level, std::string_view line) {
  fmt::print("[{}] {}\n", level, line);
  std::fflush(stdout);
}

template <typename... Arguments>
void log_info(LogType /*type*/, fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  print_log_line("INFO", fmt::format(format, std::forward<Arguments>(arguments)...));
}
template <typename... Arguments>
void log_warning(LogType /*type*/, fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  print_log_line("WARNING", fmt::format(format, std::forward<Arguments>(arguments)...));
}
template <typename... Arguments>
void log_error(LogType /*type*/, fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  print_log_line("ERROR", fmt::format(format, std::forward<Arguments>(arguments)...));
}

}  // namespace tt

using tt::log_error;
using tt::log_info;
using tt::log_warning;
using tt::LogTest;
