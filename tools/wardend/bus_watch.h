// SPDX-License-Identifier: Apache-2.0
// What the kernel says of a card of its own accord: it wants the card back (somebody unbinds it, or it was pulled out),
// or the bus has reported an error.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <warden/result.h>
#include <warden/unique_fd.h>

#include "driver/vfio/device.h"
#include "tools/wardend/devices.h"
#include "tools/wardend/keeper_link.h"

namespace warden::daemon {

enum class BusWord : std::uint8_t { kWantedBack, kError };

// Threads: arm() from any; the rest from one.
class BusWatch {
 public:
  // Goes on with what the last worker listened to: what was said between the two is heard.
  [[nodiscard]] static Result<BusWatch> create(const Devices& devices, KeptTable& kept, KeeperLink& keeper);

  // Lets the kernel's words about this card signal us from now on, whoever listened before. A device without such
  // interrupts has nothing to say: no error.
  [[nodiscard]] Status arm(std::uint32_t device_index, vfio::Device& device) const;

  // Readable when something was said; by number.
  [[nodiscard]] const std::vector<UniqueFd>& descriptors() const noexcept { return events_; }
  [[nodiscard]] static std::uint32_t device_of(std::uint64_t number) noexcept {
    return static_cast<std::uint32_t>(number / 2);
  }
  // Takes it; nothing when it was taken before.
  [[nodiscard]] std::optional<BusWord> take(std::uint64_t number) const;

 private:
  std::vector<UniqueFd> events_;  // two a device, in the order of BusWord
};

}  // namespace warden::daemon
