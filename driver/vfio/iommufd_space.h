// SPDX-License-Identifier: Apache-2.0
// An I/O address space of an iommufd, with devices opened by their own nodes: what kernels from 6.6 on have besides
// groups, if they were built with CONFIG_IOMMUFD and CONFIG_VFIO_DEVICE_CDEV.
#pragma once

#include <memory>
#include <vector>

#include "driver/pci/function.h"
#include "driver/vfio/dma_space.h"

namespace warden::vfio {

class IommufdSpace final : public DmaSpace {
 public:
  // Whether this host has what it takes for that function.
  [[nodiscard]] static bool is_possible(const pci::Sysfs& sysfs, const pci::Function& function);

  [[nodiscard]] static Result<std::shared_ptr<DmaSpace>> open(const pci::Sysfs& sysfs, const pci::Function& function);
  // Goes on with an iommufd in which open() made the address space.
  [[nodiscard]] static Result<std::shared_ptr<DmaSpace>> adopt(const pci::Sysfs& sysfs, std::uint32_t group,
                                                               UniqueFd iommufd);

  [[nodiscard]] Result<UniqueFd> open_device(const pci::Address& address) override;
  [[nodiscard]] std::vector<int> descriptors() const override { return {iommufd_.get()}; }
  [[nodiscard]] int hot_reset_proof() const noexcept override { return -1; }

 private:
  IommufdSpace(const pci::Sysfs& sysfs, std::uint32_t group, UniqueFd iommufd);

  int map_pages(Iova iova, std::uint64_t size_bytes, const void* memory, DmaAccess access) override;
  int unmap_pages(Iova iova, std::uint64_t size_bytes, std::uint64_t& unmapped_bytes) override;
  Result<DmaLimits> ask_limits() override;

  UniqueFd iommufd_;
};

}  // namespace warden::vfio
