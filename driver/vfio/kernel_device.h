// SPDX-License-Identifier: Apache-2.0
// A card that the host's kernel passes on (vfio-pci), by whichever of its two interfaces.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "driver/pci/sysfs.h"
#include "driver/vfio/dma_space.h"
#include "driver/vfio/learnt_device.h"

namespace warden::vfio {

class KernelDevice final : public LearntDevice {
 public:
  // Of the host whose files `sysfs` shows: a test may show another.
  [[nodiscard]] static Result<std::unique_ptr<Device>> open(std::string_view name, const OpenOptions& options,
                                                            const pci::Sysfs& sysfs = {});
  // Descriptors as descriptors() gave them: three (group) or two (character device).
  [[nodiscard]] static Result<std::unique_ptr<Device>> adopt(std::string_view name, std::vector<UniqueFd> descriptors,
                                                             const pci::Sysfs& sysfs = {});

  [[nodiscard]] Status read(std::uint32_t region, std::uint64_t offset, std::span<std::byte> into) override;
  [[nodiscard]] Status write(std::uint32_t region, std::uint64_t offset, std::span<const std::byte> from) override;
  [[nodiscard]] Result<Mapping> map(std::uint32_t region, std::uint64_t offset, std::uint64_t size_bytes) override;
  [[nodiscard]] Status set_irq_eventfds(std::uint32_t index, std::uint32_t start, std::span<const int> fds) override;
  [[nodiscard]] Status disable_irqs(std::uint32_t index) override;
  [[nodiscard]] Status unmask_irq(std::uint32_t index) override;
  [[nodiscard]] Result<DmaLimits> dma_limits() override;
  [[nodiscard]] Status dma_map(Iova iova, std::uint64_t size_bytes, int memory, std::uint64_t offset,
                               DmaAccess access) override;
  [[nodiscard]] Status dma_unmap(Iova iova, std::uint64_t size_bytes) override;
  [[nodiscard]] Status reset() override;
  [[nodiscard]] Result<HotResetInfo> hot_reset_info() override;
  [[nodiscard]] Status hot_reset(std::span<Device* const> others) override;
  [[nodiscard]] std::vector<int> descriptors() const override;

 private:
  KernelDevice(std::string_view name, pci::Sysfs sysfs, DmaSpaceSeat space, UniqueFd device);

  [[nodiscard]] Status learn();
  [[nodiscard]] Result<RegionInfo> learn_region(std::uint32_t index);
  [[nodiscard]] Result<IrqInfo> learn_irq(std::uint32_t index) const;
  [[nodiscard]] int set_irqs(std::uint32_t flags, std::uint32_t index, std::uint32_t start, std::uint32_t count,
                             std::span<const int> fds) const;
  [[nodiscard]] Status check_dependents(std::span<const int> proofs);
  [[nodiscard]] std::unexpected<Error> failed(std::string_view doing, int error_number) const;

  // Set while opening, constant afterwards: no lock.
  pci::Sysfs sysfs_;
  DmaSpaceSeat space_;  // closed after the device
  UniqueFd device_;
  std::vector<std::uint64_t> file_offsets_;  // of each region's first byte in the device's descriptor
};

}  // namespace warden::vfio
