// SPDX-License-Identifier: Apache-2.0
// Listings that read the tables of everybody, on a thread of their own: a million records are not read while others
// wait for an answer, or for a death to be dealt with.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <queue>
#include <thread>

namespace warden::daemon {

// One after the other, in order; those not begun when it is destroyed are dropped. Threads: any.
class ListingThread {
 public:
  ListingThread() = default;
  ListingThread(const ListingThread&) = delete;
  ListingThread& operator=(const ListingThread&) = delete;
  ~ListingThread();

  // False: as many as may wait do so already.
  [[nodiscard]] bool post(std::function<void()> listing);

 private:
  static constexpr std::size_t kMostWaiting = 256;
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::queue<std::function<void()>> waiting_;
  bool stopping_ = false;
  std::thread thread_;  // started with the first listing
};

}  // namespace warden::daemon
