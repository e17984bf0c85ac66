// SPDX-License-Identifier: Apache-2.0
// An IOMMU group in a container of its own: the interface to VFIO that every kernel with VFIO has (type 1, version 2).
#pragma once

#include <memory>
#include <vector>

#include "driver/pci/function.h"
#include "driver/vfio/dma_space.h"

namespace warden::vfio {

class GroupSpace final : public DmaSpace {
 public:
  // Opens the function's group; a group without an IOMMU only when allowed.
  [[nodiscard]] static Result<std::shared_ptr<DmaSpace>> open(const pci::Sysfs& sysfs, const pci::Function& function,
                                                              bool allow_no_iommu);
  // Goes on with a group that has a container.
  [[nodiscard]] static Result<std::shared_ptr<DmaSpace>> adopt(const pci::Sysfs& sysfs, std::uint32_t group,
                                                               UniqueFd group_fd, UniqueFd container);

  [[nodiscard]] Result<UniqueFd> open_device(const pci::Address& address) override;
  [[nodiscard]] std::vector<int> descriptors() const override { return {group_fd_.get(), container_.get()}; }
  [[nodiscard]] int hot_reset_proof() const noexcept override { return group_fd_.get(); }

 private:
  GroupSpace(const pci::Sysfs& sysfs, std::uint32_t group, UniqueFd group_fd, UniqueFd container);

  [[nodiscard]] Status make_ready(bool allow_no_iommu);
  [[nodiscard]] Status check_viable() const;

  int map_pages(Iova iova, std::uint64_t size_bytes, const void* memory, DmaAccess access) override;
  int unmap_pages(Iova iova, std::uint64_t size_bytes, std::uint64_t& unmapped_bytes) override;
  Result<DmaLimits> ask_limits() override;

  UniqueFd container_;  // closed last
  UniqueFd group_fd_;
};

}  // namespace warden::vfio
