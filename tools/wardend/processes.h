// SPDX-License-Identifier: Apache-2.0
// Small questions about processes that are held by a pidfd.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <warden/result.h>

namespace warden::daemon {

[[nodiscard]] bool is_dead(int pidfd);
// Every thread of it has begun to exit, or is gone. `pidfd` makes sure that `pid` still means this process.
[[nodiscard]] bool is_exiting(int pid, int pidfd);
// What a process calls itself, in the innermost PID namespace it is in; 0 when that can't be read.
[[nodiscard]] int innermost_pid_of(int pid);
[[nodiscard]] Status kill_process(int pidfd);
// Stopped by a signal or a debugger, or already a zombie: it executes nothing. `pidfd` makes sure that `pid` still
// means this process.
[[nodiscard]] bool is_stopped(int pid, int pidfd);
// SIGCONT to whatever is stopped by a signal of this process and all that descends from it. Answers how many that were;
// those that may not be continued do not count.
[[nodiscard]] std::size_t continue_stopped(int pid, int pidfd);
// Whether `pid` is `ancestor` or was started, directly or not, by it.
[[nodiscard]] bool descends_from(int pid, int ancestor);
// What a process in `peer`'s PID namespace calls `pid`, as we number it: the same where the namespace is ours, else
// looked for among the peer's descendants. kNotFound when it is not there.
[[nodiscard]] Result<int> translate_pid(int pid, int peer);
// Supplementary groups of a socket's peer, as they were when it connected.
[[nodiscard]] std::vector<std::uint32_t> groups_of_peer(int socket);

}  // namespace warden::daemon
