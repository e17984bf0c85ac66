// SPDX-License-Identifier: Apache-2.0
// See learnt_device.h.
#include "driver/vfio/learnt_device.h"

#include <linux/vfio.h>

#include <algorithm>

#include "driver/vfio/capability.h"

namespace warden::vfio {
namespace {

std::vector<RegionArea> areas_of(std::span<const std::byte> capability) {
  using Area = vfio_region_sparse_mmap_area;
  const auto head = load_from<vfio_region_info_cap_sparse_mmap>(capability, 0);
  const std::size_t room = capability.size() > sizeof(head) ? (capability.size() - sizeof(head)) / sizeof(Area) : 0;
  std::vector<RegionArea> areas;
  for (std::size_t i = 0; i < std::min<std::size_t>(head.nr_areas, room); ++i) {
    const auto area = load_from<Area>(capability, sizeof(head) + i * sizeof(Area));
    if (area.size != 0) areas.push_back({area.offset, area.size});
  }
  std::ranges::sort(areas, {}, &RegionArea::offset);
  return areas;
}

}  // namespace

void LearntDevice::learn_mappable_areas(std::span<const std::byte> answer, std::size_t capability_offset,
                                        RegionInfo& region) {
  each_capability(answer, capability_offset, [&](std::uint16_t id, std::span<const std::byte> capability) {
    if (id != VFIO_REGION_INFO_CAP_SPARSE_MMAP) return;
    region.mappable_areas = areas_of(capability);
    region.mappable = region.mappable && !region.mappable_areas.empty();
  });
}

Result<RegionInfo> LearntDevice::region(std::uint32_t index) const {
  if (index < regions_.size()) return regions_[index];
  return fail(Code::kInvalidArgument, fmt::format("{}: there is no region {}", name_, index));
}

Result<IrqInfo> LearntDevice::irq(std::uint32_t index) const {
  if (index < irqs_.size()) return irqs_[index];
  return fail(Code::kInvalidArgument, fmt::format("{}: there is no interrupt {}", name_, index));
}

Status LearntDevice::check_range(std::uint32_t region, std::uint64_t offset, std::uint64_t size_bytes) const {
  if (region >= regions_.size()) return std::unexpected(LearntDevice::region(region).error());
  const std::uint64_t end = regions_[region].size_bytes;  // no copy of it: this is on the way of every access
  if (size_bytes <= end && offset <= end - size_bytes) return {};
  return fail(Code::kInvalidArgument, fmt::format("{}: {:#x}+{:#x} is outside of region {}, which has {:#x} bytes",
                                                  name_, offset, size_bytes, region, end));
}

Status LearntDevice::check_mappable(std::uint32_t region, std::uint64_t offset, std::uint64_t size_bytes) const {
  if (auto inside = check_range(region, offset, size_bytes); !inside) return inside;
  const RegionInfo& info = regions_[region];
  const auto holds = [&](const RegionArea& area) {
    return offset >= area.offset && size_bytes <= area.size_bytes &&
           offset - area.offset <= area.size_bytes - size_bytes;
  };
  if (info.mappable && (info.mappable_areas.empty() || std::ranges::any_of(info.mappable_areas, holds))) return {};
  return fail(Code::kUnsupported,
              fmt::format("{}: {:#x}+{:#x} of region {} can't be mapped", name_, offset, size_bytes, region));
}

Status LearntDevice::check_vectors(std::uint32_t irq, std::uint32_t start, std::size_t count) const {
  const auto known = LearntDevice::irq(irq);
  if (!known) return std::unexpected(known.error());
  if (count != 0 && count <= known->count && start <= known->count - count) return {};
  return fail(Code::kInvalidArgument,
              fmt::format("{}: interrupt {} has {} vectors, not {} from {}", name_, irq, known->count, count, start));
}

Status LearntDevice::check_automasked(std::uint32_t irq) const {
  const auto known = LearntDevice::irq(irq);
  if (!known) return std::unexpected(known.error());
  if (known->automasked) return {};
  return fail(Code::kUnsupported, fmt::format("{}: interrupt {} does not mask itself", name_, irq));
}

}  // namespace warden::vfio
