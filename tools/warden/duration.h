// SPDX-License-Identifier: Apache-2.0
// Durations and numbers as people type them.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include <warden/result.h>
#include <warden/tile.h>

namespace warden::cli {

// "2s", "500ms", "1.5s", "1m", "2h". A bare number is refused: it would be seconds to one reader, milliseconds to
// another.
[[nodiscard]] Result<std::chrono::milliseconds> parse_duration(std::string_view text);

// Decimal, or hexadecimal after 0x.
[[nodiscard]] Result<std::uint64_t> parse_number(std::string_view text);

// "X,Y", NoC #0 coordinates.
[[nodiscard]] Result<Tile> parse_tile(std::string_view text);

// "83 us", "1.2 ms", "2.0 s".
[[nodiscard]] std::string format_duration(std::chrono::microseconds duration);

// "12s", "4m05s", "3h20m", "2d01h"; below a second like a duration.
[[nodiscard]] std::string format_age(std::chrono::nanoseconds age);

// "512 B", "1.50 KB", "403.84 MB"; a MB is 1024 x 1024.
[[nodiscard]] std::string format_bytes(std::uint64_t bytes);

}  // namespace warden::cli
