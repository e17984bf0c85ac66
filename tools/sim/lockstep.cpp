// SPDX-License-Identifier: Apache-2.0
// Making steps.
#include "tools/sim/lockstep.h"

#include <algorithm>

#include "tools/sim/chip_function.h"

namespace warden::sim {

Lockstep::Hold Lockstep::step_and_hold() {
  Hold held(mutex_);
  pass_locked(now() + kStep);
  return held;
}

void Lockstep::pass(std::chrono::microseconds time) {
  const std::scoped_lock lock(mutex_);
  pass_locked(now() + time);
}

void Lockstep::pass_until(TimePoint end) {
  const std::scoped_lock lock(mutex_);
  pass_locked(end);
}

void Lockstep::pass_locked(TimePoint end) {
  while (now() < end) {
    TimePoint next = TimePoint::max();
    rung_ = false;
    for (ChipFunction* chip : chips_) next = std::min(next, chip->run_step().value_or(TimePoint::max()));
    const TimePoint soonest = now() + kStep;
    // Who rang may have meant a chip that had its turn already.
    next = rung_ ? soonest : std::clamp(next, soonest, std::max(end, soonest));
    now_ = next.time_since_epoch().count();
  }
}

}  // namespace warden::sim
