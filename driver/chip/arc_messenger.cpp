// SPDX-License-Identifier: Apache-2.0
// The protocol of tt-kmd (wormhole.c) and tt-umd (wormhole_arc_messenger): arguments, 0xAA00|code, trigger bit, and the
// code in the low half of the same register as the answer.
#include "driver/chip/arc_messenger.h"

#include <fmt/format.h>

#include "driver/chip/poll.h"
#include "driver/chip/wormhole_layout.h"

namespace warden::chip {

using std::chrono::steady_clock;

Result<ArcReply> ArcMessenger::exchange(std::uint8_t code, std::uint16_t argument0, std::uint16_t argument1,
                                        std::chrono::milliseconds timeout) {
  const std::lock_guard lock(mutex_);
  const Deadline deadline = steady_clock::now() + timeout;
  auto reply = [&]() -> Result<ArcReply> {
    if (auto sent = hand_over(code, argument0, argument1, deadline); !sent) {
      return std::unexpected(std::move(sent).error());
    }
    return await_reply(code, deadline);
  }();
  if (!reply) return wrap(std::move(reply).error(), fmt::format("ARC message {:#04x}", code));
  return reply;
}

Status ArcMessenger::post(std::uint8_t code, std::uint16_t argument0, std::uint16_t argument1,
                          std::chrono::milliseconds timeout) {
  const std::lock_guard lock(mutex_);
  auto sent = hand_over(code, argument0, argument1, steady_clock::now() + timeout);
  if (!sent) return wrap(std::move(sent).error(), fmt::format("ARC message {:#04x}", code));
  return {};
}

Status ArcMessenger::check_firmware() {
  auto post_code = bar0_.read32(wormhole::kPostCode);
  if (!post_code) return std::unexpected(std::move(post_code).error());
  if (*post_code == wormhole::kAllOnes) return fail(Code::kOffBus, "the card does not answer, reads give 0xffffffff");
  if ((*post_code & wormhole::kPostCodeMask) == wormhole::kPostCodeUp) return {};
  return fail(Code::kFailed, fmt::format("the firmware is not up: post code {:#010x}, not 0xc0dexxxx", *post_code));
}

Status ArcMessenger::hand_over(std::uint8_t code, std::uint16_t argument0, std::uint16_t argument1, Deadline deadline) {
  if (auto up = check_firmware(); !up) return up;
  const std::uint32_t arguments = argument0 | (std::uint32_t{argument1} << 16);
  if (auto wrote = bar0_.write32(wormhole::kMessageArguments, arguments); !wrote) return wrote;
  if (auto wrote = bar0_.write32(wormhole::kMessage, wormhole::kMessagePrefix | code); !wrote) return wrote;
  Poll poll(deadline);
  do {
    auto control = bar0_.read32(wormhole::kArcMiscControl);
    if (!control) return std::unexpected(std::move(control).error());
    if ((*control & wormhole::kArcMiscTrigger) == 0) {
      return bar0_.write32(wormhole::kArcMiscControl, *control | wormhole::kArcMiscTrigger);
    }
  } while (poll.again());
  return fail(Code::kTimeout, "the ARC has not taken the message before: trigger bit 16 of ARC_MISC_CNTL is still set");
}

Result<ArcReply> ArcMessenger::await_reply(std::uint8_t code, Deadline deadline) {
  std::uint32_t status = 0;
  Poll poll(deadline);
  do {
    auto read = bar0_.read32(wormhole::kMessage);
    if (!read) return std::unexpected(std::move(read).error());
    status = *read;
    if (status == wormhole::kAllOnes) {
      if (auto up = check_firmware(); !up) return std::unexpected(std::move(up).error());
      return fail(Code::kUnsupported, "the firmware does not know it");
    }
    if ((status & 0xFFFF) != code) continue;
    auto result0 = bar0_.read32(wormhole::kMessageArguments);
    if (!result0) return std::unexpected(std::move(result0).error());
    auto result1 = bar0_.read32(wormhole::kMessageResult1);
    if (!result1) return std::unexpected(std::move(result1).error());
    return ArcReply{static_cast<std::uint16_t>(status >> 16), *result0, *result1};
  } while (poll.again());
  return fail(Code::kTimeout, fmt::format("no answer; the status register last read {:#010x}", status));
}

}  // namespace warden::chip
