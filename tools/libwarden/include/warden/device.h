// SPDX-License-Identifier: Apache-2.0
// A card opened through wardend: reads and writes of its tiles, carried out by wardend for this session.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <warden/result.h>
#include <warden/session.h>
#include <warden/tile.h>
#include <warden/unique_fd.h>

namespace warden {

// A card to be driven by this process itself: what the driver's vfio::adopt() takes.
struct DirectAccess {
  std::string name;
  std::vector<UniqueFd> descriptors;
};

// A handle on one card between two resets. From this session's acknowledgement (or the start of the reset) until the
// result every call answers kResetting; afterwards kStale: open the device again. Threads: any. Cheap to copy.
class Device {
 public:
  // `name` as in Session::devices(), or its position there in decimal.
  [[nodiscard]] static Result<Device> open(std::shared_ptr<Session> session, std::string_view name);

  // Any length and alignment. kInvalidArgument: no such tile, fused off, or over the end of its memory.
  [[nodiscard]] Status read(Tile tile, CardAddress address, std::span<std::byte> into);
  [[nodiscard]] Status write(Tile tile, CardAddress address, std::span<const std::byte> from);
  // One aligned 32-bit access, for registers.
  [[nodiscard]] Result<std::uint32_t> read32(Tile tile, CardAddress address);
  [[nodiscard]] Status write32(Tile tile, CardAddress address, std::uint32_t value);
  // The same bytes to every Tensix tile of the rectangle.
  [[nodiscard]] Status broadcast(TileRectangle tiles, CardAddress address, std::span<const std::byte> from);

  // For operators: the card itself. Nobody else is let at it, by wardend either (kBusy), until the descriptors are
  // closed, the session ends or a reset begins, which does not ask first: the connection is then cut. kPermission
  // without the operator right; kBusy while others drive the card or have windows of it. A worker's death ends it too.
  [[nodiscard]] Result<DirectAccess> direct();

  [[nodiscard]] std::uint32_t index() const noexcept { return index_; }
  [[nodiscard]] std::uint64_t epoch() const noexcept { return epoch_; }

 private:
  friend class Batch;
  friend class DeathActions;
  friend class DmaBuffer;
  friend class Window;
  Device(std::shared_ptr<Session> session, std::uint32_t index, std::uint64_t epoch, std::uint64_t attachment) noexcept
      : session_(std::move(session)), index_(index), epoch_(epoch), attachment_(attachment) {}
  std::shared_ptr<Session> session_;
  std::uint32_t index_;
  std::uint64_t epoch_;
  std::uint64_t attachment_;  // another one after a reconnection: the handle is stale
};

}  // namespace warden
