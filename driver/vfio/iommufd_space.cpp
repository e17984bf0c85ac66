// SPDX-License-Identifier: Apache-2.0
// iommufd and the VFIO device node. One iommufd a group, so that who takes it over knows its address space by number.
#include "driver/vfio/iommufd_space.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>

#include "driver/vfio/kernel_host.h"
#include "driver/vfio/kernel_uapi.h"

namespace warden::vfio {
namespace {

// The first object of an iommufd: ids begin at 1 and go up.
constexpr std::uint32_t kIoas = 1;

std::string iommufd_node(const pci::Sysfs& sysfs) { return sysfs.dev() + "/iommu"; }

}  // namespace

IommufdSpace::IommufdSpace(const pci::Sysfs& sysfs, std::uint32_t group, UniqueFd iommufd)
    : DmaSpace(group, sysfs), iommufd_(std::move(iommufd)) {}

bool IommufdSpace::is_possible(const pci::Sysfs& sysfs, const pci::Function& function) {
  return !function.device_node.empty() && pci::Sysfs::exists(iommufd_node(sysfs));
}

Result<std::shared_ptr<DmaSpace>> IommufdSpace::open(const pci::Sysfs& sysfs, const pci::Function& function) {
  if (!is_possible(sysfs, function)) {
    return fail(Code::kUnsupported, fmt::format("this kernel has no {} or no device node for the card (CONFIG_IOMMUFD, "
                                                "CONFIG_VFIO_DEVICE_CDEV); open it by its group",
                                                iommufd_node(sysfs)));
  }
  auto iommufd = open_node(iommufd_node(sysfs), "iommufd");
  if (!iommufd) return std::unexpected(std::move(iommufd).error());
  uapi::IoasAlloc made{.size_bytes = sizeof(made), .flags = 0, .out_ioas_id = 0};
  if (::ioctl(iommufd->get(), uapi::kIoasAlloc, &made) != 0) return fail_errno("make an I/O address space");
  if (made.out_ioas_id != kIoas) {
    return fail(Code::kUnsupported,
                fmt::format("the first I/O address space has the number {}, not {}", made.out_ioas_id, kIoas));
  }
  return std::shared_ptr<DmaSpace>(new IommufdSpace(sysfs, *function.iommu_group, std::move(*iommufd)));
}

Result<std::shared_ptr<DmaSpace>> IommufdSpace::adopt(const pci::Sysfs& sysfs, std::uint32_t group, UniqueFd iommufd) {
  std::shared_ptr<IommufdSpace> space(new IommufdSpace(sysfs, group, std::move(iommufd)));
  if (auto limits = space->ask_limits(); !limits) return wrap(std::move(limits).error(), "that is no iommufd of ours");
  return space;
}

Result<UniqueFd> IommufdSpace::open_device(const pci::Address& address) {
  auto function = pci::read_function(sysfs(), address);
  if (!function) return std::unexpected(std::move(function).error());
  auto device = open_node(function->device_node, "the card's node");
  if (!device) return device;
  uapi::DeviceBindIommufd bound{
      .argument_bytes = sizeof(bound), .flags = 0, .iommufd = iommufd_.get(), .out_device_id = 0};
  if (::ioctl(device->get(), uapi::kDeviceBindIommufd, &bound) != 0) {
    // EINVAL: the node is bound already; EBUSY or EPERM: others of its group are.
    if (errno != EINVAL && errno != EBUSY && errno != EPERM) return fail_errno("bind it to an iommufd");
    const std::string strangers = strangers_in_group(sysfs(), group());
    if (strangers.empty()) {
      return fail(Code::kBusy, fmt::format("the card (or another of IOMMU group {}) is open in another process; end "
                                           "that one (fuser -v {} /dev/vfio/{})",
                                           group(), function->device_node, group()));
    }
    return fail(Code::kBusy, fmt::format("IOMMU group {} is shared with {}; bind them to vfio-pci as well (warden "
                                         "bind), or move the card to another slot",
                                         group(), strangers));
  }
  uapi::DeviceAttachIommufd attached{.argument_bytes = sizeof(attached), .flags = 0, .page_table_id = kIoas};
  if (::ioctl(device->get(), uapi::kDeviceAttachIommufd, &attached) == 0) return device;
  return fail_errno("give it an I/O address space");
}

int IommufdSpace::map_pages(Iova iova, std::uint64_t size_bytes, const void* memory, DmaAccess access) {
  const auto kinds = static_cast<std::uint32_t>(access);
  uapi::IoasMap asked{
      .size_bytes = sizeof(asked),
      .flags = uapi::kMapFixedIova |
               ((kinds & static_cast<std::uint32_t>(DmaAccess::kCardReads)) != 0 ? uapi::kMapReadable : 0U) |
               ((kinds & static_cast<std::uint32_t>(DmaAccess::kCardWrites)) != 0 ? uapi::kMapWritable : 0U),
      .ioas_id = kIoas,
      .reserved = 0,
      .user_address = reinterpret_cast<std::uintptr_t>(memory),
      .length_bytes = size_bytes,
      .iova = iova.value};
  return ::ioctl(iommufd_.get(), uapi::kIoasMap, &asked) == 0 ? 0 : errno;
}

int IommufdSpace::unmap_pages(Iova iova, std::uint64_t size_bytes, std::uint64_t& unmapped_bytes) {
  uapi::IoasUnmap asked{.size_bytes = sizeof(asked), .ioas_id = kIoas, .iova = iova.value, .length_bytes = size_bytes};
  if (::ioctl(iommufd_.get(), uapi::kIoasUnmap, &asked) != 0) return errno;
  unmapped_bytes = asked.length_bytes;
  return 0;
}

Result<DmaLimits> IommufdSpace::ask_limits() {
  std::vector<uapi::IommuIovaRange> ranges;
  uapi::IoasIovaRanges asked{};
  for (;;) {
    asked = {.size_bytes = sizeof(asked),
             .ioas_id = kIoas,
             .range_count = static_cast<std::uint32_t>(ranges.size()),
             .reserved = 0,
             .ranges = reinterpret_cast<std::uintptr_t>(ranges.data()),
             .out_alignment_bytes = 0};
    if (::ioctl(iommufd_.get(), uapi::kIoasIovaRanges, &asked) == 0) break;
    if (errno != EMSGSIZE || asked.range_count <= ranges.size()) return fail_errno("ask for the IOMMU's limits");
    ranges.resize(asked.range_count);
  }
  ranges.resize(std::min<std::size_t>(ranges.size(), asked.range_count));
  // A mapping's memory is found by whole pages of the host, however fine the IOMMU is.
  const auto host_page_bytes = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  DmaLimits limits{.usable = {}, .page_sizes = std::max(asked.out_alignment_bytes, host_page_bytes)};
  for (const uapi::IommuIovaRange& range : ranges) limits.usable.push_back({Iova{range.first}, Iova{range.last}});
  return limits;
}

}  // namespace warden::vfio
