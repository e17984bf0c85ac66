// SPDX-License-Identifier: Apache-2.0
// The chip put together: who answers an access, and what resets and faults change about it.
#include "tools/sim/chip.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "tools/sim/digest.h"

namespace warden::sim {

namespace {

constexpr Coordinate kArcTile{0, 10};
constexpr Coordinate kPcieTile{0, 3};

BoardIdentity identity_of(const ChipOptions& options, const Grid& grid) {
  return {.board_id = options.board_id,
          .asic_id = 1,
          .asic_location = options.asic_location,
          .harvest_mask = grid.harvest_mask()};
}

template <typename Do>
void each_coordinate(Do&& action) {
  for (std::uint8_t y = 0; y < kGridHeight; ++y) {
    for (std::uint8_t x = 0; x < kGridWidth; ++x) action(Coordinate{x, y});
  }
}

}  // namespace

Chip::Chip(const ChipOptions& options, NowFunction now, std::function<void()> has_work)
    : options_(options),
      now_(std::move(now)),
      grid_(options.harvested_rows),
      config_(options.pci),
      arc_(grid_, kArcTile, identity_of(options, grid_), now_,
           [this](ArcReset kind) { return arc_asks_for_reset(kind); }),
      has_work_(std::move(has_work)) {
  dram_.reserve(kDramBanks);  // tiles keep references
  for (std::size_t bank = 0; bank < kDramBanks; ++bank) dram_.emplace_back(kDramBankBytes);
  make_tiles();
}

void Chip::make_tiles() {
  each_coordinate([this](Coordinate at) {
    std::unique_ptr<Tile>& tile = tiles_[at.index()];
    switch (kind_of(at)) {
      case TileKind::kTensix:
        if (grid_.fused_off(at)) return;
        [[fallthrough]];
      case TileKind::kEthernet: {
        auto core = std::make_unique<CoreTile>(grid_, at, now_, static_cast<Noc&>(*this),
                                               [this](CoreTile& woken) { core_woken(woken); });
        cores_.push_back(core.get());
        tile = std::move(core);
        return;
      }
      case TileKind::kDram: tile = std::make_unique<DramTile>(grid_, at, dram_[dram_port_of(at).bank]); return;
      case TileKind::kArc: tile = std::make_unique<ArcTile>(arc_); return;
      case TileKind::kRouterOnly: tile = std::make_unique<RouterTile>(grid_, at); return;
      case TileKind::kPcie: {
        auto pcie = std::make_unique<PcieTile>(grid_, at, arc_, config_, translation_, host_);
        pcie_ = pcie.get();
        tile = std::move(pcie);
        return;
      }
    }
  });
  assert(pcie_ != nullptr);
}

// ---- resets and faults ----

bool Chip::arc_asks_for_reset(ArcReset kind) {
  if (fault_ == Fault::kResetIgnored) return false;
  const ResetKind reset = kind == ArcReset::kBoard ? ResetKind::kBoard : ResetKind::kAsic;
  const TimePoint end = fault_ == Fault::kResetHangs ? TimePoint::max() : now_() + options_.reset_duration;
  reset_ = RunningReset{reset, end};
  links_go_down();
  ++stats_.resets[static_cast<std::size_t>(reset)];
  return true;
}

bool Chip::begin_reset(ResetKind kind) {
  settle();
  if (reset_ || fault_ == Fault::kOffBus) return false;
  reset_ = RunningReset{kind, now_() + options_.reset_duration};
  if (kind == ResetKind::kBoard) links_go_down();
  ++stats_.resets[static_cast<std::size_t>(kind)];
  return true;
}

std::optional<TimePoint> Chip::reset_end() {
  settle();
  if (!reset_) return std::nullopt;
  return reset_->end;
}

// Resets end by themselves; that is noticed here, before anything looks at the card again.
void Chip::settle() {
  if (!reset_ || now_() < reset_->end) return;
  const RunningReset ended = *reset_;
  reset_.reset();
  finish_reset(ended.kind, ended.end);
}

void Chip::finish_reset(ResetKind kind, TimePoint when) {
  lose_pcie_side();
  if (kind == ResetKind::kFunction || kind == ResetKind::kLink || kind == ResetKind::kClose) {
    config_.function_reset();
    return;
  }
  config_.chip_reset();
  interrupts_enabled_ = false;
  arc_.reset(when);
  for (const auto& tile : tiles_) {
    if (tile) tile->reset(when);
  }
}

void Chip::lose_pcie_side() noexcept {
  windows_.clear();
  translation_.reset();
}

void Chip::client_opened() {
  settle();
  if (!reset_ && fault_ != Fault::kOffBus) config_.enable_device();
}

void Chip::client_closed() {
  settle();
  host_.unmap_all();
  interrupts_enabled_ = false;
  if (reset_ || fault_ == Fault::kOffBus) return;
  config_.disable_device();
  ++stats_.resets[static_cast<std::size_t>(ResetKind::kClose)];
  finish_reset(ResetKind::kClose, now_());
}

void Chip::set_fault(Fault fault) {
  settle();
  if (fault_ == Fault::kResetHangs && fault != Fault::kResetHangs && reset_ && reset_->end == TimePoint::max()) {
    reset_->end = now_();
  }
  fault_ = fault;
  arc_.set_hung(fault == Fault::kArcHung);
  for (CoreTile* core : cores_) core->set_noc_stuck(fault == Fault::kNocStuck);
  for (CoreTile* tile : linked_) tile->port()->set_trainable(fault != Fault::kTrainingFails, now_());
  settle();
}

void Chip::set_interrupts_enabled(bool enabled) { interrupts_enabled_ = enabled && answers(); }

bool Chip::raise_interrupt() {
  settle();
  const bool through =
      !reset_ && fault_ != Fault::kOffBus && interrupts_enabled_ && config_.bus_master() && config_.msi_enabled();
  if (through) ++stats_.interrupts;
  return through;
}

std::string_view Chip::state() {
  settle();
  if (fault_ == Fault::kOffBus) return "off-bus";
  return reset_ ? "resetting" : "running";
}

std::uint64_t Chip::touched_bytes() const noexcept {
  std::uint64_t bytes = 0;
  for (const SparseMemory& bank : dram_) bytes += bank.touched_bytes();
  for (const CoreTile* core : cores_) bytes += core->touched_bytes();
  return bytes;
}

Chip::Digests Chip::digests() {
  settle();
  Digest memory;
  Digest counters;
  for (const CoreTile* core : cores_) {
    const std::uint64_t place = std::uint64_t{core->place().index()} << 40;
    memory.add(place, core->l1());
    for (const bool noc1 : {false, true}) counters.add(place + (noc1 ? Digest::kPageBytes : 0), core->counters(noc1));
  }
  for (std::size_t bank = 0; bank < dram_.size(); ++bank) dram_[bank].add_to(memory, std::uint64_t{256 + bank} << 40);
  return {.memory = memory.value(), .counters = counters.value()};
}

// ---- the PCI function ----

// Whether the function is on the bus at all.
bool Chip::answers() {
  settle();
  return !reset_ && fault_ != Fault::kOffBus;
}

void Chip::read_config(std::uint32_t offset, std::span<std::byte> into) {
  const bool here = answers();
  ++stats_.config_accesses;
  if (reset_) ++stats_.config_accesses_during_reset;
  if (here) {
    config_.read(offset, into);
  } else {
    fill_ones(into);
  }
}

bool Chip::write_config(std::uint32_t offset, std::span<const std::byte> from) {
  const bool here = answers();
  ++stats_.config_accesses;
  if (reset_) ++stats_.config_accesses_during_reset;
  return here && config_.write(offset, from) && begin_reset(ResetKind::kFunction);
}

void Chip::read_bar(std::size_t bar, std::uint64_t offset, std::span<std::byte> into) {
  const bool here = answers();
  ++stats_.bar_accesses;
  if (reset_) ++stats_.bar_accesses_during_reset;
  if (!here || !config_.bar_answers(bar)) return fill_ones(into);
  Access access = Access::kUnmapped;
  if (bar == 0) access = read_bar0(offset, into);
  if (bar == 1) access = translation_.read(offset, into);
  if (const auto target = translation_.bar4_target(); bar == 2 && target) access = read_bar0(*target + offset, into);
  if (access == Access::kOk) return;
  count(access);
  if (access != Access::kCut) fill_ones(into);
}

void Chip::write_bar(std::size_t bar, std::uint64_t offset, std::span<const std::byte> from) {
  const bool here = answers();
  ++stats_.bar_accesses;
  if (reset_) ++stats_.bar_accesses_during_reset;
  if (!here || !config_.bar_answers(bar)) return;
  Access access = Access::kUnmapped;
  if (bar == 0) access = write_bar0(offset, from);
  if (bar == 1) access = translation_.write(offset, from);
  if (const auto target = translation_.bar4_target(); bar == 2 && target) access = write_bar0(*target + offset, from);
  count(access);
}

void Chip::count(Access access) noexcept {
  if (access != Access::kOk) ++stats_.errors[static_cast<std::size_t>(access)];
}

}  // namespace warden::sim
