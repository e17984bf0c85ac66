// SPDX-License-Identifier: Apache-2.0
// How a card of the kernel's is opened or taken over, and what it consists of.
#include <fmt/format.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>

#include <cerrno>

#include "driver/vfio/capability.h"
#include "driver/vfio/group_space.h"
#include "driver/vfio/iommufd_space.h"
#include "driver/vfio/kernel_device.h"
#include "driver/vfio/kernel_host.h"

namespace warden::vfio {
namespace {

constexpr std::size_t kGroupDescriptors = 3;
constexpr std::size_t kDeviceDescriptors = 2;

Result<std::shared_ptr<DmaSpace>> open_space(const pci::Sysfs& sysfs, const pci::Function& function,
                                             const OpenOptions& options) {
  const bool by_node =
      options.kernel_interface == KernelInterface::kCharacterDevice ||
      (options.kernel_interface == KernelInterface::kAutomatic && IommufdSpace::is_possible(sysfs, function));
  if (by_node) return IommufdSpace::open(sysfs, function);
  return GroupSpace::open(sysfs, function, options.allow_no_iommu);
}

}  // namespace

KernelDevice::KernelDevice(std::string_view name, pci::Sysfs sysfs, DmaSpaceSeat space, UniqueFd device)
    : LearntDevice(name), sysfs_(std::move(sysfs)), space_(std::move(space)), device_(std::move(device)) {}

Result<std::unique_ptr<Device>> KernelDevice::open(std::string_view name, const OpenOptions& options,
                                                   const pci::Sysfs& sysfs) {
  const auto address = pci::Address::parse(name);
  if (!address) return std::unexpected(address.error());
  const auto function = ready_function(sysfs, *address);
  if (!function) return std::unexpected(function.error());
  const auto in_words = fmt::format("open {}", name);
  auto space = DmaSpaces::of_this_process().join(*function->iommu_group, *address,
                                                 [&] { return open_space(sysfs, *function, options); });
  if (!space) return wrap(std::move(space).error(), in_words);
  DmaSpaceSeat seat(std::move(*space), *address);
  auto fd = seat->open_device(*address);
  if (!fd) return wrap(std::move(fd).error(), in_words);
  std::unique_ptr<KernelDevice> device(new KernelDevice(name, sysfs, std::move(seat), std::move(*fd)));
  if (auto learnt = device->learn(); !learnt) return wrap(std::move(learnt).error(), in_words);
  return device;
}

Result<std::unique_ptr<Device>> KernelDevice::adopt(std::string_view name, std::vector<UniqueFd> descriptors,
                                                    const pci::Sysfs& sysfs) {
  const auto in_words = fmt::format("adopt {}", name);
  if (descriptors.size() != kGroupDescriptors && descriptors.size() != kDeviceDescriptors) {
    return fail(Code::kInvalidArgument, fmt::format("{}: a card of the kernel's is two or three descriptors, not {}",
                                                    in_words, descriptors.size()));
  }
  const auto address = pci::Address::parse(name);
  if (!address) return std::unexpected(address.error());
  const auto function = pci::read_function(sysfs, *address);
  if (!function) return wrap(function.error(), in_words);
  if (!function->iommu_group) return fail(Code::kInvalidArgument, in_words + ": it is in no IOMMU group");
  const std::uint32_t group = *function->iommu_group;
  // Of the second function of a group only the device is new; its copies of the rest are closed with `descriptors`.
  auto space = DmaSpaces::of_this_process().join(group, *address, [&] {
    return descriptors.size() == kGroupDescriptors
               ? GroupSpace::adopt(sysfs, group, std::move(descriptors[1]), std::move(descriptors[2]))
               : IommufdSpace::adopt(sysfs, group, std::move(descriptors[1]));
  });
  if (!space) return wrap(std::move(space).error(), in_words);
  std::unique_ptr<KernelDevice> device(
      new KernelDevice(name, sysfs, DmaSpaceSeat(std::move(*space), *address), std::move(descriptors.front())));
  if (auto learnt = device->learn(); !learnt) return wrap(std::move(learnt).error(), in_words);
  return device;
}

Status KernelDevice::learn() {
  vfio_device_info info{};
  info.argsz = sizeof(info);
  if (::ioctl(device_.get(), VFIO_DEVICE_GET_INFO, &info) != 0) return fail_errno("ask what it is");
  if ((info.flags & VFIO_DEVICE_FLAGS_PCI) == 0) return fail(Code::kInvalidArgument, "it is no PCI function");
  file_offsets_.resize(info.num_regions);
  return learn_parts(
      {info.num_regions, info.num_irqs, (info.flags & VFIO_DEVICE_FLAGS_RESET) != 0},
      [this](std::uint32_t index) { return learn_region(index); },
      [this](std::uint32_t index) { return learn_irq(index); });
}

Result<RegionInfo> KernelDevice::learn_region(std::uint32_t index) {
  vfio_region_info asked{};
  asked.index = index;
  auto answer = ask_with_capabilities(device_.get(), VFIO_DEVICE_GET_REGION_INFO, asked);
  // So the kernel says that this function has no such region (VGA).
  if (!answer && answer.error().code == Code::kInvalidArgument) return RegionInfo{.index = index};
  if (!answer) return std::unexpected(std::move(answer).error());
  const vfio_region_info info = answer->fixed();
  file_offsets_[index] = info.offset;
  RegionInfo region{.index = index,
                    .size_bytes = info.size,
                    .readable = (info.flags & VFIO_REGION_INFO_FLAG_READ) != 0,
                    .writable = (info.flags & VFIO_REGION_INFO_FLAG_WRITE) != 0,
                    .mappable = (info.flags & VFIO_REGION_INFO_FLAG_MMAP) != 0};
  if ((info.flags & VFIO_REGION_INFO_FLAG_CAPS) != 0) learn_mappable_areas(answer->bytes(), info.cap_offset, region);
  return region;
}

Result<IrqInfo> KernelDevice::learn_irq(std::uint32_t index) const {
  vfio_irq_info info{};
  info.argsz = sizeof(info);
  info.index = index;
  if (::ioctl(device_.get(), VFIO_DEVICE_GET_IRQ_INFO, &info) != 0) {
    if (errno == EINVAL) return IrqInfo{.index = index};  // this function has none of that kind
    return fail_errno("ask");
  }
  return IrqInfo{index, info.count, (info.flags & VFIO_IRQ_INFO_EVENTFD) != 0,
                 (info.flags & VFIO_IRQ_INFO_AUTOMASKED) != 0};
}

}  // namespace warden::vfio
