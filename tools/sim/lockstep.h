// SPDX-License-Identifier: Apache-2.0
// Deterministic mode: the board's time stands still but for steps of one microsecond, and in each step its chips have
// their turns in the order of their numbers. Steps are made for whoever accesses a card, one each, and on demand; so
// the same accesses in the same order find and leave the same, however fast the host is.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <vector>

#include "tools/sim/clock.h"

namespace warden::sim {

class ChipFunction;

// Threads: any, one at a time.
class Lockstep {
 public:
  static constexpr std::chrono::microseconds kStep{1};
  static constexpr std::uint64_t kStepInstructions = 1000;  // of each core: its clock counts nanoseconds

  // In the order of their numbers, before anything else; borrowed.
  void add(ChipFunction& chip) { chips_.push_back(&chip); }
  [[nodiscard]] TimePoint now() const noexcept { return TimePoint(TimePoint::duration(now_.load())); }
  // For the chips: there is work in the next step.
  [[nodiscard]] std::function<void()> bell() {
    return [this] { rung_ = true; };
  }

  // While it is held no time passes. Taken before a chip is locked.
  using Hold = std::unique_lock<std::mutex>;
  [[nodiscard]] Hold hold() { return Hold(mutex_); }
  // One step, and then.
  [[nodiscard]] Hold step_and_hold();
  // Where nobody has anything to do, time passes at once.
  void pass(std::chrono::microseconds time);
  void pass_until(TimePoint end);

 private:
  void pass_locked(TimePoint end);

  std::mutex mutex_;
  std::vector<ChipFunction*> chips_;
  // Not from 0, which is no time at all for some. Sequentially consistent, as rung_: they are no hot spots.
  std::atomic<TimePoint::rep> now_{TimePoint::duration(std::chrono::hours(1)).count()};
  std::atomic<bool> rung_{false};
};

}  // namespace warden::sim
