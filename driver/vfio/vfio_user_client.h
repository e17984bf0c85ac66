// SPDX-License-Identifier: Apache-2.0
// The vfio-user backend: a device that another process offers on a Unix socket (vfio-user specification 0.9.x).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "driver/vfio/learnt_device.h"
#include "driver/vfio/vfio_user_channel.h"

namespace warden::vfio {

class VfioUserClient final : public LearntDevice {
 public:
  // Connects to the socket at `path` and agrees on a version. kBusy when the server has a client already.
  [[nodiscard]] static Result<std::unique_ptr<Device>> connect(std::string_view name, std::string_view path,
                                                               const OpenOptions& options);
  // Goes on with a socket on which another process agreed on a version before.
  [[nodiscard]] static Result<std::unique_ptr<Device>> adopt(std::string_view name, UniqueFd socket,
                                                             const OpenOptions& options);

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
  [[nodiscard]] std::vector<int> descriptors() const override { return {channel_.descriptor()}; }

 private:
  struct Backing {
    UniqueFd memory;  // what map() maps of a region; empty where every access is trapped
    std::uint64_t offset = 0;
  };

  VfioUserClient(std::string_view name, UniqueFd socket, const OpenOptions& options);

  Status negotiate();
  Status accept_version(std::span<const std::byte> reply);
  Status learn_device();
  Result<RegionInfo> learn_region(std::uint32_t index);
  Result<IrqInfo> learn_irq(std::uint32_t index);
  std::size_t chunk_bytes(std::uint64_t offset, std::size_t left_bytes) const noexcept;
  Status read_chunk(std::uint32_t region, std::uint64_t offset, std::span<std::byte> into);
  Status write_chunk(std::uint32_t region, std::uint64_t offset, std::span<const std::byte> from);
  Status set_irqs(std::uint32_t flags, std::uint32_t index, std::uint32_t start, std::uint32_t count,
                  std::span<const int> fds);
  std::string in_words(std::string_view doing, std::uint32_t region, std::uint64_t offset, std::size_t size) const;

  // Set while opening, constant afterwards: no lock.
  std::vector<Backing> backings_;  // one for each region
  std::uint32_t max_transfer_bytes_ = wire::kMaxTransferBytes;
  std::uint64_t page_sizes_ = wire::kPageBytes;
  std::uint32_t max_message_fds_ = 1;  // the protocol's default until the server says more

  VfioUserChannel channel_;
};

}  // namespace warden::vfio
