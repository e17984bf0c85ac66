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

// "2s", "500ms", "1.5s", "1m". A bare number is refused: it would be seconds to one reader, milliseconds to another.
[[nodiscard]] Result<std::chrono::milliseconds> parse_duration(std::string_view text);

// Decimal, or hexadecimal after 0x.
[[nodiscard]] Result<std::uint64_t> parse_number(std::string_view text);

// "X,Y", NoC #0 coordinates.
[[nodiscard]] Result<Tile> parse_tile(std::string_view text);

// "83 us", "1.2 ms", "2.0 s".
[[nodiscard]] std::string format_duration(std::chrono::microseconds duration);

}  // namespace warden::cli
