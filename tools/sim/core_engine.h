// SPDX-License-Identifier: Apache-2.0
// The thread on which the cores of a board's chips run, each chip in its turn. It sleeps while all of them wait.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "tools/sim/chip_function.h"
#include "tools/sim/clock.h"

namespace warden::sim {

class CoreEngine {
 public:
  CoreEngine() = default;
  CoreEngine(const CoreEngine&) = delete;
  CoreEngine& operator=(const CoreEngine&) = delete;
  ~CoreEngine() { stop(); }

  // How many chips there will be: first of all.
  void expect(unsigned chips);
  // To be called, from any thread, when there is work for this chip.
  [[nodiscard]] std::function<void()> bell(unsigned chip);
  // In the order of their numbers; borrowed until stop(). Before start().
  void add(ChipFunction& chip) { chips_[added_++]->function = &chip; }
  void start();
  void stop();

 private:
  struct Chip {
    ChipFunction* function = nullptr;
    std::atomic<bool> rung{false};  // sync: core_engine.rung
    TimePoint due = TimePoint::max();
  };
  void run();
  // When anything is due next.
  [[nodiscard]] TimePoint run_once();

  std::vector<std::unique_ptr<Chip>> chips_;  // bells point into them
  std::size_t added_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool rung_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace warden::sim
