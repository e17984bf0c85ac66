// SPDX-License-Identifier: Apache-2.0
// Taking turns.
#include "tools/sim/core_engine.h"

#include <algorithm>

namespace warden::sim {

void CoreEngine::expect(unsigned chips) {
  for (unsigned i = 0; i < chips; ++i) chips_.push_back(std::make_unique<Chip>());
}

std::function<void()> CoreEngine::bell(unsigned chip_number) {
  return [this, chip = chips_[chip_number].get()] {
    if (chip->rung.exchange(true, std::memory_order_acq_rel)) return;
    const std::scoped_lock lock(mutex_);
    rung_ = true;
    changed_.notify_one();
  };
}

void CoreEngine::start() {
  thread_ = std::thread([this] { run(); });
}

void CoreEngine::stop() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

TimePoint CoreEngine::run_once() {
  TimePoint next = TimePoint::max();
  const TimePoint now = std::chrono::steady_clock::now();
  for (const auto& chip : chips_) {
    if (chip->function == nullptr) continue;
    if (chip->rung.exchange(false, std::memory_order_acq_rel) || chip->due <= now) {
      chip->due = chip->function->run_cores().value_or(TimePoint::max());
    }
    next = std::min(next, chip->due);
  }
  return next;
}

void CoreEngine::run() {
  while (true) {
    const TimePoint next = run_once();
    std::unique_lock lock(mutex_);
    const auto has_work = [this] { return rung_ || stopping_; };
    if (next == TimePoint::max()) {
      changed_.wait(lock, has_work);
    } else {
      changed_.wait_until(lock, next, has_work);
    }
    if (stopping_) return;
    rung_ = false;
  }
}

}  // namespace warden::sim
