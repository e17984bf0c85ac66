// SPDX-License-Identifier: Apache-2.0
// What the driver takes for true of a card although no published source says so, or two disagree: each is read from a
// card, and what was found is set beside what was taken for true.
#pragma once

#include <span>
#include <string>

#include <warden/result.h>

#include "driver/chip/bar.h"
#include "driver/pci/sysfs.h"
#include "driver/vfio/device.h"

namespace warden::hw {

struct Card {
  vfio::Device& device;
  chip::Bar& bar0;
  pci::Sysfs sysfs;  // for what only the kernel's files tell; a card on a socket has none there
};

enum class Verdict { kAsAssumed, kDiffers, kOpen };

struct Answer {
  Verdict verdict = Verdict::kOpen;
  std::string found;
};

struct Fact {
  const char* name;
  const char* assumed;
  bool resets;  // the card is reset to find out: only when asked for
  Result<Answer> (*read)(const Card& card);
};

[[nodiscard]] std::span<const Fact> facts();

}  // namespace warden::hw
