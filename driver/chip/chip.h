// SPDX-License-Identifier: Apache-2.0
// A card as its users think of it: tiles to read and write, an ARC to talk to, telemetry, and a warm reset that
// proves itself. Wormhole today; what differs between chips stays behind this header.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <warden/result.h>

#include "driver/chip/tile.h"
#include "driver/chip/window_request.h"
#include "driver/vfio/device.h"

namespace warden::chip {

struct Identity {
  std::string chip;                          // "wormhole"
  std::string board;                         // "n150", "n300", ... or "unknown"
  std::uint64_t board_id = 0;                // telemetry tags 1 and 2
  std::uint16_t pci_device = 0;              // 0x401e
  std::vector<std::uint8_t> harvested_rows;  // NoC #0 rows y that are fused off
};

struct Telemetry {
  double asic_temperature_celsius = 0;   // tag 11, 16.16
  double board_temperature_celsius = 0;  // tag 13, 16.16
  std::uint32_t aiclk_mhz = 0;           // tag 14
  std::uint32_t axiclk_mhz = 0;          // tag 15
  std::uint32_t arcclk_mhz = 0;          // tag 16
  std::uint32_t heartbeat = 0;           // tag 32
  std::uint32_t firmware_bundle = 0;     // tag 28
};

struct ArcReply {
  std::uint16_t status = 0;  // bits 31:16 of the status word; 0 is good
  std::uint32_t result0 = 0;
  std::uint32_t result1 = 0;
};

// One observation of a reset: what was looked at, before and after, and whether it proves what it should.
struct Evidence {
  std::string name;  // "marker", "post code", "reference clock", "window register", "heartbeat", "L1 word"
  std::string before;
  std::string after;
  bool passed = false;
};

enum class ResetKind : std::uint8_t {
  kAsic,      // ARC message 0x56, argument 0
  kBoard,     // ARC message 0x56, argument 3: the board controller too
  kDevice,    // the function reset that VFIO chooses
  kExternal,  // somebody else resets the chip (a board controller, another tool): only observed and proven
};

// Where a warm reset stands; told to the observer before the step is taken.
enum class ResetStep : std::uint8_t { kSave, kTrigger, kWait, kRestore, kVerify };
[[nodiscard]] std::string_view to_string(ResetStep step) noexcept;

struct ResetOptions {
  ResetKind kind = ResetKind::kAsic;
  // From the trigger until vendor id and marker must be right.
  std::chrono::milliseconds deadline = std::chrono::seconds(5);
  // For how long an ARC that hangs is tried to be revived, with one function reset after the other; once in any case.
  std::chrono::milliseconds revival = std::chrono::seconds(10);
  // Nothing at all is touched for this long after the trigger.
  std::chrono::milliseconds quiet = std::chrono::milliseconds(500);
  std::chrono::milliseconds poll_interval = std::chrono::milliseconds(100);
  // How long the heartbeat may take to move afterwards.
  std::chrono::milliseconds heartbeat_deadline = std::chrono::seconds(3);
  // For kExternal: returns when the other party says that it is done, or is not expected to any more.
  std::function<void()> await_external;
  // Called on the resetting thread before each step; for journals and progress.
  std::function<void(ResetStep)> observer;
};

// The verdict. `ok` only if every piece of evidence passed.
struct ResetReport {
  bool ok = false;
  std::string reason;  // empty when ok; else one line: what was awaited and what was last seen
  std::vector<Evidence> evidence;
  std::chrono::microseconds duration{0};
  bool unreachable = false;  // the connection to the card is gone for good
};

// How the card reaches the host's memory: what is mapped for DMA at an IOVA of this range is at `address` plus that
// IOVA of the tile, for every core of the card.
struct HostReach {
  Tile tile;
  CardAddress address;
  vfio::Iova first;
  std::uint64_t size_bytes = 0;
};

// What a tile has asked of others on the two NoCs and what has not ended.
struct NocTraffic {
  struct PerNoc {
    std::uint32_t commands = 0;  // bit i: request initiator i holds one that was not accepted yet
    std::uint32_t requests = 0;  // whose answer has not come: reads, acknowledged writes, atomics
    std::uint32_t writes = 0;    // whose data has not all left the tile
  };
  std::array<PerNoc, 2> nocs{};
  [[nodiscard]] bool is_quiet() const noexcept;
};
[[nodiscard]] std::string to_string(const NocTraffic& traffic);

class Handle;
class Window;

// Threads: all calls from any thread. warm_reset() excludes every other access; accesses made meanwhile answer
// kResetting without touching the card.
class Chip {
 public:
  Chip(const Chip&) = delete;
  Chip& operator=(const Chip&) = delete;
  virtual ~Chip() = default;

