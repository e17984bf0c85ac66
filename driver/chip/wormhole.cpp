// SPDX-License-Identifier: Apache-2.0
// Opening a Wormhole, learning what it is, and passing accesses through the gate.
#include "driver/chip/wormhole.h"

#include <fmt/format.h>
#include <linux/vfio.h>

#include "driver/chip/core_control.h"
#include "driver/chip/poll.h"
#include "driver/chip/telemetry.h"
#include "driver/chip/warm_reset.h"
#include "driver/chip/wormhole_layout.h"

namespace warden::chip {
namespace {

constexpr std::chrono::seconds kFirmwarePatience{5};
constexpr std::chrono::seconds kMessageTimeout{1};

}  // namespace

Wormhole::Wormhole(std::unique_ptr<vfio::Device> device, std::uint64_t epoch, bool unfinished,
                   const ChipOptions& options)
    : device_(std::move(device)),
      options_(options),
      bar0_(*device_, VFIO_PCI_BAR0_REGION_INDEX, wormhole::kBar0Bytes),
      windows_(bar0_),
      arc_(bar0_),
      memory_(bar0_, windows_),
      reserved_(memory_, windows_),
      gate_(epoch, unfinished),
      unfinished_(unfinished) {
  identity_.chip = "wormhole";
  identity_.board = "unknown";
  identity_.pci_device = wormhole::kDevice;
}

Result<std::unique_ptr<Chip>> Wormhole::open(std::unique_ptr<vfio::Device> device, const ChipOptions& options) {
  std::unique_ptr<Wormhole> chip(new Wormhole(std::move(device), 1, false, options));
  if (auto enabled = chip->enable(); !enabled) return std::unexpected(std::move(enabled).error());
  if (auto up = chip->wait_for_firmware(); !up) return std::unexpected(std::move(up).error());
  if (auto known = chip->learn_identity(); !known) return std::unexpected(std::move(known).error());
  return chip;
}

// Only configuration space tells whether BAR0 may be touched: marker set or memory off means that a reset was begun.
Result<std::unique_ptr<Chip>> Wormhole::adopt(std::unique_ptr<vfio::Device> device, std::uint64_t epoch,
                                              const ChipOptions& options) {
  ConfigSpace config(*device);
  auto command = config.command();
  if (!command) return std::unexpected(std::move(command).error());
  constexpr std::uint16_t kTelling = wormhole::kCommandMarker | wormhole::kCommandMemory;
  const bool unfinished = (*command & kTelling) != wormhole::kCommandMemory;
  std::unique_ptr<Wormhole> chip(new Wormhole(std::move(device), epoch, unfinished, options));
  if (unfinished) return chip;
  if (auto mapped = chip->bar0_.map(); !mapped) return std::unexpected(std::move(mapped).error());
  if (auto known = chip->learn_identity(); !known) {  // in a reset of which configuration space shows nothing
    chip->bar0_.unmap();
    (void)chip->gate_.close(std::chrono::steady_clock::now());
    chip->unfinished_ = true;
  }
  return chip;
}

Status Wormhole::enable() {
  ConfigSpace config(*device_);
  auto command = config.command();
  if (!command) return std::unexpected(std::move(command).error());
  constexpr std::uint16_t kNeeded = wormhole::kCommandMemory | wormhole::kCommandMaster;
  // A marker left from a reset that nobody ended must not count for the next one.
  const auto enabled = static_cast<std::uint16_t>((*command | kNeeded) & ~wormhole::kCommandMarker);
  if (*command != enabled) {
    if (auto set = config.set_command(enabled, kNeeded); !set) return set;
  }
  return bar0_.map();
}

Status Wormhole::wait_for_firmware() {
  Poll poll(std::chrono::steady_clock::now() + kFirmwarePatience);
  std::uint32_t last = 0;
  do {
    auto code = bar0_.read32(wormhole::kPostCode);
    if (!code) return std::unexpected(std::move(code).error());
    last = *code;
    if ((last & wormhole::kPostCodeMask) == wormhole::kPostCodeUp) return {};
  } while (poll.again());
  return fail(last == wormhole::kAllOnes ? Code::kOffBus : Code::kTimeout,
              fmt::format("the firmware did not come up within {} s: post code last read {:#010x}, not 0xc0dexxxx",
                          kFirmwarePatience.count(), last));
}

Status Wormhole::learn_identity() {
  auto learnt = learn_grid();
  if (!learnt) return std::unexpected(std::move(learnt).error());
  auto telemetry = read_telemetry(bar0_);
  const std::lock_guard lock(identity_mutex_);
  if (telemetry) {  // firmware before 18.4 has no table: a card without a name works all the same
    identity_.board_id = telemetry->board_id();
    identity_.board = board_name(identity_.board_id);
  }
  return {};
}

Result<NocGrid> Wormhole::learn_grid() {
  if (grid_) return *grid_;
  auto harvesting = arc_.exchange(wormhole::message::kHarvesting, 0, 0, kMessageTimeout);
  if (!harvesting) return std::unexpected(std::move(harvesting).error());
  auto translates = bar0_.read32(wormhole::kArcNiuConfig0);
  if (!translates) return std::unexpected(std::move(translates).error());
  grid_.emplace(rows_of_harvesting_mask(harvesting->result0), (*translates & wormhole::kNiuConfigTranslates) != 0);
  const std::lock_guard lock(identity_mutex_);
  identity_.harvested_rows = grid_->harvested_rows();
  return *grid_;
}

Identity Wormhole::identity() const {
  const std::lock_guard lock(identity_mutex_);
  return identity_;
}

Status Wormhole::check_usable() const {
  if (!lost_) return {};
  return fail(Code::kOffBus, "the card did not come back from its last reset; reset it again, or power-cycle it");
}

Result<const NocGrid*> Wormhole::grid() const {
  if (auto usable = check_usable(); !usable) return std::unexpected(std::move(usable).error());
  if (grid_) return &*grid_;
  return fail(Code::kFailed, "the card has not worked since it was taken over; reset it");
}

Result<Telemetry> Wormhole::telemetry() {
  auto pass = gate_.enter();
  if (!pass) return std::unexpected(std::move(pass).error());
  if (auto usable = check_usable(); !usable) return std::unexpected(std::move(usable).error());
  auto table = read_telemetry(bar0_);
  if (table) return table->decoded();
  if (auto there = memory_.check_on_bus("telemetry"); !there) return std::unexpected(std::move(there).error());
  return std::unexpected(std::move(table).error());
}

Result<ArcReply> Wormhole::arc_message(std::uint8_t code, std::uint16_t argument0, std::uint16_t argument1,
                                       std::chrono::milliseconds timeout) {
  auto pass = gate_.enter();
  if (!pass) return std::unexpected(std::move(pass).error());
  if (auto usable = check_usable(); !usable) return std::unexpected(std::move(usable).error());
  return arc_.exchange(code, argument0, argument1, timeout);
}

ResetReport Wormhole::warm_reset(const ResetOptions& options) {
  const bool unfinished = unfinished_.exchange(false);
  if (!unfinished) {
    if (auto closed = gate_.close(std::chrono::steady_clock::now() + options.deadline); !closed) {
      return {.ok = false, .reason = std::move(closed).error().message, .evidence = {}};
    }
  }
  const bool knew_grid = grid_.has_value();
  reserved_.forget_all();  // nobody is inside: no lease is out any more
  WarmReset reset({.device = *device_,
                   .bar0 = bar0_,
                   .windows = windows_,
                   .arc = arc_,
                   .memory = memory_,
                   .canary = options_.canary,
                   .learn_grid = [this] { return learn_grid(); }},
                  options, unfinished || lost_);
  ResetReport report = reset.run();
  lost_ = reset.card_is_lost();
  if (report.ok && !knew_grid) (void)learn_identity();
  gate_.open();
  return report;
}

HostReach Wormhole::host_reach() const noexcept {
  return {.tile = wormhole::kPcieTile,
          .address = {wormhole::kHostAddress},
          .first = {wormhole::kFirstIova},
          .size_bytes = wormhole::kEndIova - wormhole::kFirstIova};
}

std::optional<vfio::Iova> Wormhole::iova_of(Tile tile, CardAddress address) const {
  if (!grid_) return std::nullopt;
  const auto place = grid_->resolve(tile);
  if (!place || place->kind != TileKind::kPcie || address.value < wormhole::kHostAddress) return std::nullopt;
  return vfio::Iova{address.value - wormhole::kHostAddress};
}

Status Wormhole::read(std::uint64_t epoch, Tile tile, CardAddress address, std::span<std::byte> into) {
  auto pass = gate_.enter(epoch);
  if (!pass) return std::unexpected(std::move(pass).error());
  auto known = grid();
  if (!known) return std::unexpected(std::move(known).error());
  return memory_.read(**known, tile, address, into);
}

Status Wormhole::write(std::uint64_t epoch, Tile tile, CardAddress address, std::span<const std::byte> from) {
  auto pass = gate_.enter(epoch);
  if (!pass) return std::unexpected(std::move(pass).error());
  auto known = grid();
  if (!known) return std::unexpected(std::move(known).error());
  return memory_.write(**known, tile, address, from);
}

Result<std::uint32_t> Wormhole::read32(std::uint64_t epoch, Tile tile, CardAddress address) {
  auto pass = gate_.enter(epoch);
  if (!pass) return std::unexpected(std::move(pass).error());
  auto known = grid();
  if (!known) return std::unexpected(std::move(known).error());
  return memory_.read32(**known, tile, address);
}

Status Wormhole::write32(std::uint64_t epoch, Tile tile, CardAddress address, std::uint32_t value) {
  auto pass = gate_.enter(epoch);
  if (!pass) return std::unexpected(std::move(pass).error());
  auto known = grid();
  if (!known) return std::unexpected(std::move(known).error());
  return memory_.write32(**known, tile, address, value);
}

Status Wormhole::broadcast(std::uint64_t epoch, TileRectangle tiles, CardAddress address,
                           std::span<const std::byte> from) {
  auto pass = gate_.enter(epoch);
  if (!pass) return std::unexpected(std::move(pass).error());
  auto known = grid();
  if (!known) return std::unexpected(std::move(known).error());
  return memory_.broadcast(**known, tiles, address, from);
}

Status Wormhole::hold_in_reset(std::uint64_t epoch, Tile tile, Cores cores) {
  auto pass = gate_.enter(epoch);
  if (!pass) return std::unexpected(std::move(pass).error());
  auto known = grid();
  if (!known) return std::unexpected(std::move(known).error());
  return CoreControl(memory_, **known).hold_in_reset(tile, cores);
}

Result<NocTraffic> Wormhole::outstanding(std::uint64_t epoch, Tile tile) {
  auto pass = gate_.enter(epoch);
  if (!pass) return std::unexpected(std::move(pass).error());
  auto known = grid();
  if (!known) return std::unexpected(std::move(known).error());
  return CoreControl(memory_, **known).outstanding(tile);
}

Result<std::uint32_t> Wormhole::reserve_window(std::uint64_t epoch, const WindowRequest& request) {
  auto pass = gate_.enter(epoch);
  if (!pass) return std::unexpected(std::move(pass).error());
  auto known = grid();
  if (!known) return std::unexpected(std::move(known).error());
  return reserved_.reserve(**known, request);
}

void Wormhole::release_window(std::uint64_t epoch, std::uint32_t number) {
  if (auto pass = gate_.enter(epoch); pass) reserved_.release(number);  // else the reset has taken it
}

Status Wormhole::read_window(std::uint64_t epoch, std::uint32_t number, std::uint64_t offset,
                             std::span<std::byte> into) {
  auto pass = gate_.enter(epoch);
  if (!pass) return std::unexpected(std::move(pass).error());
  return reserved_.read(number, offset, into);
}

Status Wormhole::write_window(std::uint64_t epoch, std::uint32_t number, std::uint64_t offset,
                              std::span<const std::byte> from) {
  auto pass = gate_.enter(epoch);
  if (!pass) return std::unexpected(std::move(pass).error());
  return reserved_.write(number, offset, from);
}

Result<std::uint32_t> Wormhole::read32_window(std::uint64_t epoch, std::uint32_t number, std::uint64_t offset) {
  auto pass = gate_.enter(epoch);
  if (!pass) return std::unexpected(std::move(pass).error());
  return reserved_.read32(number, offset);
}

Status Wormhole::write32_window(std::uint64_t epoch, std::uint32_t number, std::uint64_t offset, std::uint32_t value) {
  auto pass = gate_.enter(epoch);
  if (!pass) return std::unexpected(std::move(pass).error());
  return reserved_.write32(number, offset, value);
}

}  // namespace warden::chip
