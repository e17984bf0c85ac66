// SPDX-License-Identifier: Apache-2.0
// A reset that somebody else carries out: its end is an event from outside, or a deadline.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace warden::daemon {

// Threads: any.
class ExternalReset {
 public:
  explicit ExternalReset(std::chrono::steady_clock::time_point deadline) : deadline_(deadline) {}

  // Whoever resets has said that it is done, or is not waited for any more.
  void end() {
    {
      const std::scoped_lock lock(mutex_);
      ended_ = true;
    }
    changed_.notify_all();
  }
  [[nodiscard]] bool ended() const {
    const std::scoped_lock lock(mutex_);
    return ended_;
  }
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait_until(lock, deadline_, [this] { return ended_; });
  }

 private:
  const std::chrono::steady_clock::time_point deadline_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = false;
};

}  // namespace warden::daemon
