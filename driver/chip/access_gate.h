// SPDX-License-Identifier: Apache-2.0
// Who may touch the card now: everybody between two resets, nobody but the resetting thread during one.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <utility>

#include <warden/result.h>

namespace warden::chip {

// Threads: any. Passes end before the gate.
class AccessGate {
 public:
  // One access under way; the gate can't close before it ends.
  class Pass {
   public:
    explicit Pass(AccessGate& gate) noexcept : gate_(&gate) {}
    Pass(Pass&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)) {}
    Pass& operator=(Pass&&) = delete;
    ~Pass() {
      if (gate_ != nullptr) gate_->leave();
    }

   private:
    AccessGate* gate_;
  };

  AccessGate(std::uint64_t epoch, bool closed) noexcept : epoch_(epoch), closed_(closed) {}

  // kResetting while closed, without waiting.
  [[nodiscard]] Result<Pass> enter();
  // Also kStale for an epoch that is over.
  [[nodiscard]] Result<Pass> enter(std::uint64_t epoch);

  // Lets nobody in any more and waits until all have left. kResetting when closed already; kTimeout (open again) when
  // an access is still under way at the deadline.
  [[nodiscard]] Status close(std::chrono::steady_clock::time_point deadline);
  // A new epoch begins.
  void open();

  [[nodiscard]] std::uint64_t epoch() const;

 private:
  void leave() noexcept;

  mutable std::mutex mutex_;
  std::condition_variable left_;
  std::uint64_t epoch_;
  std::uint64_t inside_ = 0;
  bool closed_;
};

}  // namespace warden::chip
