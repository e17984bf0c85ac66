// SPDX-License-Identifier: Apache-2.0
// Mapped and trapped ways into a region.
#include "driver/chip/bar.h"

#include <cassert>

#include "driver/chip/block_copy.h"

namespace warden::chip {

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
  copy_from_card(into, static_cast<const std::byte*>(mapping_->base()) + offset);
  return {};
}

Status Bar::write(std::uint64_t offset, std::span<const std::byte> from) {
  assert(from.size() <= size_bytes_ && offset <= size_bytes_ - from.size());
  if (!mapping_) return device_->write(region_, offset, from);
  copy_to_card(static_cast<std::byte*>(mapping_->base()) + offset, from);
  return {};
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

}  // namespace warden::chip
