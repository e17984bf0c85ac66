// SPDX-License-Identifier: Apache-2.0
// One pthread_atfork handler for the process, and the list of descriptors it closes in the child.
#include "tools/libwarden/fork_guard.h"

#include <pthread.h>

#include <algorithm>
#include <mutex>

#include <warden/allocation_words.h>

namespace warden::internal {

namespace {

struct Registry {
  std::mutex mutex;  // held over fork(), so that the child finds the list whole
  std::vector<ForkGuardedFds*> guarded;
};

// Never destroyed: a fork may come after the destructors of static objects.
Registry& registry() {
  static auto* const kInstance = new Registry;
  return *kInstance;
}

void before_fork() { registry().mutex.lock(); }
void after_fork_in_parent() { registry().mutex.unlock(); }
void after_fork_in_child() {
  fork_generation_word.fetch_add(1, std::memory_order_relaxed);  // the child has one thread
  shm::recent_shard = {};                                        // it is mapped in the parent alone
  for (ForkGuardedFds* fds : registry().guarded) fds->close_all();
  registry().mutex.unlock();
}

}  // namespace

ForkGuardedFds::ForkGuardedFds(std::vector<UniqueFd> fds) : fds_(std::move(fds)) {
  static std::once_flag once;
  std::call_once(once, [] { ::pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child); });
  const std::lock_guard lock(registry().mutex);
  registry().guarded.push_back(this);
}

ForkGuardedFds::~ForkGuardedFds() {
  const std::lock_guard lock(registry().mutex);
  std::erase(registry().guarded, this);
}

void ForkGuardedFds::close_all() noexcept {
  for (UniqueFd& fd : fds_) fd.reset();
}

}  // namespace warden::internal
