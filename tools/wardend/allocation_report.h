// SPDX-License-Identifier: Apache-2.0
// The report of what is allocated still, as people read it; wherever the figures come from.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace warden::daemon {

// One buffer, or several of the same process, device and kind.
struct RemainingBuffer {
  int pid = 0;
  int own_pid = 0;   // what its own PID namespace calls it; 0 or the same: nothing to say
  std::string name;  // of the process
  int device = 0;
  std::string kind;         // "DRAM", "L1", ...
  std::uint64_t bytes = 0;  // of all of them
  std::uint64_t count = 1;
};

// The box, the totals, and sums by process, device and kind. Ends with a newline.
[[nodiscard]] std::string format_remaining(std::span<const RemainingBuffer> buffers);

}  // namespace warden::daemon
