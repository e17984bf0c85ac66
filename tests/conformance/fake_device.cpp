// SPDX-License-Identifier: Apache-2.0
// Regions as files in memory.
#include "tests/conformance/fake_device.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/vfio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include <algorithm>

namespace warden::testing {
namespace {

constexpr std::uint64_t kPageBytes = 4096;
constexpr std::uint64_t kConfigBytes = 4096;

}  // namespace

std::unique_ptr<FakeDevice> FakeDevice::create(const FakeOptions& options) {
  std::unique_ptr<FakeDevice> device(new FakeDevice);
  device->regions_.resize(VFIO_PCI_NUM_REGIONS);
  device->irqs_.resize(VFIO_PCI_NUM_IRQS);
  device->irqs_[VFIO_PCI_MSI_IRQ_INDEX].resize(1);
  for (std::uint32_t index = 0; index < VFIO_PCI_NUM_REGIONS; ++index) {
    device->regions_[index].info = {};
    device->regions_[index].info.index = index;
  }
  if (!device->add_region(VFIO_PCI_BAR0_REGION_INDEX, options.bar0_bytes, options.mappable)) return nullptr;
  if (!device->add_region(VFIO_PCI_BAR2_REGION_INDEX, 1 << 20, options.mappable)) return nullptr;
  if (!device->add_region(VFIO_PCI_BAR4_REGION_INDEX, 32 << 20, options.mappable)) return nullptr;
  if (!device->add_region(VFIO_PCI_CONFIG_REGION_INDEX, kConfigBytes, false)) return nullptr;
  device->dead_ = options.dead;
  const std::uint32_t id = 0x401E'1E52;
  if (!device->write(VFIO_PCI_CONFIG_REGION_INDEX, 0, std::as_bytes(std::span(&id, 1)))) return nullptr;
  return device;
}

Status FakeDevice::add_region(std::uint32_t index, std::uint64_t size_bytes, bool mappable) {
  UniqueFd memory(::memfd_create("fake-region", MFD_CLOEXEC));
  if (!memory || ::ftruncate(memory.get(), static_cast<off_t>(size_bytes)) != 0) return fail_errno("memfd");
  regions_[index] = {{index, size_bytes, true, true, mappable, {}}, std::move(memory)};
  return {};
}

bool FakeDevice::raise(std::uint32_t index, std::uint32_t vector) {
  if (index >= irqs_.size() || vector >= irqs_[index].size() || !irqs_[index][vector]) return false;
  return ::eventfd_write(irqs_[index][vector].get(), 1) == 0;
}

vfio::DeviceInfo FakeDevice::info() const noexcept { return {VFIO_PCI_NUM_REGIONS, VFIO_PCI_NUM_IRQS, true}; }

Result<vfio::RegionInfo> FakeDevice::region(std::uint32_t index) const {
  if (index < regions_.size()) return regions_[index].info;
  return fail(Code::kInvalidArgument, fmt::format("there is no region {}", index));
}

Result<vfio::IrqInfo> FakeDevice::irq(std::uint32_t index) const {
  if (index >= irqs_.size()) return fail(Code::kInvalidArgument, fmt::format("there is no interrupt {}", index));
  return vfio::IrqInfo{index, static_cast<std::uint32_t>(irqs_[index].size()), true, false};
}

Status FakeDevice::check(std::uint32_t region, std::uint64_t offset, std::uint64_t size_bytes) const {
  const std::uint64_t end = region < regions_.size() ? regions_[region].info.size_bytes : 0;
  if (size_bytes <= end && offset <= end - size_bytes) return {};
  return fail(Code::kInvalidArgument, fmt::format("{:#x}+{:#x} is outside of region {}", offset, size_bytes, region));
}

Status FakeDevice::read(std::uint32_t region, std::uint64_t offset, std::span<std::byte> into) {
  if (auto inside = check(region, offset, into.size()); !inside) return inside;
  if (dead_) std::fill(into.begin(), into.end(), std::byte{0xFF});
  if (dead_) return {};
  if (::pread(regions_[region].memory.get(), into.data(), into.size(), static_cast<off_t>(offset)) ==
      static_cast<ssize_t>(into.size())) {
    return {};
  }
  return fail_errno("pread");
}

Status FakeDevice::write(std::uint32_t region, std::uint64_t offset, std::span<const std::byte> from) {
  if (auto inside = check(region, offset, from.size()); !inside) return inside;
  if (dead_) return {};
  if (::pwrite(regions_[region].memory.get(), from.data(), from.size(), static_cast<off_t>(offset)) ==
      static_cast<ssize_t>(from.size())) {
    return {};
  }
  return fail_errno("pwrite");
}

Result<vfio::Mapping> FakeDevice::map(std::uint32_t region, std::uint64_t offset, std::uint64_t size) {
  if (auto inside = check(region, offset, size); !inside) return std::unexpected(std::move(inside).error());
  if (!regions_[region].info.mappable) return fail(Code::kUnsupported, "this region can't be mapped");
  void* base = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, regions_[region].memory.get(),
                      static_cast<off_t>(offset));
  if (base == MAP_FAILED) return fail_errno("mmap");
  return mappings_.add(base, size);
}

