// SPDX-License-Identifier: Apache-2.0
// Many accesses to one card for the price of few messages: collected first, then run in order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <warden/device.h>
#include <warden/result.h>
#include <warden/tile.h>
#include <warden/window.h>

namespace warden {

// What is written and where results go is borrowed until run() has returned. Threads: one at a time.
class Batch {
 public:
  explicit Batch(const Device& device) : device_(device) {}

  // As Device's accesses, any length.
  void read(Tile tile, CardAddress address, std::span<std::byte> into);
  void write(Tile tile, CardAddress address, std::span<const std::byte> from);
  void read32(Tile tile, CardAddress address, std::uint32_t& into);
  void write32(Tile tile, CardAddress address, std::uint32_t value);
  void broadcast(TileRectangle tiles, CardAddress address, std::span<const std::byte> from);
  // As the window's accesses. The window is of the same device, and there until run() has returned.
  void read(const Window& window, std::uint64_t offset, std::span<std::byte> into);
  void write(const Window& window, std::uint64_t offset, std::span<const std::byte> from);
  void read32(const Window& window, std::uint64_t offset, std::uint32_t& into);
  void write32(const Window& window, std::uint64_t offset, std::uint32_t value);

  [[nodiscard]] std::size_t size() const noexcept { return operations_.size(); }

  // Runs what was collected, in order, and forgets it. Stops at the first failure: the error says which operation it
  // was; those before it are done, it may be done in part, those behind it are not.
  [[nodiscard]] Status run();
  // Of the last run: how many operations were done, from the first on.
  [[nodiscard]] std::size_t done_count() const noexcept { return done_count_; }

 private:
  struct Operation {
    std::uint32_t kind = 0;
    TileRectangle tiles = {};
    std::uint64_t address = 0;
    std::uint64_t window = 0;
    std::span<const std::byte> from = {};
    std::span<std::byte> into = {};
    std::uint32_t word = 0;
  };
  struct Piece;
  class Message;
  void add(std::uint32_t kind, std::uint64_t address, Operation rest);
  [[nodiscard]] Status run_pieces(const std::vector<Operation>& operations);

  Device device_;
  std::vector<Operation> operations_;
  std::size_t done_count_ = 0;
};

}  // namespace warden
