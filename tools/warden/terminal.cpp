// SPDX-License-Identifier: Apache-2.0
// See terminal.h.
#include "tools/warden/terminal.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

namespace warden::cli {
namespace {

bool wants_colour(std::FILE* stream) {
  const char* no_colour = std::getenv("NO_COLOR");
  if (no_colour != nullptr && *no_colour != '\0') return false;
  const char* terminal = std::getenv("TERM");
  if (terminal != nullptr && std::string_view(terminal) == "dumb") return false;
  return ::isatty(::fileno(stream)) == 1;
}

}  // namespace

std::string coloured(std::FILE* stream, Colour colour, std::string_view text) {
  if (!wants_colour(stream)) return std::string(text);
  const int code = colour == Colour::kGood ? 32 : colour == Colour::kBad ? 31 : 2;
  return fmt::format("\x1b[{}m{}\x1b[0m", code, text);
}

std::string format_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t column = 0; column < row.size(); ++column) {
      widths[column] = std::max(widths[column], row[column].size());
    }
  }
  std::string text;
  for (const auto& row : rows) {
    for (std::size_t column = 0; column < row.size(); ++column) {
      const bool last = column + 1 == row.size();
      text += last ? row[column] : fmt::format("{:<{}}  ", row[column], widths[column]);
    }
    text += '\n';
  }
  return text;
}

std::string fit_to_screen(const std::string& text, std::size_t screen_lines) {
  std::size_t lines = 0;
  std::size_t cut = 0;  // where the last line that fits beside the remark ends
  for (std::size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', end + 1)) {
    if (++lines + 2 == screen_lines) cut = end + 1;
  }
  // The cursor stands behind the last newline, and needs a line too.
  if (screen_lines < 3 || lines + 1 <= screen_lines) return text;
  return text.substr(0, cut) + fmt::format("... {} more lines\n", lines + 2 - screen_lines);
}

std::string printable(std::string_view text) {
  std::string safe(text);
  std::ranges::replace_if(safe, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return safe;
}

}  // namespace warden::cli