  [[nodiscard]] virtual vfio::Device& device() noexcept = 0;
  [[nodiscard]] virtual Identity identity() const = 0;

  // Moves on with every warm reset, whatever its verdict. A Handle remembers the epoch it was made in.
  [[nodiscard]] virtual std::uint64_t epoch() const noexcept = 0;
  [[nodiscard]] virtual Handle handle() = 0;

  [[nodiscard]] virtual Result<Telemetry> telemetry() = 0;
  // One message at a time on the whole card; kTimeout when the ARC does not take or answer it in `timeout`.
  [[nodiscard]] virtual Result<ArcReply> arc_message(std::uint8_t code, std::uint16_t argument0,
                                                     std::uint16_t argument1, std::chrono::milliseconds timeout) = 0;
  // Somebody else has driven the card since: nothing that was remembered of its windows is relied on.
  virtual void windows_changed() {}

  [[nodiscard]] virtual HostReach host_reach() const noexcept { return {}; }
  // Which IOVA an access there comes to; nothing for tiles other than that of the host's memory.
  [[nodiscard]] virtual std::optional<vfio::Iova> iova_of(Tile, CardAddress) const { return std::nullopt; }

  // Always gives a verdict: a card that can't be reset is a report that is not ok.
  [[nodiscard]] virtual ResetReport warm_reset(const ResetOptions& options) = 0;

 protected:
  Chip() = default;
  friend class Handle;
  friend class Window;
  [[nodiscard]] virtual Status read(std::uint64_t epoch, Tile tile, CardAddress address, std::span<std::byte> into) = 0;
  [[nodiscard]] virtual Status write(std::uint64_t epoch, Tile tile, CardAddress address,
                                     std::span<const std::byte> from) = 0;
  [[nodiscard]] virtual Result<std::uint32_t> read32(std::uint64_t epoch, Tile tile, CardAddress address) = 0;
  [[nodiscard]] virtual Status write32(std::uint64_t epoch, Tile tile, CardAddress address, std::uint32_t value) = 0;
  [[nodiscard]] virtual Status broadcast(std::uint64_t epoch, TileRectangle tiles, CardAddress address,
                                         std::span<const std::byte> from) = 0;
  [[nodiscard]] virtual Status hold_in_reset(std::uint64_t epoch, Tile tile, Cores cores) = 0;
  [[nodiscard]] virtual Result<NocTraffic> outstanding(std::uint64_t epoch, Tile tile) = 0;
  // Windows by number. A chip that has none to give need not say more.
  [[nodiscard]] virtual Result<std::uint32_t> reserve_window(std::uint64_t epoch, const WindowRequest& request);
  virtual void release_window(std::uint64_t epoch, std::uint32_t number);
  [[nodiscard]] virtual Status read_window(std::uint64_t epoch, std::uint32_t number, std::uint64_t offset,
                                           std::span<std::byte> into);
  [[nodiscard]] virtual Status write_window(std::uint64_t epoch, std::uint32_t number, std::uint64_t offset,
                                            std::span<const std::byte> from);
  [[nodiscard]] virtual Result<std::uint32_t> read32_window(std::uint64_t epoch, std::uint32_t number,
                                                            std::uint64_t offset);
  [[nodiscard]] virtual Status write32_window(std::uint64_t epoch, std::uint32_t number, std::uint64_t offset,
                                              std::uint32_t value);
};

// A window of the chip that stays aimed until release(). Only a number: it may outlive the chip, and is passed the
// chip (of that number's making) for each call. After a reset every access answers kStale and there is nothing to
// release. Accesses as for Handle, at an offset in the window. Any thread.
class Window {
 public:
  Window(std::uint64_t epoch, std::uint32_t number) noexcept : epoch_(epoch), number_(number) {}
  void release(Chip& chip) const { chip.release_window(epoch_, number_); }
  [[nodiscard]] Status read(Chip& chip, std::uint64_t offset, std::span<std::byte> into) const {
    return chip.read_window(epoch_, number_, offset, into);
  }
  [[nodiscard]] Status write(Chip& chip, std::uint64_t offset, std::span<const std::byte> from) const {
    return chip.write_window(epoch_, number_, offset, from);
  }
  [[nodiscard]] Result<std::uint32_t> read32(Chip& chip, std::uint64_t offset) const {
    return chip.read32_window(epoch_, number_, offset);
  }
  [[nodiscard]] Status write32(Chip& chip, std::uint64_t offset, std::uint32_t value) const {
    return chip.write32_window(epoch_, number_, offset, value);
  }

