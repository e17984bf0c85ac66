// SPDX-License-Identifier: Apache-2.0
// Window configuration and the pool. The pool's lock is held while a window is aimed: a thread that finds the aim
// cached may rely on the configuration having arrived.
#include "driver/chip/windows.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "driver/chip/wormhole_layout.h"

namespace warden::chip {
namespace {

const wormhole::WindowClass& layout_of(WindowSize size) noexcept {
  switch (size) {
    case WindowSize::k1M: return wormhole::kWindows1M;
    case WindowSize::k2M: return wormhole::kWindows2M;
    case WindowSize::k16M: break;
  }
  return wormhole::kWindows16M;
}

}  // namespace

std::uint64_t bytes_of(WindowSize size) noexcept { return std::uint64_t{1} << layout_of(size).size_log2; }

std::uint64_t encode(WindowSize size, const WindowAim& aim) noexcept {
  const auto& layout = layout_of(size);
  assert(aim.base % bytes_of(size) == 0 && aim.base < wormhole::kTileAddressEnd);
  unsigned bit = layout.address_bits;
  std::uint64_t value = aim.base >> layout.size_log2;
  const auto field = [&](std::uint64_t content, unsigned width) {
    value |= content << bit;
    bit += width;
  };
  field(aim.tile.x, 6);
  field(aim.tile.y, 6);
  field(aim.multicast ? aim.first.x : 0U, 6);
  field(aim.multicast ? aim.first.y : 0U, 6);
  field(aim.noc, 1);
  field(aim.multicast ? 1 : 0, 1);
  field(static_cast<std::uint64_t>(aim.ordering), 2);
  return value;  // linked and static VC stay 0
}

WindowLease::~WindowLease() {
  if (pool_ != nullptr) pool_->release(*this);
}

WindowPool::WindowPool(Bar& bar0, std::size_t limit_per_size)
    : bar0_(bar0), classes_{Class{WindowSize::k1M, {}, {}}, {WindowSize::k2M, {}, {}}, {WindowSize::k16M, {}, {}}} {
  for (Class& each : classes_) each.windows.resize(std::min(limit_per_size, layout_of(each.size).count));
}

WindowLease WindowPool::lease(Class& of, std::size_t slot, bool is_reservation) {
  Window& window = of.windows[slot];
  ++window.leases;
  if (is_reservation) ++window.reservations;
  window.last_used = ++clock_;
  const auto& layout = layout_of(of.size);
  return WindowLease(*this, layout.first_index + slot, layout.first_offset + (slot << layout.size_log2),
                     is_reservation);
}

bool WindowPool::has_reservable(const Class& in) {
  const auto reserved = static_cast<std::size_t>(
      std::ranges::count_if(in.windows, [](const Window& window) { return window.reservations != 0; }));
  return reserved + kUnreservedWindows < in.windows.size();
}

WindowPool::Window* WindowPool::find_free(Class& in) {
  Window* oldest = nullptr;
  for (Window& window : in.windows) {
    if (window.leases == 0 && (oldest == nullptr || window.last_used < oldest->last_used)) oldest = &window;
  }
  return oldest;
}

Result<WindowLease> WindowPool::acquire(WindowSize size, const WindowAim& wanted,
                                        std::chrono::steady_clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  Class& in = classes_[static_cast<std::size_t>(size)];
  for (;;) {
    if (const auto cached = in.by_aim.find(wanted); cached != in.by_aim.end()) return lease(in, cached->second);
    if (Window* window = find_free(in); window != nullptr) {
      const auto slot = static_cast<std::size_t>(window - in.windows.data());
      if (auto aimed = aim(in, slot, wanted); !aimed) return std::unexpected(std::move(aimed).error());
      return lease(in, slot);
    }
    if (released_.wait_until(lock, deadline) == std::cv_status::timeout) {
      return fail(Code::kBusy, fmt::format("all {} windows of {} MiB are in use; try again", in.windows.size(),
                                           bytes_of(size) >> 20));
    }
  }
}

Result<WindowLease> WindowPool::reserve(WindowSize size, const WindowAim& wanted) {
  const std::lock_guard lock(mutex_);
  Class& in = classes_[static_cast<std::size_t>(size)];
  const auto cached = in.by_aim.find(wanted);
  const bool is_cached = cached != in.by_aim.end();
  const bool is_reserved = is_cached && in.windows[cached->second].reservations != 0;
  Window* window = is_cached ? &in.windows[cached->second] : find_free(in);
  if (window == nullptr || (!is_reserved && !has_reservable(in))) {
    return fail(Code::kBusy, fmt::format("no more windows of {} MiB can be reserved; release one, or access the tile "
                                         "without",
                                         bytes_of(size) >> 20));
  }
  const auto slot = static_cast<std::size_t>(window - in.windows.data());
  if (!is_cached) {
    if (auto aimed = aim(in, slot, wanted); !aimed) return std::unexpected(std::move(aimed).error());
  }
  return lease(in, slot, true);
}

Status WindowPool::aim(Class& in, std::size_t slot, const WindowAim& wanted) {
  Window& window = in.windows[slot];
  if (window.aimed) in.by_aim.erase(window.aim);
  window.aimed = false;
  const std::size_t index = layout_of(in.size).first_index + slot;
  const std::uint64_t config = wormhole::kWindowConfig + index * wormhole::kWindowConfigStride;
  const std::uint64_t value = encode(in.size, wanted);
  const auto low = static_cast<std::uint32_t>(value);
  const auto high = static_cast<std::uint32_t>(value >> 32);
  // Low word first, as tt-kmd does. Reading back keeps the first access through the window behind the configuration,
  // and tells a card that has lost its BARs from one that took it.
  if (auto wrote = bar0_.write32(config, low); !wrote) return wrote;
  if (auto wrote = bar0_.write32(config + 4, high); !wrote) return wrote;
  auto low_back = bar0_.read32(config);
  if (!low_back) return std::unexpected(std::move(low_back).error());
  auto high_back = bar0_.read32(config + 4);
  if (!high_back) return std::unexpected(std::move(high_back).error());
  if (*low_back == wormhole::kAllOnes && *high_back == wormhole::kAllOnes) {
    return fail(Code::kOffBus, fmt::format("the card is off the bus: window {} reads as all ones", index));
  }
  if (*low_back != low || *high_back != high) {
    return fail(Code::kFailed, fmt::format("window {} was set to {:#018x} and reads {:#010x}{:08x}", index, value,
                                           *high_back, *low_back));
  }
  window.aim = wanted;
  window.aimed = true;
  in.by_aim.emplace(wanted, slot);
  return {};
}

void WindowPool::release(const WindowLease& lease) noexcept {
  const std::size_t index = lease.index_;
  {
    const std::lock_guard lock(mutex_);
    for (Class& each : classes_) {
      const auto& layout = layout_of(each.size);
      if (index < layout.first_index || index >= layout.first_index + layout.count) continue;
      Window& window = each.windows[index - layout.first_index];
      assert(window.leases > 0);
      if (lease.is_reservation_) --window.reservations;
      if (--window.leases != 0) return;
    }
  }
  // All, since waiters may want different sizes.
  released_.notify_all();
}

void WindowPool::forget_unleased() {
  const std::lock_guard lock(mutex_);
  for (Class& each : classes_) {
    for (Window& window : each.windows) {
      if (window.leases != 0 || !window.aimed) continue;
      each.by_aim.erase(window.aim);
      window = {};
    }
  }
}

void WindowPool::forget_all() {
  const std::lock_guard lock(mutex_);
  for (Class& each : classes_) {
    each.by_aim.clear();
    for (Window& window : each.windows) {
      assert(window.leases == 0);
      window = {};
    }
  }
}

}  // namespace warden::chip
