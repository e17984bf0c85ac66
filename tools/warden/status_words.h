// SPDX-License-Identifier: Apache-2.0
// What wardend says of itself (docs/protocol.md), in words.
#pragma once

#include <string>

#include <warden/result.h>

namespace warden::cli {

// Ends with a newline; coloured on a terminal. kProtocol: not JSON, or not of that shape.
[[nodiscard]] Result<std::string> format_status(const std::string& json);

}  // namespace warden::cli
