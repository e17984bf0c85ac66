// SPDX-License-Identifier: Apache-2.0
// Aiming windows for their holders, and accesses through them.
#include "driver/chip/reserved_windows.h"

#include <fmt/format.h>

#include <cstring>

#include "driver/chip/wormhole_layout.h"

namespace warden::chip {
namespace {

// NoC 1 counts from the opposite corner.
Tile on_noc(Tile noc0, std::uint8_t noc) {
  if (noc == 0) return noc0;
  return {static_cast<std::uint8_t>(wormhole::kGridWidth - 1 - noc0.x),
          static_cast<std::uint8_t>(wormhole::kGridHeight - 1 - noc0.y)};
}

Status check(const WindowRequest& request) {
  if (request.size > WindowSize::k16M || request.ordering > Ordering::kPosted || request.noc > 1) {
    return fail(Code::kInvalidArgument, "a window of unknown size, ordering or NoC");
  }
  if (request.base % bytes_of(request.size) != 0 || request.base >= wormhole::kTileAddressEnd) {
    return fail(Code::kInvalidArgument,
                fmt::format("a window of {} MiB can't begin at {:#x}: give a multiple of its "
                            "size below {:#x}",
                            bytes_of(request.size) >> 20, request.base, wormhole::kTileAddressEnd));
  }
  if (request.multicast && request.noc != 0) return fail(Code::kInvalidArgument, "multicast windows use NoC 0");
  if (!request.multicast && request.tiles.first != request.tiles.last) {
    return fail(Code::kInvalidArgument, "a window looks at one tile unless it is a multicast");
  }
  return {};
}

struct Aimed {
  WindowAim aim;
  TileKind kind;
};

Result<Aimed> aimed_by(const NocGrid& grid, const WindowRequest& request) {
  if (auto sound = check(request); !sound) return std::unexpected(std::move(sound).error());
  WindowAim aim{.tile = {},
                .first = {},
                .multicast = request.multicast,
                .noc = request.noc,
                .ordering = request.ordering,
                .base = request.base};
  if (request.multicast) {
    auto corners = grid.resolve(request.tiles);
    if (!corners) return std::unexpected(std::move(corners).error());
    aim.tile = corners->last;
    aim.first = corners->first;
    return Aimed{aim, TileKind::kTensix};
  }
  auto place = grid.resolve(request.tiles.first);
  if (!place) return std::unexpected(std::move(place).error());
  aim.tile = on_noc(place->noc0, request.noc);
  return Aimed{aim, place->kind};
}

Status check_word(std::uint64_t offset) {
  if (offset % 4 == 0) return {};
  return fail(Code::kInvalidArgument, fmt::format("{:#x} is not a multiple of 4", offset));
}

constexpr std::string_view kReading = "read through a window";

}  // namespace

Result<std::uint32_t> ReservedWindows::reserve(const NocGrid& grid, const WindowRequest& request) {
  auto aimed = aimed_by(grid, request);
  if (!aimed) return std::unexpected(std::move(aimed).error());
  auto lease = pool_.reserve(request.size, aimed->aim);
  if (!lease) return std::unexpected(std::move(lease).error());
  const std::lock_guard lock(mutex_);
  held_.emplace(++last_number_, std::make_shared<const Held>(std::move(*lease), request, aimed->kind));
  return last_number_;
}

void ReservedWindows::release(std::uint32_t number) {
  const std::lock_guard lock(mutex_);
  held_.erase(number);
}

void ReservedWindows::forget_all() {
  const std::lock_guard lock(mutex_);
  held_.clear();
}

Result<ReservedWindows::Place> ReservedWindows::place(std::uint32_t number, std::uint64_t offset,
                                                      std::uint64_t size_bytes) {
  std::shared_ptr<const Held> window;
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = held_.find(number); found != held_.end()) window = found->second;
  }
  if (!window) return fail(Code::kStale, "this window was released, or lost in a reset; reserve it again");
  const std::uint64_t end = bytes_of(window->request.size);
  if (size_bytes > end || offset > end - size_bytes) {
    return fail(Code::kInvalidArgument,
                fmt::format("{:#x}+{:#x} is outside of a window of {} MiB", offset, size_bytes, end >> 20));
  }
  auto access = check_range(window->kind, {window->request.base + offset}, size_bytes);
  if (!access) return std::unexpected(std::move(access).error());
  const std::uint64_t bar_offset = window->lease.bar_offset() + offset;
  return Place{std::move(window), bar_offset, *access};
}

Result<ReservedWindows::Place> ReservedWindows::readable(std::uint32_t number, std::uint64_t offset,
                                                         std::uint64_t size_bytes) {
  auto found = place(number, offset, size_bytes);
  if (found && found->window->request.multicast) {
    return fail(Code::kInvalidArgument, "a multicast can't be read; reserve a window to one tile");
  }
  return found;
}

Status ReservedWindows::read(std::uint32_t number, std::uint64_t offset, std::span<std::byte> into) {
  auto from = readable(number, offset, into.size());
  if (!from) return std::unexpected(std::move(from).error());
  if (auto done = memory_.read_at(from->bar_offset, from->access, into); !done) return done;
  return memory_.check_data(into, kReading);
}

Status ReservedWindows::write(std::uint32_t number, std::uint64_t offset, std::span<const std::byte> from) {
  auto to = place(number, offset, from.size());
  if (!to) return std::unexpected(std::move(to).error());
  // Bytes of a word can't be kept by reading it first.
  if (to->window->request.multicast && (offset % 4 != 0 || from.size() % 4 != 0)) {
    return fail(Code::kInvalidArgument,
                fmt::format("a broadcast is whole words: {:#x}+{:#x} is not a multiple of 4", offset, from.size()));
  }
  return memory_.write_at(to->bar_offset, to->access, from);
}

Result<std::uint32_t> ReservedWindows::read32(std::uint32_t number, std::uint64_t offset) {
  if (auto aligned = check_word(offset); !aligned) return std::unexpected(std::move(aligned).error());
  auto from = readable(number, offset, sizeof(std::uint32_t));
  if (!from) return std::unexpected(std::move(from).error());
  std::uint32_t value = 0;
  const auto bytes = std::as_writable_bytes(std::span(&value, 1));
  // As a register: one access, whatever is there.
  if (auto done = memory_.read_at(from->bar_offset, Access::kRegisters, bytes); !done) {
    return std::unexpected(std::move(done).error());
  }
  if (auto there = memory_.check_data(bytes, kReading); !there) return std::unexpected(std::move(there).error());
  return value;
}

Status ReservedWindows::write32(std::uint32_t number, std::uint64_t offset, std::uint32_t value) {
  if (auto aligned = check_word(offset); !aligned) return aligned;
  auto to = place(number, offset, sizeof(value));
  if (!to) return std::unexpected(std::move(to).error());
  return memory_.write_at(to->bar_offset, Access::kRegisters, std::as_bytes(std::span(&value, 1)));
}

}  // namespace warden::chip