 private:
  std::uint64_t epoch_;
  std::uint32_t number_;
};

// The right to use a chip between two resets. After a reset every call answers kStale; make a new one.
// The Chip outlives it. Cheap to copy; any thread.
class Handle {
 public:
  Handle(Chip& chip, std::uint64_t epoch) noexcept : chip_(&chip), epoch_(epoch) {}
  [[nodiscard]] std::uint64_t epoch() const noexcept { return epoch_; }

  // Memory of a tile, any length and alignment (whole words stay whole). kInvalidArgument for a tile that is not
  // there or fused off, or a range over the end of its memory; kOffBus when the card answers all ones everywhere
  // (writes are posted: a card that is gone swallows them until the next read or the next use of a window tells).
  // Register space takes multiples of 4 bytes, aligned, word by word.
  [[nodiscard]] Status read(Tile tile, CardAddress address, std::span<std::byte> into) const {
    return chip_->read(epoch_, tile, address, into);
  }
  [[nodiscard]] Status write(Tile tile, CardAddress address, std::span<const std::byte> from) const {
    return chip_->write(epoch_, tile, address, from);
  }
  // One aligned 32-bit access, strictly ordered: registers.
  [[nodiscard]] Result<std::uint32_t> read32(Tile tile, CardAddress address) const {
    return chip_->read32(epoch_, tile, address);
  }
  [[nodiscard]] Status write32(Tile tile, CardAddress address, std::uint32_t value) const {
    return chip_->write32(epoch_, tile, address, value);
  }
  // The same bytes to every working Tensix tile in the rectangle, whose corners are Tensix tiles; rows and columns of
  // other kinds between them are left out. Whole aligned words only: what is written can't be merged with what is
  // there.
  [[nodiscard]] Status broadcast(TileRectangle tiles, CardAddress address, std::span<const std::byte> from) const {
    return chip_->broadcast(epoch_, tiles, address, from);
  }
  // These cores of a Tensix or Ethernet tile; the others stay as they are. They are held when it returns. Not for two
  // threads and one tile at a time.
  [[nodiscard]] Status hold_in_reset(Tile tile, Cores cores) const { return chip_->hold_in_reset(epoch_, tile, cores); }
  // Of a Tensix or Ethernet tile, as it is now. With all its cores in reset, what has become quiet stays so.
  [[nodiscard]] Result<NocTraffic> outstanding(Tile tile) const { return chip_->outstanding(epoch_, tile); }
  // A window kept aimed. kBusy when no more of that size may be reserved.
  [[nodiscard]] Result<Window> reserve_window(const WindowRequest& request) const {
    auto number = chip_->reserve_window(epoch_, request);
    if (!number) return std::unexpected(std::move(number).error());
    return Window(epoch_, *number);
  }

 private:
  Chip* chip_;
  std::uint64_t epoch_;
};

struct ChipOptions {
  // Read and write a word of this L1 address around a reset, as evidence that memory was really lost.
  CardAddress canary{0x16DFC0};
};

// Recognises the card by its PCI id, waits for its firmware (bounded), reads its identity. Takes the device.
[[nodiscard]] Result<std::unique_ptr<Chip>> open(std::unique_ptr<vfio::Device> device, const ChipOptions& options = {});

// What a killed predecessor left: the epoch to go on with. As open(), but a card in the middle of a reset is taken
// as it is (no firmware is awaited); warm_reset() may then be called to finish what was begun.
[[nodiscard]] Result<std::unique_ptr<Chip>> adopt(std::unique_ptr<vfio::Device> device, std::uint64_t epoch,
                                                  const ChipOptions& options = {});

}  // namespace warden::chip
