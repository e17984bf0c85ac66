// SPDX-License-Identifier: Apache-2.0
// Colour and tables, kept away from pipes and files.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace warden::cli {

enum class Colour { kGood, kBad, kFaint };

// The text in that colour when the stream is a terminal and NO_COLOR (no-color.org) is unset; else as it is.
[[nodiscard]] std::string coloured(std::FILE* stream, Colour colour, std::string_view text);

// Rows of equal length; the first is the heading. Columns as wide as their widest cell, two blanks between.
[[nodiscard]] std::string format_table(const std::vector<std::vector<std::string>>& rows);

// As many lines of `text` as fit on a screen; of a longer one the last line says how many more there are. 0: all.
[[nodiscard]] std::string fit_to_screen(const std::string& text, std::size_t screen_lines);

// Text from elsewhere (a name, a reason), made safe to print on one line: control characters become '?'.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace warden::cli
