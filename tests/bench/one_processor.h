// SPDX-License-Identifier: Apache-2.0
// Two processes that answer each other, on one processor.
#pragma once

#include <sched.h>

#include <cstddef>

namespace warden::bench {

// While this lives, this process and what it starts stay on one processor. Left to themselves, one pair of processes
// is placed on one and the other pair across two, and which is which decides the ratio (measured: 9 us and 37 us).
class OneProcessor {
 public:
  OneProcessor() noexcept {
    ::sched_getaffinity(0, sizeof(before_), &before_);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<std::size_t>(::sched_getcpu()), &one);
    ::sched_setaffinity(0, sizeof(one), &one);
  }
  OneProcessor(const OneProcessor&) = delete;
  OneProcessor& operator=(const OneProcessor&) = delete;
  ~OneProcessor() { ::sched_setaffinity(0, sizeof(before_), &before_); }

 private:
  cpu_set_t before_{};
};

}  // namespace warden::bench
