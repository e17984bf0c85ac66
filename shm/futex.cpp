// SPDX-License-Identifier: Apache-2.0
// The two futex calls, without FUTEX_PRIVATE_FLAG: the word is shared between processes.
#include "shm/futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <ctime>

namespace warden::shm {

void futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t seen, std::chrono::nanoseconds bound,
                std::uint32_t wakes) noexcept {
  if (bound <= std::chrono::nanoseconds::zero()) return;
  // FUTEX_WAIT_BITSET takes the time at which to give up, by CLOCK_MONOTONIC.
  const auto until = std::chrono::steady_clock::now().time_since_epoch() + bound;
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(until);
  const timespec deadline{.tv_sec = static_cast<time_t>(seconds.count()),
                          .tv_nsec = static_cast<long>((until - seconds).count())};
  // EAGAIN, EINTR and ETIMEDOUT mean the same to the caller: look again.
  ::syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, seen, &deadline, nullptr, wakes);
}

void futex_wake_all(const std::atomic<std::uint32_t>& word, std::uint32_t wakes) noexcept {
  ::syscall(SYS_futex, &word, FUTEX_WAKE_BITSET, INT_MAX, nullptr, nullptr, wakes);
}

}  // namespace warden::shm
