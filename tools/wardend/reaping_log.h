// SPDX-License-Identifier: Apache-2.0
// The lines that say which dead processes were cleaned up after, the same for every kind of client.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace warden::daemon {

struct ReapedProcess {
  int pid = 0;
  std::string name;  // its own, or nothing
  int own_pid = 0;   // what its own PID namespace calls it, where that is another number
  std::uint64_t buffers = 0;
  std::uint64_t bytes = 0;
};

// One headline, then two lines a process; nothing at all for nobody.
[[nodiscard]] std::vector<std::string> reaping_lines(std::span<const ReapedProcess> reaped);
// Of one whose process lives: it closed its session, became another program, or was sent away.
void log_dismissal(const ReapedProcess& left);
void log_reaping(std::span<const ReapedProcess> reaped);

}  // namespace warden::daemon
