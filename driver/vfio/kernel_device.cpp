// SPDX-License-Identifier: Apache-2.0
// What each Device call asks of the kernel.
#include "driver/vfio/kernel_device.h"

#include <fmt/format.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace warden::vfio {

static_assert(kIntxIrq == VFIO_PCI_INTX_IRQ_INDEX && kMsiIrq == VFIO_PCI_MSI_IRQ_INDEX);
static_assert(kMsixIrq == VFIO_PCI_MSIX_IRQ_INDEX && kErrorIrq == VFIO_PCI_ERR_IRQ_INDEX);
static_assert(kRequestIrq == VFIO_PCI_REQ_IRQ_INDEX);

// ENODEV from an open device: it was removed, and this descriptor never works again.
std::unexpected<Error> KernelDevice::failed(std::string_view doing, int error_number) const {
  const bool is_gone = error_number == ENODEV || error_number == ENXIO;
  return fail(is_gone ? Code::kDisconnected : code_of_errno(error_number),
              fmt::format("{}: {}: {}", name_, doing, is_gone ? "the card is gone" : std::strerror(error_number)));
}

// The kernel cuts into the widest aligned accesses that it knows: of 8 bytes since 6.10, of 4 before.
Status KernelDevice::read(std::uint32_t region, std::uint64_t offset, std::span<std::byte> into) {
  if (auto inside = check_range(region, offset, into.size()); !inside) return inside;
  while (!into.empty()) {
    const ssize_t got =
        ::pread(device_.get(), into.data(), into.size(), static_cast<off_t>(file_offsets_[region] + offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      return failed(fmt::format("read {} bytes of region {} at {:#x}", into.size(), region, offset),
                    got < 0 ? errno : EIO);
    }
    into = into.subspan(static_cast<std::size_t>(got));
    offset += static_cast<std::uint64_t>(got);
  }
  return {};
}

Status KernelDevice::write(std::uint32_t region, std::uint64_t offset, std::span<const std::byte> from) {
  if (auto inside = check_range(region, offset, from.size()); !inside) return inside;
  while (!from.empty()) {
    const ssize_t put =
        ::pwrite(device_.get(), from.data(), from.size(), static_cast<off_t>(file_offsets_[region] + offset));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) {
      return failed(fmt::format("write {} bytes of region {} at {:#x}", from.size(), region, offset),
                    put < 0 ? errno : EIO);
    }
    from = from.subspan(static_cast<std::size_t>(put));
    offset += static_cast<std::uint64_t>(put);
  }
  return {};
}

Result<Mapping> KernelDevice::map(std::uint32_t region, std::uint64_t offset, std::uint64_t size_bytes) {
  if (auto good = check_mappable(region, offset, size_bytes); !good) return std::unexpected(std::move(good).error());
  const RegionInfo& info = regions_[region];
  const int protection = (info.readable ? PROT_READ : 0) | (info.writable ? PROT_WRITE : 0);
  void* base = ::mmap(nullptr, size_bytes, protection, MAP_SHARED, device_.get(),
                      static_cast<off_t>(file_offsets_[region] + offset));
  if (base == MAP_FAILED) return failed(fmt::format("map {:#x} bytes of region {}", size_bytes, region), errno);
  return mappings_.add(base, size_bytes);
}

int KernelDevice::set_irqs(std::uint32_t flags, std::uint32_t index, std::uint32_t start, std::uint32_t count,
                           std::span<const int> fds) const {
  const vfio_irq_set head{.argsz = static_cast<std::uint32_t>(sizeof(head) + fds.size_bytes()),
                          .flags = flags,
                          .index = index,
                          .start = start,
                          .count = count};
  std::vector<std::byte> asked(head.argsz);
  std::memcpy(asked.data(), &head, sizeof(head));
  if (!fds.empty()) std::memcpy(asked.data() + sizeof(head), fds.data(), fds.size_bytes());
  return ::ioctl(device_.get(), VFIO_DEVICE_SET_IRQS, asked.data()) == 0 ? 0 : errno;
}

Status KernelDevice::set_irq_eventfds(std::uint32_t index, std::uint32_t start, std::span<const int> fds) {
  if (auto known = check_vectors(index, start, fds.size()); !known) return known;
  const int error = set_irqs(VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, index, start,
                             static_cast<std::uint32_t>(fds.size()), fds);
  if (error == 0) return {};
  const auto doing = fmt::format("set {} eventfds of interrupt {} from {}", fds.size(), index, start);
  if (error != EINVAL) return failed(doing, error);
  return fail(Code::kInvalidArgument,
              fmt::format("{}: {}: the kernel refuses; only one of INTx, MSI and MSI-X is possible at a time, and the "
                          "first call names all vectors that will be used (disable_irqs() begins anew)",
                          name_, doing));
}

Status KernelDevice::disable_irqs(std::uint32_t index) {
  if (auto known = irq(index); !known) return std::unexpected(std::move(known).error());
  const int error = set_irqs(VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, index, 0, 0, {});
  // The kernel says EINVAL when none of this kind is set: what was asked for is so.
  if (error == 0 || error == EINVAL) return {};
  return failed(fmt::format("disable interrupt {}", index), error);
}

Status KernelDevice::unmask_irq(std::uint32_t index) {
  if (auto known = check_automasked(index); !known) return known;
  const int error = set_irqs(VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK, index, 0, 1, {});
  if (error == 0) return {};
  return failed(fmt::format("unmask interrupt {}", index), error);
}

Result<DmaLimits> KernelDevice::dma_limits() {
  auto limits = space_->limits();
  if (limits) return limits;
  return wrap(std::move(limits).error(), name_);
}

Status KernelDevice::dma_map(Iova iova, std::uint64_t size_bytes, int memory, std::uint64_t offset, DmaAccess access) {
  auto done = space_->map(iova, size_bytes, memory, offset, access);
  if (done) return {};
  return wrap(std::move(done).error(), fmt::format("{}: map {:#x} bytes at IOVA {:#x}", name_, size_bytes, iova.value));
}

Status KernelDevice::dma_unmap(Iova iova, std::uint64_t size_bytes) {
  auto done = space_->unmap(iova, size_bytes);
  if (done) return {};
  return wrap(std::move(done).error(),
              fmt::format("{}: unmap {:#x} bytes at IOVA {:#x}", name_, size_bytes, iova.value));
}

std::vector<int> KernelDevice::descriptors() const {
  std::vector<int> all{device_.get()};
  for (const int fd : space_->descriptors()) all.push_back(fd);
  return all;
}

}  // namespace warden::vfio
