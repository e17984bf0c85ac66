// SPDX-License-Identifier: Apache-2.0
// The Chip that a Wormhole is: the parts put together, and who may use them when.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>

#include "driver/chip/access_gate.h"
#include "driver/chip/arc_messenger.h"
#include "driver/chip/bar.h"
#include "driver/chip/chip.h"
#include "driver/chip/config_space.h"
#include "driver/chip/noc_grid.h"
#include "driver/chip/reserved_windows.h"
#include "driver/chip/tile_memory.h"
#include "driver/chip/windows.h"

namespace warden::chip {

class Wormhole final : public Chip {
 public:
  // For a device whose PCI id was checked.
  [[nodiscard]] static Result<std::unique_ptr<Chip>> open(std::unique_ptr<vfio::Device> device,
                                                          const ChipOptions& options);
  [[nodiscard]] static Result<std::unique_ptr<Chip>> adopt(std::unique_ptr<vfio::Device> device, std::uint64_t epoch,
                                                           const ChipOptions& options);

  [[nodiscard]] vfio::Device& device() noexcept override { return *device_; }
  [[nodiscard]] Identity identity() const override;
  [[nodiscard]] std::uint64_t epoch() const noexcept override { return gate_.epoch(); }
  [[nodiscard]] Handle handle() override { return Handle(*this, gate_.epoch()); }
  [[nodiscard]] Result<Telemetry> telemetry() override;
  [[nodiscard]] Result<ArcReply> arc_message(std::uint8_t code, std::uint16_t argument0, std::uint16_t argument1,
                                             std::chrono::milliseconds timeout) override;
  void windows_changed() override { windows_.forget_unleased(); }
  [[nodiscard]] HostReach host_reach() const noexcept override;
  [[nodiscard]] std::optional<vfio::Iova> iova_of(Tile tile, CardAddress address) const override;
  [[nodiscard]] ResetReport warm_reset(const ResetOptions& options) override;

 protected:
  [[nodiscard]] Status read(std::uint64_t epoch, Tile tile, CardAddress address, std::span<std::byte> into) override;
  [[nodiscard]] Status write(std::uint64_t epoch, Tile tile, CardAddress address,
                             std::span<const std::byte> from) override;
  [[nodiscard]] Result<std::uint32_t> read32(std::uint64_t epoch, Tile tile, CardAddress address) override;
  [[nodiscard]] Status write32(std::uint64_t epoch, Tile tile, CardAddress address, std::uint32_t value) override;
  [[nodiscard]] Status broadcast(std::uint64_t epoch, TileRectangle tiles, CardAddress address,
                                 std::span<const std::byte> from) override;
  [[nodiscard]] Status hold_in_reset(std::uint64_t epoch, Tile tile, Cores cores) override;
  [[nodiscard]] Result<NocTraffic> outstanding(std::uint64_t epoch, Tile tile) override;
  [[nodiscard]] Result<std::uint32_t> reserve_window(std::uint64_t epoch, const WindowRequest& request) override;
  void release_window(std::uint64_t epoch, std::uint32_t number) override;
  [[nodiscard]] Status read_window(std::uint64_t epoch, std::uint32_t number, std::uint64_t offset,
                                   std::span<std::byte> into) override;
  [[nodiscard]] Status write_window(std::uint64_t epoch, std::uint32_t number, std::uint64_t offset,
                                    std::span<const std::byte> from) override;
  [[nodiscard]] Result<std::uint32_t> read32_window(std::uint64_t epoch, std::uint32_t number,
                                                    std::uint64_t offset) override;
  [[nodiscard]] Status write32_window(std::uint64_t epoch, std::uint32_t number, std::uint64_t offset,
                                      std::uint32_t value) override;

 private:
  Wormhole(std::unique_ptr<vfio::Device> device, std::uint64_t epoch, bool unfinished, const ChipOptions& options);

  Status enable();
  Status wait_for_firmware();
  Status learn_identity();
  Result<NocGrid> learn_grid();
  // Once the gate let us in: whether BAR0 may be touched, and whether tiles are known.
  Status check_usable() const;
  Result<const NocGrid*> grid() const;

  std::unique_ptr<vfio::Device> device_;
  ChipOptions options_;
  Bar bar0_;
  WindowPool windows_;
  ArcMessenger arc_;
  TileMemory memory_;
  ReservedWindows reserved_;
  AccessGate gate_;
  std::atomic<bool> unfinished_;    // taken over in the middle of a reset, which warm_reset() ends
  std::atomic<bool> lost_ = false;  // did not come back from its last reset
  std::optional<NocGrid> grid_;     // written before the gate first opens, constant afterwards

  mutable std::mutex identity_mutex_;
  Identity identity_;  // guarded by identity_mutex_
};

}  // namespace warden::chip
