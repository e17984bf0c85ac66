// SPDX-License-Identifier: Apache-2.0
// An Ethernet tile's link, as software sees it: transmit queues that write to the peer's L1, and what the firmware says
// of it. Nothing here waits: while the link is down, a queue keeps what it was given and is busy.
#pragma once

#include "kernels/device.h"

namespace warden::kernels {

constexpr uint32_t kTrainingWord = 0x1104;  // 1: the link is up
constexpr uint32_t kTrainWord = 0x1EFC;     // software: 1, train anew; firmware: 0, that is over
inline bool link_is_up() { return at(kTrainWord) == 0 && at(kTrainingWord) == 1; }
inline void ask_for_training() { at(kTrainWord) = 1; }

class TransmitQueue {
 public:
  constexpr explicit TransmitQueue(uint32_t index) : base_(0xFFB90000 + 0x1000 * index) {}

  // It takes another. What it was given before is latched, which does not say that it was read: the hardware may read
  // it again until the peer has it, and there is no sign of that but the peer's own.
  bool free() const { return at(base_ + kCommand) == 0; }

  // Of own L1, into the peer's. Free; everything is a multiple of 16. What one queue sends arrives in order.
  void write(uint32_t from, uint32_t to, uint32_t bytes) const {
    at(base_ + kStartAddress) = from;
    at(base_ + kSizeBytes) = bytes;
    at(base_ + kDestination) = to;
    at(base_ + kCommand) = kWriteMemory;
  }

 private:
  static constexpr uint32_t kCommand = 0x04;
  static constexpr uint32_t kStartAddress = 0x14;
  static constexpr uint32_t kSizeBytes = 0x18;
  static constexpr uint32_t kDestination = 0x1C;
  static constexpr uint32_t kWriteMemory = 2;

  uint32_t base_;
};

}  // namespace warden::kernels
