// SPDX-License-Identifier: Apache-2.0
// The numbers by which this process names its windows and buffers to wardend.
#pragma once

#include <cstdint>

namespace warden::internal {

// Never the same twice in a process, and never 0. Threads: any.
[[nodiscard]] std::uint64_t next_holding_number() noexcept;

}  // namespace warden::internal
