// SPDX-License-Identifier: Apache-2.0
// Work that other threads hand to the main loop, and the descriptor that tells it so.
#pragma once

#include <functional>
#include <mutex>
#include <vector>

#include <warden/result.h>
#include <warden/unique_fd.h>

namespace warden::daemon {

// Threads: post() any, the rest the main loop.
class Mailbox {
 public:
  [[nodiscard]] Status open();
  [[nodiscard]] int fd() const noexcept { return event_.get(); }
  void post(std::function<void()> work);
  void run_all();

 private:
  UniqueFd event_;
  std::mutex mutex_;
  std::vector<std::function<void()>> work_;
};

}  // namespace warden::daemon
