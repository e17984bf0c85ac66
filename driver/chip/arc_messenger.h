// SPDX-License-Identifier: Apache-2.0
// Messages to the ARC, the card's management core, through the scratch registers of its reset unit.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>

#include <warden/result.h>

#include "driver/chip/bar.h"
#include "driver/chip/chip.h"

namespace warden::chip {

// Threads: any; one message at a time on the whole card, so there is one messenger a card.
class ArcMessenger {
 public:
  explicit ArcMessenger(Bar& bar0) noexcept : bar0_(bar0) {}

  // kFailed when the firmware is not up, kTimeout when it does not take or answer the message in `timeout`,
  // kUnsupported when it does not know the code, kOffBus when nothing answers at all.
  [[nodiscard]] Result<ArcReply> exchange(std::uint8_t code, std::uint16_t argument0, std::uint16_t argument1,
                                          std::chrono::milliseconds timeout);
  // The same without waiting for an answer: for messages after which nothing may be touched.
  [[nodiscard]] Status post(std::uint8_t code, std::uint16_t argument0, std::uint16_t argument1,
                            std::chrono::milliseconds timeout);

 private:
  using Deadline = std::chrono::steady_clock::time_point;
  Status hand_over(std::uint8_t code, std::uint16_t argument0, std::uint16_t argument1, Deadline deadline);
  Status check_firmware();
  Result<ArcReply> await_reply(std::uint8_t code, Deadline deadline);

  Bar& bar0_;
  std::mutex mutex_;
};

}  // namespace warden::chip
