// SPDX-License-Identifier: Apache-2.0
// The windows of BAR0 through which a host sees tiles: aimed on demand, remembered, and leased, so that no window is
// ever turned to another tile under somebody's access.
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include <warden/result.h>

#include "driver/chip/bar.h"
#include "driver/chip/tile.h"
#include "driver/chip/window_request.h"

namespace warden::chip {

// What a window looks at. `base` is a multiple of the window's size, below 2^36.
struct WindowAim {
  Tile tile;   // of a unicast; the last corner of a multicast
  Tile first;  // of a multicast, else (0,0)
  bool multicast = false;
  std::uint8_t noc = 0;
  Ordering ordering = Ordering::kStrict;
  std::uint64_t base = 0;
  auto operator<=>(const WindowAim&) const = default;
};

// The configuration register's value for an aim (tt-isa-documentation: PCIExpressTile/TLBs).
[[nodiscard]] std::uint64_t encode(WindowSize size, const WindowAim& aim) noexcept;

class WindowPool;

// The right to use one window as it is aimed. Given back with the object.
class WindowLease {
 public:
  WindowLease(WindowLease&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)),
        index_(other.index_),
        offset_(other.offset_),
        is_reservation_(other.is_reservation_) {}
  WindowLease& operator=(WindowLease&&) = delete;
  ~WindowLease();
  [[nodiscard]] std::uint64_t bar_offset() const noexcept { return offset_; }
  [[nodiscard]] std::size_t index() const noexcept { return index_; }

 private:
  friend class WindowPool;
  WindowLease(WindowPool& pool, std::size_t index, std::uint64_t offset, bool is_reservation) noexcept
      : pool_(&pool), index_(index), offset_(offset), is_reservation_(is_reservation) {}
  WindowPool* pool_;
  std::size_t index_;  // 0..185, as in the configuration table
  std::uint64_t offset_;
  bool is_reservation_;
};

// Windows of each size that are never reserved: single accesses always find one, however much is held for long.
inline constexpr std::size_t kUnreservedWindows = 4;

// Threads: any. Leases must end before the pool.
class WindowPool {
 public:
  // At most this many windows of each size are used; all unless a test wants scarcity.
  explicit WindowPool(Bar& bar0, std::size_t limit_per_size = 256);

  // A window with this aim: a cached one, or the least recently used that nobody leases, aimed anew. Waits until
  // `deadline` when all of that size are leased: kBusy. kOffBus when the configuration reads back as all ones,
  // kFailed when it reads back otherwise than written.
  [[nodiscard]] Result<WindowLease> acquire(WindowSize size, const WindowAim& aim,
                                            std::chrono::steady_clock::time_point deadline);

  // The same for a lease that is held for long. kBusy, without waiting, when no more of that size may be reserved.
  [[nodiscard]] Result<WindowLease> reserve(WindowSize size, const WindowAim& aim);

  // Somebody else has aimed windows: what is remembered of those that nobody leases is forgotten.
  void forget_unleased();

  // After a reset, when the card has forgotten every window. No lease may be out.
  void forget_all();

 private:
  friend class WindowLease;
  struct Window {
    WindowAim aim;
    bool aimed = false;
    std::uint32_t leases = 0;
    std::uint32_t reservations = 0;  // of those leases
    std::uint64_t last_used = 0;
  };
  struct Class {
    WindowSize size;
    std::vector<Window> windows;
    std::map<WindowAim, std::size_t> by_aim;
  };

  WindowLease lease(Class& of, std::size_t slot, bool is_reservation = false);
  // Whether one more window of this size may be reserved.
  static bool has_reservable(const Class& in);
  Window* find_free(Class& in);
  Status aim(Class& in, std::size_t slot, const WindowAim& aim);
  void release(const WindowLease& lease) noexcept;

  Bar& bar0_;
  std::mutex mutex_;  // guards everything below and the configuration registers
  std::condition_variable released_;
  std::array<Class, 3> classes_;
  std::uint64_t clock_ = 0;
};

}  // namespace warden::chip
