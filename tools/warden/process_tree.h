// SPDX-License-Identifier: Apache-2.0
// All processes that descend from one process: finding them, stopping them until every thread is seen stopped, and
// continuing exactly those that were stopped here.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <warden/result.h>

#include "tools/warden/proc.h"

namespace warden::cli {

// The tree below `ancestor`, which is not part of it and should be a subreaper (PR_SET_CHILD_SUBREAPER), so that
// orphans and daemons stay below it. Threads: one. Nothing here waits: callers repeat stop_step() as they see fit.
class ProcessTree {
 public:
  // `except`: a child of the ancestor that is left out, with all its descendants (a helper of ours); 0: none.
  explicit ProcessTree(pid_t ancestor, pid_t except = 0) noexcept : ancestor_(ancestor), except_(except) {}

  // Walks the tree once and sends SIGSTOP to whatever runs. True: every thread of every process is seen stopped, and
  // two walks in a row found nothing else. An error: a process that may not be stopped.
  [[nodiscard]] Result<bool> stop_step();
  // What still ran in the last walk, for messages: "pid 4711 (dd), thread 4712 in state D". Empty: nothing.
  [[nodiscard]] const std::string& last_running() const noexcept { return last_running_; }
  // Processes stopped here since the last resume().
  [[nodiscard]] std::size_t stopped_count() const noexcept;

  // From now on counts as stopped here whatever is stopped: for who takes over from a dead predecessor.
  void adopt_stopped();
  // SIGCONT to the processes stopped here, to no others; and to none of process group `spared`.
  void resume(pid_t spared = 0);

  // Sends the signal to all that live; answers how many those are. Zombies do not live.
  std::size_t signal_all(int signal_number);
  // Parents come before their children.
  [[nodiscard]] std::vector<pid_t> living() const;
  [[nodiscard]] std::size_t living_count() const { return living().size(); }

 private:
  struct Known {
    std::uint64_t start_ticks = 0;  // with the pid, names a process: pids are used again
    bool ours = false;              // stopped here, not by somebody else before
  };
  // A process as it is listed: a number, which may be another process's by the time that it is looked at. That one has
  // another parent: neither the one that listed it, nor the ancestor, who gets the orphans.
  struct Listed {
    pid_t pid = 0;
    std::array<pid_t, 2> parents{};
  };
  struct Found {
    Listed listed;
    ProcessView view;
  };
  struct Walk;
  void visit(const Listed& listed, Walk& walk);
  void list_children(pid_t parent, std::vector<Listed>& into) const;
  // Nothing: it is gone, or the number another process's.
  [[nodiscard]] static std::optional<ProcessView> look_at(const Listed& listed);
  [[nodiscard]] std::vector<Listed> roots() const;
  // Those that live; parents come before their children.
  [[nodiscard]] std::vector<Found> find() const;

  pid_t ancestor_;
  pid_t except_;
  std::map<pid_t, Known> known_;
  std::string last_running_;
  bool last_walk_was_clean_ = false;
};

}  // namespace warden::cli
