// SPDX-License-Identifier: Apache-2.0
// The inside of a chip: who answers a request on the NoC, and whose turn it is to run.
#include <algorithm>
#include <utility>

#include "tools/sim/chip.h"

namespace warden::sim {

namespace {

std::optional<TimePoint> earlier(std::optional<TimePoint> a, std::optional<TimePoint> b) {
  if (!a || !b) return a ? a : b;
  return std::min(*a, *b);
}

}  // namespace

std::expected<Tile*, Access> Chip::tile_at(unsigned x, unsigned y, bool noc1) {
  const auto at = grid_.resolve(x, y, noc1);
  if (!at) return std::unexpected(Access::kNoTile);
  Tile* tile = tiles_[at->index()].get();
  if (tile == nullptr) return std::unexpected(Access::kFusedOff);
  return tile;
}

Access Chip::noc_read(bool noc1, NocPlace from, std::span<std::byte> into) {
  const auto tile = tile_at(from.x, from.y, noc1);
  return tile ? (*tile)->read(from.address, into) : tile.error();
}

Access Chip::noc_write(bool noc1, NocPlace to, std::span<const std::byte> from) {
  const auto tile = tile_at(to.x, to.y, noc1);
  return tile ? (*tile)->write(to.address, from) : tile.error();
}

// Every working Tensix tile of the rectangle. It runs from start to end in the direction of its NoC, so that for
// NoC #1 and translated numbers start and end change places.
MulticastResult Chip::noc_multicast(bool noc1, const NocRectangle& to, std::span<const std::byte> from) {
  auto start = grid_.resolve(to.x_start, to.y_start, noc1);
  auto end = grid_.resolve(to.x_end, to.y_end, noc1);
  if (!start || !end) return {Access::kNoTile, 0};
  if (noc1) std::swap(start, end);
  if (start->x > end->x || start->y > end->y) return {Access::kBadWindow, 0};
  MulticastResult result;
  for (std::uint8_t y = start->y; y <= end->y; ++y) {
    for (std::uint8_t x = start->x; x <= end->x; ++x) {
      const Coordinate at{x, y};
      if (kind_of(at) != TileKind::kTensix || grid_.fused_off(at)) continue;
      ++result.receivers;
      if (const Access one = tiles_[at.index()]->write(to.address, from); one != Access::kOk) result.access = one;
    }
  }
  return result;
}

void Chip::core_woken(CoreTile& tile) {
  if (std::ranges::find(active_, &tile) == active_.end()) active_.push_back(&tile);
  has_work_();
}

CoreTile* Chip::core_tile(Coordinate at) {
  const TileKind kind = kind_of(at);
  if (kind != TileKind::kTensix && kind != TileKind::kEthernet) return nullptr;
  return static_cast<CoreTile*>(tiles_[at.index()].get());
}

bool Chip::freeze_core(Coordinate tile) {
  settle();
  CoreTile* core = core_tile(tile);
  return core != nullptr && core->freeze();
}

bool Chip::thaw_core(Coordinate tile) {
  settle();
  CoreTile* core = core_tile(tile);
  return core != nullptr && core->thaw();
}

std::vector<Coordinate> Chip::frozen_cores() {
  settle();
  std::vector<Coordinate> frozen;
  for (const CoreTile* core : cores_) {
    if (core->frozen()) frozen.push_back(core->place());
  }
  return frozen;
}

// ---- links ----

void Chip::connect(std::uint8_t channel, LinkEnd end, const LinkIdentity& identity) {
  CoreTile& tile = *core_tile(ethernet_tile(channel));
  end.link->set_bell(end.side, [this, port = tile.port()] {
    port->ring();
    links_rung_.store(true, std::memory_order_release);  // sync: chip.links_rung
    has_work_();
  });
  tile.port()->connect(std::move(end), channel, identity);
  tile.port()->come_up(now_());
  linked_.push_back(&tile);
}

bool Chip::set_plugged(std::uint8_t channel, bool plugged) {
  const auto tile = std::ranges::find(linked_, channel, [](CoreTile* one) { return one->port()->channel(); });
  if (tile == linked_.end()) return false;
  (*tile)->port()->set_plugged(plugged, now_());
  return true;
}

void Chip::links_go_down() {
  for (CoreTile* tile : linked_) tile->port()->go_down(now_());
}

void Chip::serve_links() {
  const TimePoint now = now_();
  const bool due = links_due_ && *links_due_ <= now;
  if (!links_rung_.exchange(false, std::memory_order_acq_rel) && !due) return;  // sync: chip.links_rung
  links_due_.reset();
  for (CoreTile* tile : linked_) {
    tile->serve_port(now);
    links_due_ = earlier(links_due_, tile->port()->next_change());
  }
}

// ---- turns ----

std::optional<TimePoint> Chip::run_cores(std::uint64_t instructions, std::uint64_t turn) {
  settle();
  if (reset_) return reset_->end == TimePoint::max() ? std::nullopt : std::optional(reset_->end);
  using Activity = CoreTile::Activity;
  serve_links();
  std::optional<TimePoint> next = links_due_;
  for (std::uint64_t spent = 0; spent < instructions;) {
    const TimePoint now = now_();
    bool any = false;
    // Running one may wake others: the list grows behind us.
    for (std::size_t i = 0; i < active_.size(); ++i) {  // NOLINT(modernize-loop-convert)
      CoreTile& tile = *active_[i];
      const bool due = tile.activity() == Activity::kWaitsForTime && tile.next_look() <= now;
      if (tile.activity() != Activity::kRuns && !due) continue;
      any = true;
      spent += tile.run(turn, now);
    }
    std::erase_if(active_, [](const CoreTile* tile) {
      return tile->activity() == Activity::kStopped || tile->activity() == Activity::kWaits;
    });
    if (!any) break;
  }
  for (const CoreTile* tile : active_) {
    next = earlier(next, tile->activity() == Activity::kRuns ? now_() : tile->next_look());
  }
  return next;
}

}  // namespace warden::sim
