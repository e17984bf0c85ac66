// SPDX-License-Identifier: Apache-2.0
// Groups are looked up by name when wardend starts; a card keeps its group for as long as the host runs.
#include "tools/wardend/dma_spaces.h"

#include <fmt/format.h>

#include <algorithm>

#include "driver/pci/function.h"

namespace warden::daemon {

namespace {

std::string space_of(const std::string& device_name) {
  const auto address = pci::Address::parse(device_name);
  const auto function = address ? pci::read_function(pci::Sysfs(), *address) : std::unexpected(address.error());
  if (!function || !function->iommu_group) return device_name;
  return fmt::format("IOMMU group {}", *function->iommu_group);
}

}  // namespace

DmaSpaces::DmaSpaces(const Devices& devices) {
  for (std::uint32_t index = 0; index < devices.count(); ++index) {
    names_.push_back(space_of(devices.at(index).name()));
  }
}

vfio::IovaAllocator* DmaSpaces::find(std::uint32_t device_index) {
  const auto found = spaces_.find(names_[device_index]);
  return found == spaces_.end() ? nullptr : &found->second;
}

Result<vfio::IovaAllocator*> DmaSpaces::make(std::uint32_t device_index, chip::Chip& chip) {
  const auto limits = chip.device().dma_limits();
  if (!limits) return std::unexpected(limits.error());
  const chip::HostReach reach = chip.host_reach();
  vfio::IovaAllocator space(reach.first, reach.size_bytes);
  for (const auto& [begin, size_bytes] : holes(limits->usable, reach.first, reach.size_bytes)) {
    if (Status claimed = space.claim(begin, size_bytes); !claimed) return std::unexpected(claimed.error());
  }
  return &spaces_.emplace(names_[device_index], std::move(space)).first->second;
}

std::vector<std::pair<vfio::Iova, std::uint64_t>> holes(const std::vector<vfio::IovaRange>& usable, vfio::Iova first,
                                                        std::uint64_t size_bytes) {
  std::vector<std::pair<vfio::Iova, std::uint64_t>> found;
  const std::uint64_t end = first.value + size_bytes;
  std::uint64_t at = first.value;  // everything below is dealt with
  for (const vfio::IovaRange& range : usable) {
    if (range.first.value > at) {
      const std::uint64_t hole_end = std::min(range.first.value, end);
      found.emplace_back(vfio::Iova{at}, hole_end - at);
      at = hole_end;
    }
    if (range.last.value >= end - 1) return found;
    at = std::max(at, range.last.value + 1);
  }
  if (at < end) found.emplace_back(vfio::Iova{at}, end - at);
  return found;
}

}  // namespace warden::daemon
