// SPDX-License-Identifier: Apache-2.0
// The exit program, its link and its maps, as descriptors: all that there is to it once it is loaded, and all that has
// to survive for a successor to go on.
#pragma once

#include <vector>

#include <warden/result.h>
#include <warden/unique_fd.h>

#include "bpf/exit_watcher.h"

namespace warden::bpf {

struct ExitPrograms {
  UniqueFd program;   // the one that sees exits
  UniqueFd link;      // as long as it is open somewhere, the program runs
  UniqueFd identify;  // the task iterator
  UniqueFd watched;
  UniqueFd liveness;
  UniqueFd events;
  UniqueFd counters;

  // Loads and attaches. `mechanism` is not kPidfd.
  [[nodiscard]] static Result<ExitPrograms> load(Mechanism mechanism, const Options& options);
  // In the order of fds().
  [[nodiscard]] static Result<ExitPrograms> from_fds(std::vector<UniqueFd> fds);
  [[nodiscard]] std::vector<int> fds() const;
};

}  // namespace warden::bpf
