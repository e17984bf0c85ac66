// SPDX-License-Identifier: Apache-2.0
// Which IOVAs of each card are taken. A card alone in its IOMMU group has a space of its own; cards of one group see
// each other's mappings, and share one.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <warden/result.h>

#include "driver/chip/chip.h"
#include "driver/vfio/iova_allocator.h"
#include "tools/wardend/devices.h"

namespace warden::daemon {

// Threads: one at a time.
class DmaSpaces {
 public:
  explicit DmaSpaces(const Devices& devices);

  // Whether two cards (or one and itself) see the same mappings.
  [[nodiscard]] bool share(std::uint32_t one, std::uint32_t other) const { return names_[one] == names_[other]; }
  // Null before make().
  [[nodiscard]] vfio::IovaAllocator* find(std::uint32_t device_index);
  // Of what this chip can reach, without what the host keeps for itself (its interrupt window, reserved memory).
  [[nodiscard]] Result<vfio::IovaAllocator*> make(std::uint32_t device_index, chip::Chip& chip);

 private:
  std::vector<std::string> names_;  // by device: the group's, or the card's own
  std::map<std::string, vfio::IovaAllocator> spaces_;
};

// What lies in [first, first + size_bytes) outside of every usable range, as begin and size. The ranges ascend.
[[nodiscard]] std::vector<std::pair<vfio::Iova, std::uint64_t>> holes(const std::vector<vfio::IovaRange>& usable,
                                                                      vfio::Iova first, std::uint64_t size_bytes);

}  // namespace warden::daemon
