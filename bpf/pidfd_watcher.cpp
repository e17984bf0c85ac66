// SPDX-License-Identifier: Apache-2.0
// See pidfd_watcher.h.
#include "bpf/pidfd_watcher.h"

#include "bpf/clock.h"

namespace warden::bpf {

Result<std::unique_ptr<ExitWatcher>> PidfdWatcher::make() {
  auto pidfds = PidfdSet::make();
  if (!pidfds) return std::unexpected(std::move(pidfds).error());
  return std::make_unique<PidfdWatcher>(std::move(*pidfds));
}

Status PidfdWatcher::watch(const Watched& watched) {
  if (alive_.contains(watched.id)) return fail(Code::kInvalidArgument, "an id is watched already");
  if (auto ok = pidfds_.add(watched.pidfd, watched.id); !ok) return ok;
  alive_.emplace(watched.id, watched.pidfd);
  return {};
}

bool PidfdWatcher::forget(std::uint64_t id) {
  if (const auto found = alive_.find(id); found != alive_.end()) {
    pidfds_.remove(found->second);
    alive_.erase(found);
  }
  return true;
}

Status PidfdWatcher::take(std::vector<Death>& deaths) {
  std::vector<std::uint64_t> dead;
  if (auto ok = pidfds_.take(dead); !ok) return ok;
  for (const std::uint64_t id : dead) {
    deaths.push_back({.id = id, .time_ns = monotonic_ns()});
    forget(id);
    ++told_;
  }
  return {};
}

}  // namespace warden::bpf
