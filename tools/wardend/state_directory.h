// SPDX-License-Identifier: Apache-2.0
// The directory of journal and reports: there, writable, and this daemon's alone.
#pragma once

#include <string>

#include <warden/result.h>
#include <warden/unique_fd.h>

namespace warden::daemon {

// Makes the directory if it is missing (`with_parents`: those too) and locks it; the lock lasts as long as any copy
// of the descriptor. kBusy: another wardend has it.
[[nodiscard]] Result<UniqueFd> lock_state_directory(const std::string& path, bool with_parents);

}  // namespace warden::daemon
