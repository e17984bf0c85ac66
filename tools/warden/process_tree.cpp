// SPDX-License-Identifier: Apache-2.0
// Stopping a tree that grows, forks, daemonizes and dies while it is being walked.
#include "tools/warden/process_tree.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <set>

#include "tools/warden/proc.h"

namespace warden::cli {

struct ProcessTree::Walk {
  bool clean = true;  // nothing new, nothing running, nothing vanished
  std::set<pid_t> visited;
  std::vector<pid_t> pending;
  std::string running;
  std::string refused;
};

std::vector<pid_t> ProcessTree::roots() const {
  std::vector<pid_t> pids = children_of(ancestor_);
  std::erase(pids, except_);
  return pids;
}

void ProcessTree::visit(pid_t pid, Walk& walk) {
  if (!walk.visited.insert(pid).second) return;
  const auto view = view_process(pid);
  if (!view) {
    walk.clean = false;  // its children have another parent now, perhaps one that was walked before
    return;
  }
  if (!view->living) return;  // a zombie has no children
  auto [entry, is_new] = known_.try_emplace(pid, Known{.start_ticks = view->start_ticks});
  if (entry->second.start_ticks != view->start_ticks) {
    entry->second = Known{.start_ticks = view->start_ticks};
    is_new = true;
  }
  if (is_new) walk.clean = false;
  if (!view->stopped) {
    walk.clean = false;
    const std::string who = fmt::format("pid {} ({})", pid, view->name);
    walk.running = fmt::format("{}, thread {} in state {}", who, view->running_thread, view->running_state);
    const int error = signal_process(pid, view->start_ticks, SIGSTOP);
    if (error == 0) entry->second.ours = true;
    if (error != 0 && error != ESRCH) walk.refused = fmt::format("stop {}: {}", who, std::strerror(error));
    // From the top down: children are looked at once their parent stands. It can't fork any more then, and, above all,
    // is not in vfork(): there it sleeps uninterruptibly until its child has called exec, and would never be seen
    // stopped if that child were stopped first.
    return;
  }
  for (const pid_t child : children_of(pid)) walk.pending.push_back(child);
}

Result<bool> ProcessTree::stop_step() {
  Walk walk;
  walk.pending = roots();
  while (!walk.pending.empty()) {
    const pid_t pid = walk.pending.back();
    walk.pending.pop_back();
    visit(pid, walk);
  }
  last_running_ = walk.running;
  // One clean walk is not proof: a running process whose parent died meanwhile may have moved to a place that had
  // been looked at already. It can't do so in two walks without being seen, since what it leaves behind has vanished.
  const bool proven = walk.clean && last_walk_was_clean_;
  last_walk_was_clean_ = walk.clean;
  if (!walk.refused.empty()) return fail(Code::kPermission, walk.refused);
  return proven;
}

std::size_t ProcessTree::stopped_count() const noexcept {
  return static_cast<std::size_t>(std::ranges::count_if(known_, [](const auto& entry) { return entry.second.ours; }));
}

void ProcessTree::adopt_stopped() {
  for (const pid_t pid : living()) {
    const auto view = view_process(pid);
    if (view && view->living && view->stopped) known_[pid] = Known{.start_ticks = view->start_ticks, .ours = true};
  }
}

void ProcessTree::resume(pid_t spared) {
  for (const auto& [pid, process] : known_) {
    if (spared != 0 && ::getpgid(pid) == spared) continue;
    if (process.ours) (void)signal_process(pid, process.start_ticks, SIGCONT);  // gone meanwhile: nothing to continue
  }
  known_.clear();
  last_running_.clear();
  last_walk_was_clean_ = false;
}

std::vector<pid_t> ProcessTree::living() const {
  std::vector<pid_t> pending = roots();
  std::set<pid_t> visited;
  std::vector<pid_t> found;
  while (!pending.empty()) {
    const pid_t pid = pending.back();
    pending.pop_back();
    if (!visited.insert(pid).second) continue;
    const auto view = view_process(pid);
    if (!view || !view->living) continue;
    found.push_back(pid);
    for (const pid_t child : children_of(pid)) pending.push_back(child);
  }
  return found;
}

std::size_t ProcessTree::signal_all(int signal_number) {
  const std::vector<pid_t> pids = living();
  for (const pid_t pid : pids) {
    const auto view = view_process(pid);
    if (view && view->living) (void)signal_process(pid, view->start_ticks, signal_number);
  }
  return pids.size();
}

}  // namespace warden::cli
