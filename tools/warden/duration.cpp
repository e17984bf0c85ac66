// SPDX-License-Identifier: Apache-2.0
// See duration.h. Whatever is typed is taken whole or refused.
#include "tools/warden/duration.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

namespace warden::cli {

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
  double value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  const std::string_view unit(parsed.ptr, static_cast<std::size_t>(text.data() + text.size() - parsed.ptr));
  double factor_ms = 0;
  if (unit == "ms") factor_ms = 1;
  if (unit == "s") factor_ms = 1000;
  if (unit == "m" || unit == "min") factor_ms = 60'000;
  if (unit == "h") factor_ms = 3'600'000;
  constexpr double kLongestMs = 86'400'000;  // a day; also keeps the sum within 32 bits of milliseconds
  if (parsed.ec != std::errc{} || factor_ms == 0 || !(value >= 0) || value * factor_ms > kLongestMs) {
    return fail(Code::kInvalidArgument,
                fmt::format("'{}' is not a duration: write a number and its unit, like 2s or 500ms", text));
  }
  return std::chrono::milliseconds(std::llround(value * factor_ms));
}

Result<std::uint64_t> parse_number(std::string_view text) {
  std::string_view digits = text;
  int base = 10;
  if (digits.starts_with("0x") || digits.starts_with("0X")) {
    digits.remove_prefix(2);
    base = 16;
  }
  std::uint64_t value = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (digits.empty() || parsed.ec != std::errc{} || parsed.ptr != digits.data() + digits.size()) {
    return fail(Code::kInvalidArgument, fmt::format("'{}' is not a number: write 4096 or 0x1000", text));
  }
  return value;
}

Result<Tile> parse_tile(std::string_view text) {
  const auto comma = text.find(',');
  if (comma != std::string_view::npos) {
    const auto x = parse_number(text.substr(0, comma));
    const auto y = parse_number(text.substr(comma + 1));
    if (x && y && *x <= 0xff && *y <= 0xff) {
      return Tile{.x = static_cast<std::uint8_t>(*x), .y = static_cast<std::uint8_t>(*y)};
    }
  }
  return fail(Code::kInvalidArgument, fmt::format("'{}' is not a tile: write X,Y, like 1,1", text));
}

std::string format_duration(std::chrono::microseconds duration) {
  const auto us = static_cast<double>(duration.count());
  if (us < 1000) return fmt::format("{} us", duration.count());
  if (us < 1'000'000) return fmt::format("{:.1f} ms", us / 1000);
  return fmt::format("{:.2f} s", us / 1'000'000);
}

std::string format_age(std::chrono::nanoseconds age) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(age).count();
  if (seconds < 1) return format_duration(std::chrono::duration_cast<std::chrono::microseconds>(age));
  if (seconds < 60) return fmt::format("{}s", seconds);
  if (seconds < 3600) return fmt::format("{}m{:02}s", seconds / 60, seconds % 60);
  if (seconds < 86'400) return fmt::format("{}h{:02}m", seconds / 3600, seconds / 60 % 60);
  return fmt::format("{}d{:02}h", seconds / 86'400, seconds / 3600 % 24);
}

std::string format_bytes(std::uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  auto value = static_cast<double>(bytes) / 1024;
  const char* const units[] = {"KB", "MB", "GB", "TB"};
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(units); ++unit) value /= 1024;
  return fmt::format("{:.2f} {}", value, units[unit]);
}

}  // namespace warden::cli
