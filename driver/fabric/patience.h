// SPDX-License-Identifier: Apache-2.0
// Waiting for routers, which signal nothing: looks that begin close together and become rarer. The pause grows with the
// time already spent, so that a wait lasts little longer than what it waits for, and a long one costs little.
#pragma once

#include <algorithm>
#include <chrono>
#include <thread>

namespace warden::fabric {

class Patience {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kLongestPause{100};

  explicit Patience(Clock::duration timeout, Clock::duration longest_pause = kLongestPause)
      : begun_(Clock::now()), deadline_(begun_ + timeout), longest_pause_(longest_pause) {}

  // Call after each look: false once the deadline has passed, so that the last look is never earlier than the deadline.
  [[nodiscard]] bool again() {
    const auto now = Clock::now();
    if (now >= deadline_) return false;
    constexpr Clock::duration kShortestPause = std::chrono::microseconds(50);
    const Clock::duration pause = std::max((now - begun_) / 8, kShortestPause);
    std::this_thread::sleep_for(std::min({pause, longest_pause_, deadline_ - now}));
    return true;
  }
  [[nodiscard]] std::chrono::microseconds elapsed() const {
    return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begun_);
  }
  // For a wait that is part of this one.
  [[nodiscard]] std::chrono::milliseconds left() const {
    return std::max(std::chrono::ceil<std::chrono::milliseconds>(deadline_ - Clock::now()),
                    std::chrono::milliseconds(0));
  }

 private:
  Clock::time_point begun_;
  Clock::time_point deadline_;
  Clock::duration longest_pause_;
};

}  // namespace warden::fabric
