// SPDX-License-Identifier: Apache-2.0
// What the driver adds to the kernel's VFIO: a load from a mapped register, and memory given to a card and taken back.
// In the virtual machine, on its card edu: elsewhere there is nothing to measure.
#include <linux/vfio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <cstdlib>

#include <warden/unique_fd.h>

#include "driver/vfio/device.h"
#include "tests/bench/benchmarks.h"

namespace warden::bench {
namespace {

constexpr std::size_t kReads = 2'000;
constexpr std::uint64_t kDmaBytes = 2 << 20;
constexpr std::uint64_t kIova = 16 << 20;

template <typename Work>
double ns_of(const Work& work) {
  const std::uint64_t begin_ns = now_ns();
  work();
  return static_cast<double>(now_ns() - begin_ns);
}

// In turns; who goes first changes each round.
template <typename Subject, typename Baseline>
Entry compare(Entry entry, int rounds, const Subject& subject, const Baseline& baseline) {
  std::vector<double> subjects;
  std::vector<double> baselines;
  for (int round = 0; round < rounds; ++round) {
    if (round % 2 == 0) subjects.push_back(ns_of(subject));
    baselines.push_back(ns_of(baseline));
    if (round % 2 != 0) subjects.push_back(ns_of(subject));
  }
  entry.value = median(subjects);
  entry.baseline_value = median(baselines);
  return entry;
}

// The two requests by which the driver does it, on memory that is mapped all the time.
class BareRequests {
 public:
  BareRequests(int container, int memory)
      : container_(container),
        base_(::mmap(nullptr, kDmaBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, memory, 0)) {}
  BareRequests(const BareRequests&) = delete;
  BareRequests& operator=(const BareRequests&) = delete;
  ~BareRequests() { ::munmap(base_, kDmaBytes); }

  [[nodiscard]] bool map_and_unmap() const {
    vfio_iommu_type1_dma_map map{.argsz = sizeof(map),
                                 .flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
                                 .vaddr = reinterpret_cast<std::uintptr_t>(base_),
                                 .iova = kIova,
                                 .size = kDmaBytes};
    vfio_iommu_type1_dma_unmap unmap{.argsz = sizeof(unmap), .flags = 0, .iova = kIova, .size = kDmaBytes};
    return ::ioctl(container_, VFIO_IOMMU_MAP_DMA, &map) == 0 && ::ioctl(container_, VFIO_IOMMU_UNMAP_DMA, &unmap) == 0;
  }

 private:
  int container_;
  void* base_;
};

Result<Entry> bench_read(vfio::Device& device, int rounds) {
  const std::uint16_t command = 0x6;
  if (auto on = device.write(VFIO_PCI_CONFIG_REGION_INDEX, 4, std::as_bytes(std::span(&command, 1))); !on) {
    return std::unexpected(on.error());
  }
  const auto registers = device.map(VFIO_PCI_BAR0_REGION_INDEX, 0, 4096);
  if (!registers) return std::unexpected(registers.error());
  Entry entry = compare(
      {.name = "kernel-vfio/read32", .unit = "ns", .baseline = "volatile access", .goal = "<= 1.05"}, rounds,
      [&] {
        for (std::size_t i = 0; i < kReads; ++i) (void)registers->read32(0);
      },
      [&] {
        const auto* bare = static_cast<const volatile std::uint32_t*>(registers->base());
        for (std::size_t i = 0; i < kReads; ++i) (void)*bare;
      });
  entry.value /= kReads;
  entry.baseline_value /= kReads;
  return entry;
}

Result<Entry> bench_dma(vfio::Device& device, int rounds) {
  const UniqueFd memory(::memfd_create("bench-dma", MFD_CLOEXEC));
  if (!memory || ::ftruncate(memory.get(), kDmaBytes) != 0) return fail_errno("make a memfd");
  const BareRequests bare(device.descriptors().back(), memory.get());
  bool is_good = bare.map_and_unmap();
  const Entry entry = compare(
      {.name = "kernel-vfio/dma-2MiB", .unit = "us", .baseline = "bare ioctls", .goal = "<= 1.1"}, rounds,
      [&] {
        is_good = is_good && device.dma_map({kIova}, kDmaBytes, memory.get(), 0, vfio::DmaAccess::kBoth) &&
                  device.dma_unmap({kIova}, kDmaBytes);
      },
      [&] { is_good = is_good && bare.map_and_unmap(); });
  if (!is_good) return fail(Code::kFailed, "memory can't be given to the card");
  Entry in_us = entry;
  in_us.value /= 1000;
  in_us.baseline_value /= 1000;
  return in_us;
}

}  // namespace

Result<Entries> bench_kernel_vfio(const Options& options) {
  const char* address = std::getenv("WARDEN_VM_EDU");
  if (address == nullptr) return Entries{};
  auto device = vfio::open(address, {.kernel_interface = vfio::KernelInterface::kGroup});
  if (!device) return std::unexpected(std::move(device).error());
  auto read = bench_read(**device, options.quick ? 3 : 101);
  if (!read) return std::unexpected(std::move(read).error());
  auto dma = bench_dma(**device, options.quick ? 3 : 301);
  if (!dma) return std::unexpected(std::move(dma).error());
  return Entries{*read, *dma};
}

}  // namespace warden::bench
