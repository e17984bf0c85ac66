// SPDX-License-Identifier: Apache-2.0
// What happens to attachments in a forked child: its copies of the sockets are closed at once, so that the parent's
// death is seen at the socket too, and everything attached before is dead there.
#pragma once

#include <atomic>
#include <vector>

#include <warden/unique_fd.h>

namespace warden::internal {

inline constinit std::atomic<unsigned> fork_generation_word{0};

// Moves in the child of every fork(): whoever remembers another value was attached by an ancestor. Async-signal-safe.
[[nodiscard]] inline unsigned fork_generation() noexcept {
  // Relaxed: it moves only while the process has one thread.
  return fork_generation_word.load(std::memory_order_relaxed);
}

// While it lives, a fork() closes the child's copies of these descriptors. Owner of the descriptors: this object.
class ForkGuardedFds {
 public:
  explicit ForkGuardedFds(std::vector<UniqueFd> fds);
  ForkGuardedFds(const ForkGuardedFds&) = delete;
  ForkGuardedFds& operator=(const ForkGuardedFds&) = delete;
  ~ForkGuardedFds();

  // -1 when there is none at this place, or in a forked child.
  [[nodiscard]] int get(std::size_t index) const noexcept { return index < fds_.size() ? fds_[index].get() : -1; }
  void close_all() noexcept;

 private:
  std::vector<UniqueFd> fds_;
};

}  // namespace warden::internal
