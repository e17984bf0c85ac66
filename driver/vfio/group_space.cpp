// SPDX-License-Identifier: Apache-2.0
// <linux/vfio.h>: container, group, type 1 IOMMU.
#include "driver/vfio/group_space.h"

#include <fmt/format.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>

#include "driver/vfio/capability.h"
#include "driver/vfio/kernel_host.h"

namespace warden::vfio {

GroupSpace::GroupSpace(const pci::Sysfs& sysfs, std::uint32_t group, UniqueFd group_fd, UniqueFd container)
    : DmaSpace(group, sysfs), container_(std::move(container)), group_fd_(std::move(group_fd)) {}

Result<std::shared_ptr<DmaSpace>> GroupSpace::open(const pci::Sysfs& sysfs, const pci::Function& function,
                                                   bool allow_no_iommu) {
  const std::uint32_t group = *function.iommu_group;
  const bool is_confined = !function.group_node.contains("/noiommu-");
  if (!is_confined && !allow_no_iommu) {
    return fail(Code::kUnsupported,
                "no IOMMU stands before this card (VFIO's no-IOMMU mode): it could write to all "
                "memory of the host; switch the IOMMU on, or allow this by name");
  }
  const std::string node =
      function.group_node.empty() ? fmt::format("{}/vfio/{}", sysfs.dev(), group) : function.group_node;
  auto container = open_node(sysfs.dev() + "/vfio/vfio", "VFIO's container");
  if (!container) return std::unexpected(std::move(container).error());
  auto group_fd = open_node(node, fmt::format("IOMMU group {}", group));
  if (!group_fd) return std::unexpected(std::move(group_fd).error());
  std::shared_ptr<GroupSpace> space(new GroupSpace(sysfs, group, std::move(*group_fd), std::move(*container)));
  if (auto viable = space->check_viable(); !viable) return std::unexpected(std::move(viable).error());
  if (auto ready = space->make_ready(!is_confined); !ready) return std::unexpected(std::move(ready).error());
  return space;
}

Result<std::shared_ptr<DmaSpace>> GroupSpace::adopt(const pci::Sysfs& sysfs, std::uint32_t group, UniqueFd group_fd,
                                                    UniqueFd container) {
  vfio_group_status status{.argsz = sizeof(status), .flags = 0};
  if (::ioctl(group_fd.get(), VFIO_GROUP_GET_STATUS, &status) != 0) return fail_errno("that is no VFIO group");
  if ((status.flags & VFIO_GROUP_FLAGS_CONTAINER_SET) == 0) {
    return fail(Code::kInvalidArgument, "the VFIO group has no container");
  }
  return std::shared_ptr<DmaSpace>(new GroupSpace(sysfs, group, std::move(group_fd), std::move(container)));
}

Status GroupSpace::check_viable() const {
  vfio_group_status status{.argsz = sizeof(status), .flags = 0};
  if (::ioctl(group_fd_.get(), VFIO_GROUP_GET_STATUS, &status) != 0) return fail_errno("ask for the group's state");
  if ((status.flags & VFIO_GROUP_FLAGS_VIABLE) != 0) return {};
  return fail(Code::kBusy,
              fmt::format("IOMMU group {} is shared with {}: nobody can use it while another driver does; bind them to "
                          "vfio-pci as well (warden bind), or move the card to another slot",
                          group(), strangers_in_group(sysfs(), group())));
}

Status GroupSpace::make_ready(bool is_without_iommu) {
  if (const int version = ::ioctl(container_.get(), VFIO_GET_API_VERSION); version != VFIO_API_VERSION) {
    return fail(Code::kUnsupported, fmt::format("the kernel's VFIO has version {}, not {}", version, VFIO_API_VERSION));
  }
  const int kind = is_without_iommu ? VFIO_NOIOMMU_IOMMU : VFIO_TYPE1v2_IOMMU;
  if (::ioctl(container_.get(), VFIO_CHECK_EXTENSION, kind) <= 0) {
    return fail(Code::kUnsupported, "VFIO has no driver for this IOMMU; load it: modprobe vfio_iommu_type1");
  }
  const int container = container_.get();
  if (::ioctl(group_fd_.get(), VFIO_GROUP_SET_CONTAINER, &container) != 0) return fail_errno("use the group");
  if (::ioctl(container, VFIO_SET_IOMMU, kind) == 0) return {};
  if (errno == EPERM && !is_without_iommu) {
    return fail(Code::kPermission,
                "the IOMMU does not remap interrupts: the card could raise any of the host; switch interrupt remapping "
                "on in the firmware, or accept that: modprobe vfio_iommu_type1 allow_unsafe_interrupts=1");
  }
  return fail_errno("use the IOMMU");
}

Result<UniqueFd> GroupSpace::open_device(const pci::Address& address) {
  UniqueFd device(::ioctl(group_fd_.get(), VFIO_GROUP_GET_DEVICE_FD, address.text().c_str()));
  if (device) return device;
  if (errno == EBUSY) return fail(Code::kBusy, "the card is open in another process; end that one");
  return fail_errno(fmt::format("take it out of IOMMU group {}", group()));
}

int GroupSpace::map_pages(Iova iova, std::uint64_t size_bytes, const void* memory, DmaAccess access) {
  const auto kinds = static_cast<std::uint32_t>(access);
  vfio_iommu_type1_dma_map asked{
      .argsz = sizeof(asked),
      .flags = ((kinds & static_cast<std::uint32_t>(DmaAccess::kCardReads)) != 0 ? VFIO_DMA_MAP_FLAG_READ : 0U) |
               ((kinds & static_cast<std::uint32_t>(DmaAccess::kCardWrites)) != 0 ? VFIO_DMA_MAP_FLAG_WRITE : 0U),
      .vaddr = reinterpret_cast<std::uintptr_t>(memory),
      .iova = iova.value,
      .size = size_bytes};
  return ::ioctl(container_.get(), VFIO_IOMMU_MAP_DMA, &asked) == 0 ? 0 : errno;
}

int GroupSpace::unmap_pages(Iova iova, std::uint64_t size_bytes, std::uint64_t& unmapped_bytes) {
  vfio_iommu_type1_dma_unmap asked{.argsz = sizeof(asked), .flags = 0, .iova = iova.value, .size = size_bytes};
  if (::ioctl(container_.get(), VFIO_IOMMU_UNMAP_DMA, &asked) != 0) return errno;
  unmapped_bytes = asked.size;
  return 0;
}

Result<DmaLimits> GroupSpace::ask_limits() {
  auto info = ask_with_capabilities<vfio_iommu_type1_info>(container_.get(), VFIO_IOMMU_GET_INFO);
  if (!info && ::ioctl(container_.get(), VFIO_CHECK_EXTENSION, VFIO_NOIOMMU_IOMMU) > 0) {
    return fail(Code::kUnsupported, kNoDmaWithoutIommu);
  }
  if (!info) return wrap(std::move(info).error(), "ask for the IOMMU's limits");
  DmaLimits limits{.usable = {}, .page_sizes = info->fixed().iova_pgsizes};
  each_capability(info->bytes(), info->fixed().flags & VFIO_IOMMU_INFO_CAPS ? info->fixed().cap_offset : 0,
                  [&](std::uint16_t id, std::span<const std::byte> bytes) {
                    if (id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE) {
                      const auto head = load_from<vfio_iommu_type1_info_cap_iova_range>(bytes, 0);
                      for (std::uint32_t i = 0; i < head.nr_iovas; ++i) {
                        const auto range =
                            load_from<vfio_iova_range>(bytes, sizeof(head) + i * sizeof(vfio_iova_range));
                        limits.usable.push_back({Iova{range.start}, Iova{range.end}});
                      }
                    } else if (id == VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL) {
                      limits.mappings_left = load_from<vfio_iommu_type1_info_dma_avail>(bytes, 0).avail;
                    }
                  });
  return limits;
}

}  // namespace warden::vfio
