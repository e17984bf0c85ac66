// SPDX-License-Identifier: Apache-2.0
// Mapped and trapped ways into a region.
#include "driver/chip/bar.h"

#include <fmt/format.h>

#include <cassert>
#include <cstring>

#include "driver/chip/block_copy.h"
#include "driver/vfio/fault_handler.h"

namespace warden::chip {
namespace {

vfio::CopyGuard guard(const vfio::Mapping& mapping) { return {mapping.base(), mapping.size_bytes()}; }

}  // namespace

Status Bar::map() {
  auto region = device_->region(region_);
  if (!region) return std::unexpected(std::move(region).error());
  if (!region->mappable) return {};
  auto mapping = device_->map(region_, 0, size_bytes_);
  if (mapping) {
    mapping_ = std::move(*mapping);
    return {};
  }
  if (mapping.error().code == Code::kUnsupported) return {};
  return std::unexpected(std::move(mapping).error());
}

Status Bar::read(std::uint64_t offset, std::span<std::byte> into) {
  assert(into.size() <= size_bytes_ && offset <= size_bytes_ - into.size());
  if (!mapping_) return device_->read(region_, offset, into);
  const auto* from = static_cast<const std::byte*>(mapping_->base()) + offset;
  if (guard(*mapping_).run([&] { copy_from_card(into, from); })) return {};
  return lost();
}

Status Bar::write(std::uint64_t offset, std::span<const std::byte> from) {
  assert(from.size() <= size_bytes_ && offset <= size_bytes_ - from.size());
  if (!mapping_) return device_->write(region_, offset, from);
  auto* to = static_cast<std::byte*>(mapping_->base()) + offset;
  if (guard(*mapping_).run([&] { copy_to_card(to, from); })) return {};
  return lost();
}

std::unexpected<Error> Bar::stale() const {
  return fail(Code::kStale, fmt::format("{}: region {} was mapped before a reset of the card; map it again",
                                        device_->name(), region_));
}

std::unexpected<Error> Bar::lost() const {
  if (mapping_->is_stale()) return stale();
  return fail(Code::kOffBus,
              fmt::format("{}: region {} can't be reached: the card's memory is switched off, or it is gone",
                          device_->name(), region_));
}

Result<std::uint32_t> Bar::trapped_read32(std::uint64_t offset) {
  std::uint32_t value = 0;
  auto done = device_->read(region_, offset, std::as_writable_bytes(std::span(&value, 1)));
  if (!done) return std::unexpected(std::move(done).error());
  return value;
}

Status Bar::trapped_write32(std::uint64_t offset, std::uint32_t value) {
  return device_->write(region_, offset, std::as_bytes(std::span(&value, 1)));
}

Status Bar::read_words(std::uint64_t offset, std::span<std::byte> into) {
  for (std::size_t at = 0; at < into.size(); at += 4) {
    auto word = read32(offset + at);
    if (!word) return std::unexpected(std::move(word).error());
    std::memcpy(into.data() + at, &*word, 4);
  }
  return {};
}

Status Bar::write_words(std::uint64_t offset, std::span<const std::byte> from) {
  for (std::size_t at = 0; at < from.size(); at += 4) {
    std::uint32_t word = 0;
    std::memcpy(&word, from.data() + at, 4);
    if (auto done = write32(offset + at, word); !done) return done;
  }
  return {};
}

}  // namespace warden::chip
