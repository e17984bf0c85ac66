// SPDX-License-Identifier: Apache-2.0
// Waiting for a card that signals nothing: looking again and again, at first at once, then less and less often.
#pragma once

#include <algorithm>
#include <chrono>
#include <thread>

namespace warden::chip {

class Poll {
 public:
  explicit Poll(std::chrono::steady_clock::time_point deadline) noexcept : deadline_(deadline) {}

  // False once the deadline has passed; else waits a little. Call after each look, so that the last look is never
  // earlier than the deadline.
  [[nodiscard]] bool again() {
    const auto now = std::chrono::steady_clock::now();
    if (now >= deadline_) return false;
    if (++looks_ <= kBusyLooks) return true;
    std::this_thread::sleep_for(std::min<std::chrono::steady_clock::duration>(pause_, deadline_ - now));
    pause_ = std::min<std::chrono::steady_clock::duration>(pause_ * 2, kLongestPause);
    return true;
  }

 private:
  static constexpr int kBusyLooks = 50;
  static constexpr std::chrono::milliseconds kLongestPause{10};
  std::chrono::steady_clock::time_point deadline_;
  std::chrono::steady_clock::duration pause_ = std::chrono::microseconds(50);
  int looks_ = 0;
};

}  // namespace warden::chip
