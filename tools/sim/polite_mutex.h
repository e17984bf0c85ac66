// SPDX-License-Identifier: Apache-2.0
// A mutex with a way to take it that lets everybody else go first. std::mutex favours whoever had it last: a thread
// that takes it again and again would starve the others.
#pragma once

#include <atomic>
#include <mutex>
#include <thread>

namespace warden::sim {

class PoliteMutex {
 public:
  void lock() {
    waiting_.fetch_add(1, std::memory_order_relaxed);  // a hint only: the mutex orders everything
    mutex_.lock();
    waiting_.fetch_sub(1, std::memory_order_relaxed);
  }
  void unlock() { mutex_.unlock(); }
  void lock_when_unwanted() {
    while (waiting_.load(std::memory_order_relaxed) != 0) std::this_thread::yield();
    mutex_.lock();
  }

 private:
  std::mutex mutex_;
  std::atomic<int> waiting_{0};
};

}  // namespace warden::sim
