// SPDX-License-Identifier: Apache-2.0
// See learnt_device.h.
#include "driver/vfio/learnt_device.h"

namespace warden::vfio {

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
