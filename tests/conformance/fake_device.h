// SPDX-License-Identifier: Apache-2.0
// A device made of plain memory: every region is a memfd, BARs can be mapped. For conformance tests and benchmarks.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "driver/vfio/device.h"

namespace warden::testing {

struct FakeOptions {
  std::uint64_t bar0_bytes = 512ULL << 20;  // sparse
  bool mappable = true;
  bool dead = false;  // off the bus: every read gives all ones, every write is lost
};

// What is written to a region is what is read from it; a function reset clears the BARs' contents and keeps
// configuration space, as the kernel restores that.
class FakeDevice final : public vfio::Device {
 public:
  static std::unique_ptr<FakeDevice> create(const FakeOptions& options = {});

  // Signals a vector as the card would; false when no eventfd is set.
  bool raise(std::uint32_t index, std::uint32_t vector);

  [[nodiscard]] const std::string& name() const noexcept override { return name_; }
  [[nodiscard]] vfio::DeviceInfo info() const noexcept override;
  [[nodiscard]] Result<vfio::RegionInfo> region(std::uint32_t index) const override;
  [[nodiscard]] Result<vfio::IrqInfo> irq(std::uint32_t index) const override;
  [[nodiscard]] Status read(std::uint32_t region, std::uint64_t offset, std::span<std::byte> into) override;
  [[nodiscard]] Status write(std::uint32_t region, std::uint64_t offset, std::span<const std::byte> from) override;
  [[nodiscard]] Result<vfio::Mapping> map(std::uint32_t region, std::uint64_t offset, std::uint64_t size) override;
  [[nodiscard]] Status set_irq_eventfds(std::uint32_t index, std::uint32_t start, std::span<const int> fds) override;
  [[nodiscard]] Status disable_irqs(std::uint32_t index) override;
  [[nodiscard]] Status unmask_irq(std::uint32_t index) override;
  [[nodiscard]] Result<vfio::DmaLimits> dma_limits() override;
  [[nodiscard]] Status dma_map(vfio::Iova iova, std::uint64_t size_bytes, int memory, std::uint64_t offset,
                               vfio::DmaAccess access) override;
  [[nodiscard]] Status dma_unmap(vfio::Iova iova, std::uint64_t size_bytes) override;
  [[nodiscard]] Status reset() override;
  [[nodiscard]] Result<vfio::HotResetInfo> hot_reset_info() override;
  [[nodiscard]] Status hot_reset(std::span<vfio::Device* const> others) override;
  [[nodiscard]] std::vector<int> descriptors() const override { return {}; }

 private:
  struct Region {
    vfio::RegionInfo info;
    UniqueFd memory;
  };

  FakeDevice() = default;
  Status add_region(std::uint32_t index, std::uint64_t size_bytes, bool mappable);
  Status check(std::uint32_t region, std::uint64_t offset, std::uint64_t size_bytes) const;

  std::string name_ = "fake";
  bool dead_ = false;
  std::vector<Region> regions_;
  std::vector<std::vector<UniqueFd>> irqs_;
  std::map<std::uint64_t, std::uint64_t> dma_;  // IOVA, size
};

}  // namespace warden::testing
