// SPDX-License-Identifier: Apache-2.0
// Processes for a benchmark to kill.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>

#include <warden/result.h>
#include <warden/unique_fd.h>

#include "tests/bench/child.h"

namespace warden::bench {

// A process with so much memory touched, asleep.
class Victim {
 public:
  // `prepare` runs in it, before it sleeps; false: it could not.
  [[nodiscard]] static Result<Victim> start(std::size_t touched_mb, const std::function<bool()>& prepare = {});

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  [[nodiscard]] int pidfd() const noexcept { return pidfd_.get(); }
  // Returns when that was, by now_ns().
  [[nodiscard]] std::uint64_t kill() const noexcept;

 private:
  Victim(Child child, pid_t pid, UniqueFd pidfd) : child_(std::move(child)), pid_(pid), pidfd_(std::move(pidfd)) {}
  Child child_;
  pid_t pid_;
  UniqueFd pidfd_;
};

// The calling thread real-time, as the daemon's watching thread is, for as long as this lives and it is permitted.
class Realtime {
 public:
  Realtime();
  Realtime(const Realtime&) = delete;
  Realtime& operator=(const Realtime&) = delete;
  ~Realtime();

 private:
  bool on_;
};

}  // namespace warden::bench