Status FakeDevice::set_irq_eventfds(std::uint32_t index, std::uint32_t start, std::span<const int> fds) {
  if (index >= irqs_.size() || fds.empty() || fds.size() > irqs_[index].size() ||
      start > irqs_[index].size() - fds.size()) {
    return fail(Code::kInvalidArgument, "no such interrupt vector");
  }
  for (std::size_t i = 0; i < fds.size(); ++i) {
    irqs_[index][start + i].reset(::fcntl(fds[i], F_DUPFD_CLOEXEC, 0));
  }
  return {};
}

Status FakeDevice::disable_irqs(std::uint32_t index) {
  if (index >= irqs_.size()) return fail(Code::kInvalidArgument, "no such interrupt");
  for (UniqueFd& fd : irqs_[index]) fd.reset();
  return {};
}

Status FakeDevice::unmask_irq(std::uint32_t) { return fail(Code::kUnsupported, "no interrupt here masks itself"); }

Result<vfio::DmaLimits> FakeDevice::dma_limits() {
  return vfio::DmaLimits{.usable = {{vfio::Iova{0}, vfio::Iova{~std::uint64_t{0}}}}, .page_sizes = kPageBytes};
}

Status FakeDevice::dma_map(vfio::Iova iova, std::uint64_t size_bytes, int, std::uint64_t offset, vfio::DmaAccess) {
  if (size_bytes == 0 || (iova.value | size_bytes | offset) % kPageBytes != 0) {
    return fail(Code::kInvalidArgument, "not whole pages");
  }
  const auto after = dma_.lower_bound(iova.value);
  const bool overlaps = (after != dma_.end() && after->first < iova.value + size_bytes) ||
                        (after != dma_.begin() && std::prev(after)->first + std::prev(after)->second > iova.value);
  if (overlaps) return fail(Code::kBusy, "the IOVA is taken");
  dma_.emplace(iova.value, size_bytes);
  return {};
}

Status FakeDevice::dma_unmap(vfio::Iova iova, std::uint64_t size_bytes) {
  const auto found = dma_.find(iova.value);
  if (found == dma_.end() || found->second != size_bytes) return fail(Code::kNotFound, "no such DMA mapping");
  dma_.erase(found);
  return {};
}

Status FakeDevice::reset() {
  revoke_mappings();
  for (const std::uint32_t bar : {VFIO_PCI_BAR0_REGION_INDEX, VFIO_PCI_BAR2_REGION_INDEX, VFIO_PCI_BAR4_REGION_INDEX}) {
    const auto size = static_cast<off_t>(regions_[bar].info.size_bytes);
    if (::fallocate(regions_[bar].memory.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, size) != 0) {
      return fail_errno("fallocate");
    }
  }
  return {};
}

Result<vfio::HotResetInfo> FakeDevice::hot_reset_info() { return fail(Code::kUnsupported, "the fake has no bus"); }
Status FakeDevice::hot_reset(std::span<vfio::Device* const>) { return fail(Code::kUnsupported, "the fake has no bus"); }

}  // namespace warden::testing
