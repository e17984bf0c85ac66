// SPDX-License-Identifier: Apache-2.0
// A window of a card kept aimed for this session: accesses through it choose NoC and ordering themselves and cost the
// card no aiming.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <warden/device.h>
#include <warden/result.h>
#include <warden/tile.h>

namespace warden {

enum class WindowSize : std::uint8_t { k1M = 0, k2M = 1, k16M = 2 };

enum class WindowOrdering : std::uint8_t {
  kDefault = 0,  // a read sees writes before it; two writes may pass each other
  kStrict = 1,   // as issued, through all strict windows
  kPosted = 2,   // fire and forget
};

struct WindowOptions {
  WindowSize size = WindowSize::k1M;
  WindowOrdering ordering = WindowOrdering::kStrict;
  std::uint8_t noc = 0;  // 0 or 1; tiles are named by their NoC 0 coordinates all the same
};

// Given back when it goes. After a reset, or when the session was attached anew, accesses answer kStale: open the
// device again and reserve another. Threads: any.
class Window {
 public:
  // `base` is a multiple of the window's size. kBusy: over what wardend allows this session, or all are taken.
  [[nodiscard]] static Result<Window> reserve(const Device& device, Tile tile, CardAddress base,
                                              const WindowOptions& options = {});
  // To every working Tensix tile of the rectangle, over NoC 0; can only be written.
  [[nodiscard]] static Result<Window> reserve_multicast(const Device& device, TileRectangle tiles, CardAddress base,
                                                        const WindowOptions& options = {});

  Window(Window&& other) noexcept = default;
  Window& operator=(Window&& other) noexcept;
  ~Window() { release(); }

  // At an offset in the window; otherwise as Device's accesses.
  [[nodiscard]] Status read(std::uint64_t offset, std::span<std::byte> into) const;
  [[nodiscard]] Status write(std::uint64_t offset, std::span<const std::byte> from) const;
  [[nodiscard]] Result<std::uint32_t> read32(std::uint64_t offset) const;
  [[nodiscard]] Status write32(std::uint64_t offset, std::uint32_t value) const;

  [[nodiscard]] std::uint64_t size_bytes() const noexcept { return size_bytes_; }

 private:
  friend class Batch;
  Window(Device device, std::uint64_t number, std::uint64_t size_bytes) noexcept
      : device_(std::move(device)), number_(number), size_bytes_(size_bytes) {}
  static Result<Window> ask(const Device& device, TileRectangle tiles, bool multicast, CardAddress base,
                            const WindowOptions& options);
  void release() noexcept;

  Device device_;  // without a session when moved from: nothing to release
  std::uint64_t number_;
  std::uint64_t size_bytes_;
};

}  // namespace warden
