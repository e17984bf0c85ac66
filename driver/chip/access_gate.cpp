// SPDX-License-Identifier: Apache-2.0
// Counting who is inside. The lock is held for a few instructions only; accesses run side by side.
#include "driver/chip/access_gate.h"

#include <fmt/format.h>

namespace warden::chip {

Result<AccessGate::Pass> AccessGate::enter() {
  const std::lock_guard lock(mutex_);
  if (closed_) return fail(Code::kResetting, "the card is being reset; try again after its result");
  ++inside_;
  return Pass(*this);
}

Result<AccessGate::Pass> AccessGate::enter(std::uint64_t epoch) {
  const std::lock_guard lock(mutex_);
  if (closed_) return fail(Code::kResetting, "the card is being reset; try again after its result");
  if (epoch != epoch_) {
    return fail(Code::kStale, fmt::format("the handle is from before a reset (epoch {}, now {}); open the device again",
                                          epoch, epoch_));
  }
  ++inside_;
  return Pass(*this);
}

void AccessGate::leave() noexcept {
  const std::lock_guard lock(mutex_);
  if (--inside_ == 0 && closed_) left_.notify_all();
}

Status AccessGate::close(std::chrono::steady_clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  if (closed_) return fail(Code::kResetting, "a reset of this card is under way already");
  closed_ = true;
  if (left_.wait_until(lock, deadline, [this] { return inside_ == 0; })) return {};
  closed_ = false;
  return fail(Code::kTimeout, fmt::format("awaited the end of all accesses, {} are still under way", inside_));
}

void AccessGate::open() {
  const std::lock_guard lock(mutex_);
  ++epoch_;
  closed_ = false;
}

std::uint64_t AccessGate::epoch() const {
  const std::lock_guard lock(mutex_);
  return epoch_;
}

}  // namespace warden::chip
