// SPDX-License-Identifier: Apache-2.0
// The little that /proc must tell about a process: its threads' states, its children, when it began.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace warden::cli {

struct ProcessView {
  pid_t parent = 0;
  std::uint64_t start_ticks = 0;
  std::string name;          // comm
  bool living = false;       // some thread is neither a zombie nor dead
  bool stopped = true;       // every thread is stopped (T, t) or gone (Z, X)
  pid_t running_thread = 0;  // the first thread that is not stopped
  char running_state = 0;
};

// Nothing: no such process (any more).
[[nodiscard]] std::optional<ProcessView> view_process(pid_t pid);

// Children of all its threads, as the kernel lists them now; empty when it is gone.
[[nodiscard]] std::vector<pid_t> children_of(pid_t pid);

// Sends the signal to the process that has this pid *and* began at this time *and*, unless `parents` is empty, is a
// child of one of them; never to a later owner of the number. (Where processes are made by the thousand, a number comes
// back within the 10 ms of a tick.) Answers errno, 0 when sent; ESRCH when that process is gone.
[[nodiscard]] int signal_process(pid_t pid, std::uint64_t start_ticks, int signal_number,
                                 std::span<const pid_t> parents = {});

}  // namespace warden::cli
