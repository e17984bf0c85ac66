// SPDX-License-Identifier: Apache-2.0
// Cuts an access at window ends and sends each piece through its window. All windows are strictly ordered, as tt-umd
// has it by default: what is written to a tile's memory is there before a register written later says so.
#include "driver/chip/tile_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "driver/chip/wormhole_layout.h"

namespace warden::chip {
namespace {

// Waiting longer for a window than any access should take means somebody is stuck.
constexpr std::chrono::seconds kWindowPatience{5};

std::chrono::steady_clock::time_point window_deadline() { return std::chrono::steady_clock::now() + kWindowPatience; }

// Small windows for tiles, of which there are many; large ones where there is much to see.
WindowSize size_for(TileKind kind) {
  return kind == TileKind::kTensix || kind == TileKind::kEthernet ? WindowSize::k1M : WindowSize::k16M;
}

struct Piece {
  std::uint64_t base;
  std::uint64_t offset;
  std::size_t size_bytes;
};

Piece first_piece(std::uint64_t address, std::size_t left_bytes, WindowSize size) {
  const std::uint64_t window_bytes = bytes_of(size);
  const std::uint64_t offset = address % window_bytes;
  return {address - offset, offset, std::min<std::size_t>(left_bytes, window_bytes - offset)};
}

Status check_word(CardAddress address) {
  if (address.value % 4 == 0) return {};
  return fail(Code::kInvalidArgument, fmt::format("{:#x} is not a multiple of 4", address.value));
}

// All ones at the end of what was read: perhaps data, perhaps nobody answered.
bool looks_off_bus(std::span<const std::byte> data) {
  const auto last = data.last(std::min<std::size_t>(data.size(), 4));
  return !last.empty() && std::all_of(last.begin(), last.end(), [](std::byte byte) { return byte == std::byte{0xFF}; });
}

std::string in_words(std::string_view doing, Tile tile, CardAddress address) {
  return fmt::format("{} tile ({},{}) at {:#x}", doing, tile.x, tile.y, address.value);
}

}  // namespace

Status TileMemory::check_on_bus(std::string_view doing) {
  auto node = bar0_.read32(wormhole::kArcNodeId);
  if (!node) return std::unexpected(std::move(node).error());
  if (*node != wormhole::kAllOnes) return {};
  return fail(Code::kOffBus, fmt::format("{}: the card does not answer, all reads give 0xffffffff", doing));
}

Status TileMemory::check_data(std::span<const std::byte> data, std::string_view doing) {
  return looks_off_bus(data) ? check_on_bus(doing) : Status{};
}

Status TileMemory::read_at(std::uint64_t bar_offset, Access access, std::span<std::byte> into) {
  return access == Access::kRegisters ? bar0_.read_words(bar_offset, into) : bar0_.read(bar_offset, into);
}

Status TileMemory::write_at(std::uint64_t bar_offset, Access access, std::span<const std::byte> from) {
  return access == Access::kRegisters ? bar0_.write_words(bar_offset, from) : bar0_.write(bar_offset, from);
}

Result<WindowLease> TileMemory::window_to(NocGrid::Place place, CardAddress address) {
  const WindowSize size = size_for(place.kind);
  const WindowAim aim{.tile = place.noc0, .first = {}, .base = address.value - address.value % bytes_of(size)};
  return windows_.acquire(size, aim, window_deadline());
}

Status TileMemory::read(const NocGrid& grid, Tile tile, CardAddress address, std::span<std::byte> into) {
  auto place = grid.resolve(tile);
  if (!place) return std::unexpected(std::move(place).error());
  auto access = check_range(place->kind, address, into.size());
  if (!access) return std::unexpected(std::move(access).error());
  const auto whole = into;
  for (std::uint64_t at = address.value; !into.empty();) {
    const Piece piece = first_piece(at, into.size(), size_for(place->kind));
    auto lease = window_to(*place, CardAddress{at});
    if (!lease) return wrap(std::move(lease).error(), in_words("read", tile, address));
    const std::uint64_t offset = lease->bar_offset() + piece.offset;
    const auto part = into.first(piece.size_bytes);
    auto done = read_at(offset, *access, part);
    if (!done) return done;
    into = into.subspan(piece.size_bytes);
    at += piece.size_bytes;
  }
  return check_data(whole, in_words("read", tile, address));
}

Status TileMemory::write(const NocGrid& grid, Tile tile, CardAddress address, std::span<const std::byte> from) {
  auto place = grid.resolve(tile);
  if (!place) return std::unexpected(std::move(place).error());
  auto access = check_range(place->kind, address, from.size());
  if (!access) return std::unexpected(std::move(access).error());
  for (std::uint64_t at = address.value; !from.empty();) {
    const Piece piece = first_piece(at, from.size(), size_for(place->kind));
    auto lease = window_to(*place, CardAddress{at});
    if (!lease) return wrap(std::move(lease).error(), in_words("write", tile, address));
    const std::uint64_t offset = lease->bar_offset() + piece.offset;
    const auto part = from.first(piece.size_bytes);
    auto done = write_at(offset, *access, part);
    if (!done) return done;
    from = from.subspan(piece.size_bytes);
    at += piece.size_bytes;
  }
  return {};
}

Result<std::uint32_t> TileMemory::read32(const NocGrid& grid, Tile tile, CardAddress address) {
  if (auto aligned = check_word(address); !aligned) return std::unexpected(std::move(aligned).error());
  auto place = grid.resolve(tile);
  if (!place) return std::unexpected(std::move(place).error());
  if (auto access = check_range(place->kind, address, 4); !access) return std::unexpected(std::move(access).error());
  auto lease = window_to(*place, address);
  if (!lease) return wrap(std::move(lease).error(), in_words("read", tile, address));
  auto value = bar0_.read32(lease->bar_offset() + address.value % bytes_of(size_for(place->kind)));
  if (!value || *value != wormhole::kAllOnes) return value;
  if (auto there = check_on_bus(in_words("read", tile, address)); !there) {
    return std::unexpected(std::move(there).error());
  }
  return value;
}

Status TileMemory::write32(const NocGrid& grid, Tile tile, CardAddress address, std::uint32_t value) {
  if (auto aligned = check_word(address); !aligned) return aligned;
  auto place = grid.resolve(tile);
  if (!place) return std::unexpected(std::move(place).error());
  if (auto access = check_range(place->kind, address, 4); !access) return std::unexpected(std::move(access).error());
  auto lease = window_to(*place, address);
  if (!lease) return wrap(std::move(lease).error(), in_words("write", tile, address));
  return bar0_.write32(lease->bar_offset() + address.value % bytes_of(size_for(place->kind)), value);
}

Status TileMemory::broadcast(const NocGrid& grid, TileRectangle tiles, CardAddress address,
                             std::span<const std::byte> from) {
  auto corners = grid.resolve(tiles);
  if (!corners) return std::unexpected(std::move(corners).error());
  auto access = check_range(TileKind::kTensix, address, from.size());
  if (!access) return std::unexpected(std::move(access).error());
  // A multicast can't be read: bytes of a word can't be kept by reading it first. One 2 MiB window sees all of L1.
  if (address.value % 4 != 0 || from.size() % 4 != 0) {
    return fail(Code::kInvalidArgument, fmt::format("a broadcast is whole words: {:#x}+{:#x} is not a multiple of 4",
                                                    address.value, from.size()));
  }
  const Piece piece = first_piece(address.value, from.size(), WindowSize::k2M);
  const WindowAim aim{.tile = corners->last, .first = corners->first, .multicast = true, .base = piece.base};
  auto lease = windows_.acquire(WindowSize::k2M, aim, window_deadline());
  if (!lease) return wrap(std::move(lease).error(), in_words("broadcast to", tiles.first, address));
  const std::uint64_t offset = lease->bar_offset() + piece.offset;
  return write_at(offset, *access, from);
}

}  // namespace warden::chip
