// SPDX-License-Identifier: Apache-2.0
// Small files that must be whole or absent after a kill: read, write, replace.
#pragma once

#include <string>
#include <string_view>

#include <warden/result.h>
#include <warden/unique_fd.h>

namespace warden::daemon {

// kNotFound when there is no such file.
[[nodiscard]] Result<std::string> read_file(const std::string& path);
[[nodiscard]] Status write_all(int fd, std::string_view text);
// Writes `path`.new, syncs it and renames it over `path`: readers see the old text or the new one, never half.
// Answers the open new file, positioned at its end.
[[nodiscard]] Result<UniqueFd> replace_file(const std::string& path, std::string_view text);

}  // namespace warden::daemon
