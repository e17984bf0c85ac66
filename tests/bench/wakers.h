// SPDX-License-Identifier: Apache-2.0
// The ways to wake a listener in another process that the wake benchmark compares: ours, a bare futex word, and
// tt-umd's pattern.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include <warden/result.h>

namespace warden::bench {

// Written by the listener's process.
struct Heard {
  std::atomic<std::uint32_t> ready{0};    // the listener is about to wait for the first time
  std::atomic<std::uint64_t> time_ns{0};  // when it heard of the last wake; 0: not yet
};

class Waker {
 public:
  Waker(const Waker&) = delete;
  Waker& operator=(const Waker&) = delete;
  virtual ~Waker() = default;

  // Tells the listener; what this costs until the listener's code runs is what is measured.
  virtual Status wake() = 0;
  // After the sample: tells the listener of the end, as a reset does, so that all come to the next wake equally rested.
  virtual Status rest() = 0;
  [[nodiscard]] virtual Heard& heard() noexcept = 0;

 protected:
  Waker() = default;
};

// Each forks one listener and returns when it waits.
[[nodiscard]] Result<std::unique_ptr<Waker>> libwarden_waker();
[[nodiscard]] Result<std::unique_ptr<Waker>> futex_waker();
[[nodiscard]] Result<std::unique_ptr<Waker>> umd_waker();

}  // namespace warden::bench
