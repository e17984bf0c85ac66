// SPDX-License-Identifier: Apache-2.0
// See listing_thread.h.
#include "tools/wardend/listing_thread.h"

#include <utility>

namespace warden::daemon {

ListingThread::~ListingThread() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

bool ListingThread::post(std::function<void()> listing) {
  {
    const std::scoped_lock lock(mutex_);
    if (waiting_.size() >= kMostWaiting) return false;
    waiting_.push(std::move(listing));
    if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  }
  changed_.notify_one();
  return true;
}

void ListingThread::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (stopping_) return;
    const std::function<void()> listing = std::move(waiting_.front());
    waiting_.pop();
    lock.unlock();
    listing();
    lock.lock();
  }
}

}  // namespace warden::daemon
