// SPDX-License-Identifier: Apache-2.0
// A command that is forked now and executed later, so that its pid can be made known before it does anything.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <string>
#include <vector>

#include <warden/result.h>
#include <warden/unique_fd.h>

namespace warden::cli {

class GatedCommand {
 public:
  // Forks. The child waits at the gate; it ends when this object does without having opened it.
  [[nodiscard]] static Result<GatedCommand> fork_now(const std::vector<std::string>& command_line,
                                                     const sigset_t& signals, int close_in_child);
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  // Lets it execute. Its errno when that failed (the child has ended then), 0 when the program runs.
  [[nodiscard]] int open_gate();

 private:
  GatedCommand(pid_t pid, UniqueFd gate, UniqueFd failure) noexcept
      : pid_(pid), gate_(std::move(gate)), failure_(std::move(failure)) {}
  pid_t pid_;
  UniqueFd gate_;     // written: go; closed: give up
  UniqueFd failure_;  // the child's errno; closed by a successful exec
};

}  // namespace warden::cli
