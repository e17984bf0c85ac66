// SPDX-License-Identifier: Apache-2.0
// Stopping a tree that grows, forks, daemonizes and dies while it is being walked.
#include "tools/warden/process_tree.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <set>

namespace warden::cli {

struct ProcessTree::Walk {
  bool clean = true;  // nothing new, nothing running, nothing vanished
  std::set<pid_t> visited;
  std::vector<Listed> pending;
  std::string running;
  std::string refused;
};

void ProcessTree::list_children(pid_t parent, std::vector<Listed>& into) const {
  for (const pid_t child : children_of(parent)) into.push_back({child, {parent, ancestor_}});
}

std::optional<ProcessView> ProcessTree::look_at(const Listed& listed) {
  auto view = view_process(listed.pid);
  if (view && std::ranges::find(listed.parents, view->parent) == listed.parents.end()) view.reset();
  return view;
}

std::vector<ProcessTree::Listed> ProcessTree::roots() const {
  std::vector<Listed> children;
  list_children(ancestor_, children);
  std::erase_if(children, [this](const Listed& child) { return child.pid == except_; });
  return children;
}

void ProcessTree::visit(const Listed& listed, Walk& walk) {
  const pid_t pid = listed.pid;
  if (!walk.visited.insert(pid).second) return;
  const auto view = look_at(listed);
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
    const int error = signal_process(pid, view->start_ticks, SIGSTOP, listed.parents);
    if (error == 0) entry->second.ours = true;
    if (error != 0 && error != ESRCH) walk.refused = fmt::format("stop {}: {}", who, std::strerror(error));
    // From the top down: children are looked at once their parent stands. It can't fork any more then, and, above all,
    // is not in vfork(): there it sleeps uninterruptibly until its child has called exec, and would never be seen
    // stopped if that child were stopped first.
    return;
  }
  list_children(pid, walk.pending);
}

Result<bool> ProcessTree::stop_step() {
  Walk walk;
  walk.pending = roots();
  while (!walk.pending.empty()) {
    const Listed next = walk.pending.back();
    walk.pending.pop_back();
    visit(next, walk);
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
  for (const Found& found : find()) {
    if (found.view.stopped) known_[found.listed.pid] = Known{.start_ticks = found.view.start_ticks, .ours = true};
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

std::vector<ProcessTree::Found> ProcessTree::find() const {
  std::vector<Listed> pending = roots();
  std::set<pid_t> visited;
  std::vector<Found> found;
  while (!pending.empty()) {
    const Listed next = pending.back();
    pending.pop_back();
    if (!visited.insert(next.pid).second) continue;
    const auto view = look_at(next);
    if (!view || !view->living) continue;
    found.push_back({next, *view});
    list_children(next.pid, pending);
  }
  return found;
}

std::vector<pid_t> ProcessTree::living() const {
  std::vector<pid_t> pids;
  for (const Found& found : find()) pids.push_back(found.listed.pid);
  return pids;
}

std::size_t ProcessTree::signal_all(int signal_number) {
  const std::vector<Found> all = find();
  for (const Found& found : all) {
    (void)signal_process(found.listed.pid, found.view.start_ticks, signal_number, found.listed.parents);
  }
  return all.size();
}

}  // namespace warden::cli
