// SPDX-License-Identifier: Apache-2.0
// See progress.h.
#include "tools/warden/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <utility>

namespace warden::cli {
namespace {

void tell(const std::stop_token& stop, const std::string& what) {
  const bool on_terminal = ::isatty(STDERR_FILENO) == 1;
  std::mutex mutex;
  std::condition_variable_any ended;
  std::unique_lock lock(mutex);
  for (int seconds = 1;; ++seconds) {
    ended.wait_for(lock, stop, std::chrono::seconds(1), [] { return false; });
    if (stop.stop_requested()) {
      if (on_terminal && seconds > 1) fmt::print(stderr, "\r\x1b[K");
      return;
    }
    if (on_terminal) fmt::print(stderr, "\r\x1b[Kwaiting: {} ({} s)", what, seconds);
    if (!on_terminal && seconds == 1) fmt::print(stderr, "waiting: {}\n", what);
    (void)std::fflush(stderr);
  }
}

}  // namespace

Progress::Progress(std::string what)
    : thread_([what = std::move(what)](const std::stop_token& stop) { tell(stop, what); }) {}

}  // namespace warden::cli
