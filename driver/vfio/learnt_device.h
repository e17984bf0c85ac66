// SPDX-License-Identifier: Apache-2.0
// What every backend learns of its device while opening it, and what is checked against that before anything is asked
// of the transport.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "driver/vfio/device.h"

namespace warden::vfio {

class LearntDevice : public Device {
 public:
  [[nodiscard]] const std::string& name() const noexcept override { return name_; }
  [[nodiscard]] DeviceInfo info() const noexcept override { return info_; }
  [[nodiscard]] Result<RegionInfo> region(std::uint32_t index) const override;
  [[nodiscard]] Result<IrqInfo> irq(std::uint32_t index) const override;

 protected:
  explicit LearntDevice(std::string_view name) : name_(name) {}

  // Asks for as many regions and interrupts as `info` says, in their order.
  template <typename LearnRegion, typename LearnIrq>
  [[nodiscard]] Status learn_parts(DeviceInfo info, LearnRegion&& learn_region, LearnIrq&& learn_irq) {
    info_ = info;
    for (std::uint32_t index = 0; index < info.region_count; ++index) {
      Result<RegionInfo> learnt = learn_region(index);
      if (!learnt) return wrap(std::move(learnt).error(), fmt::format("region {}", index));
      regions_.push_back(std::move(*learnt));
    }
    for (std::uint32_t index = 0; index < info.irq_count; ++index) {
      Result<IrqInfo> learnt = learn_irq(index);
      if (!learnt) return wrap(std::move(learnt).error(), fmt::format("interrupt {}", index));
      irqs_.push_back(*learnt);
    }
    return {};
  }

  // From the capabilities of an answer about the region: those who sent it may lie.
  static void learn_mappable_areas(std::span<const std::byte> answer, std::size_t capability_offset,
                                   RegionInfo& region);
  [[nodiscard]] Status check_mappable(std::uint32_t region, std::uint64_t offset, std::uint64_t size_bytes) const;
  [[nodiscard]] Status check_range(std::uint32_t region, std::uint64_t offset, std::uint64_t size_bytes) const;
  [[nodiscard]] Status check_vectors(std::uint32_t irq, std::uint32_t start, std::size_t count) const;
  [[nodiscard]] Status check_automasked(std::uint32_t irq) const;

  // Set while opening, constant afterwards: no lock.
  std::string name_;
  DeviceInfo info_;
  std::vector<RegionInfo> regions_;
  std::vector<IrqInfo> irqs_;
};

}  // namespace warden::vfio
