// SPDX-License-Identifier: Apache-2.0
// What each Device call says on a vfio-user connection once it is open.
#include "driver/vfio/vfio_user_client.h"

#include <fmt/format.h>
#include <linux/vfio.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>

namespace warden::vfio {
namespace {

std::span<const std::byte> bytes_of(const auto& object) { return std::as_bytes(std::span(&object, 1)); }
std::span<std::byte> writable_bytes_of(auto& object) { return std::as_writable_bytes(std::span(&object, 1)); }

}  // namespace

std::string VfioUserClient::in_words(std::string_view doing, std::uint32_t region, std::uint64_t offset,
                                     std::size_t size) const {
  return fmt::format("{}: {} {} bytes of region {} at {:#x}", name_, doing, size, region, offset);
}

// Chunks end at multiples of 8, so that no aligned word is cut in two.
std::size_t VfioUserClient::chunk_bytes(std::uint64_t offset, std::size_t left_bytes) const noexcept {
  return std::min<std::size_t>(left_bytes, max_transfer_bytes_ - (offset % 8));
}

Status VfioUserClient::read(std::uint32_t region, std::uint64_t offset, std::span<std::byte> into) {
  if (auto inside = check_range(region, offset, into.size()); !inside) return inside;
  while (!into.empty()) {
    const std::size_t step = chunk_bytes(offset, into.size());
    if (auto done = read_chunk(region, offset, into.first(step)); !done) {
      return wrap(std::move(done).error(), in_words("read", region, offset, step));
    }
    into = into.subspan(step);
    offset += step;
  }
  return {};
}

Status VfioUserClient::read_chunk(std::uint32_t region, std::uint64_t offset, std::span<std::byte> into) {
  const wire::RegionAccess asked{offset, region, static_cast<std::uint32_t>(into.size())};
  wire::RegionAccess answered{};
  const std::array request{bytes_of(asked)};
  const std::array reply{writable_bytes_of(answered), into};
  auto received = channel_.exchange({.command = wire::Command::kRegionRead,
                                     .request = request,
                                     .reply = reply,
                                     .reply_min_bytes = sizeof(answered) + into.size()});
  if (!received) return std::unexpected(std::move(received).error());
  if (answered.count == asked.count) return {};
  return channel_.break_off(fmt::format("the server read {} of {} bytes", answered.count, asked.count));
}

Status VfioUserClient::write(std::uint32_t region, std::uint64_t offset, std::span<const std::byte> from) {
  if (auto inside = check_range(region, offset, from.size()); !inside) return inside;
  while (!from.empty()) {
    const std::size_t step = chunk_bytes(offset, from.size());
    if (auto done = write_chunk(region, offset, from.first(step)); !done) {
      return wrap(std::move(done).error(), in_words("write", region, offset, step));
    }
    from = from.subspan(step);
    offset += step;
  }
  return {};
}

Status VfioUserClient::write_chunk(std::uint32_t region, std::uint64_t offset, std::span<const std::byte> from) {
  const wire::RegionAccess asked{offset, region, static_cast<std::uint32_t>(from.size())};
  wire::RegionAccess answered{};
  const std::array request{bytes_of(asked), from};
  const std::array reply{writable_bytes_of(answered)};
  auto received = channel_.exchange({.command = wire::Command::kRegionWrite,
                                     .request = request,
                                     .reply = reply,
                                     .reply_min_bytes = sizeof(answered)});
  if (!received) return std::unexpected(std::move(received).error());
  if (answered.count == asked.count) return {};
  return channel_.break_off(fmt::format("the server wrote {} of {} bytes", answered.count, asked.count));
}

Result<Mapping> VfioUserClient::map(std::uint32_t region, std::uint64_t offset, std::uint64_t size_bytes) {
  if (auto good = check_mappable(region, offset, size_bytes); !good) return std::unexpected(std::move(good).error());
  const RegionInfo& wanted = regions_[region];
  const int protection = (wanted.readable ? PROT_READ : 0) | (wanted.writable ? PROT_WRITE : 0);
  void* base = ::mmap(nullptr, size_bytes, protection, MAP_SHARED, backings_[region].memory.get(),
                      static_cast<off_t>(backings_[region].offset + offset));
  if (base == MAP_FAILED) return fail_errno(in_words("map", region, offset, size_bytes));
  return mappings_.add(base, size_bytes);
}

Status VfioUserClient::set_irqs(std::uint32_t flags, std::uint32_t index, std::uint32_t start, std::uint32_t count,
                                std::span<const int> fds) {
  const wire::SetIrqs asked{sizeof(wire::SetIrqs), flags, index, start, count};
  const std::array request{bytes_of(asked)};
  auto done = channel_.exchange(
      {.command = wire::Command::kDeviceSetIrqs, .request = request, .reply = {}, .request_fds = fds});
  if (done) return {};
  return wrap(std::move(done).error(), fmt::format("{}: interrupt {}", name_, index));
}

Status VfioUserClient::set_irq_eventfds(std::uint32_t index, std::uint32_t start, std::span<const int> fds) {
  if (auto known = check_vectors(index, start, fds.size()); !known) return known;
  while (!fds.empty()) {
    const auto step = std::min<std::size_t>(fds.size(), max_message_fds_);
    auto set = set_irqs(VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, index, start,
                        static_cast<std::uint32_t>(step), fds.first(step));
    if (!set) return set;
    fds = fds.subspan(step);
    start += static_cast<std::uint32_t>(step);
  }
  return {};
}

Status VfioUserClient::disable_irqs(std::uint32_t index) {
  if (auto known = irq(index); !known) return std::unexpected(std::move(known).error());
  return set_irqs(VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, index, 0, 0, {});
}

Status VfioUserClient::unmask_irq(std::uint32_t index) {
  if (auto known = check_automasked(index); !known) return known;
  return set_irqs(VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK, index, 0, 1, {});
}

// The protocol knows no reserved regions: what is behind the socket reaches any address.
Result<DmaLimits> VfioUserClient::dma_limits() {
  return DmaLimits{.usable = {{Iova{0}, Iova{~std::uint64_t{0}}}}, .page_sizes = page_sizes_};
}

Status VfioUserClient::dma_map(Iova iova, std::uint64_t size_bytes, int memory, std::uint64_t offset,
                               DmaAccess access) {
  const wire::DmaMap asked{sizeof(wire::DmaMap), static_cast<std::uint32_t>(access), offset, iova.value, size_bytes};
  const std::array request{bytes_of(asked)};
  const std::array fds{memory};
  auto done =
      channel_.exchange({.command = wire::Command::kDmaMap, .request = request, .reply = {}, .request_fds = fds});
  if (done) return {};
  return wrap(std::move(done).error(), fmt::format("{}: map {:#x} bytes at IOVA {:#x}", name_, size_bytes, iova.value));
}

Status VfioUserClient::dma_unmap(Iova iova, std::uint64_t size_bytes) {
  const wire::DmaUnmap asked{sizeof(wire::DmaUnmap), 0, iova.value, size_bytes};
  wire::DmaUnmap answered{};  // some servers repeat the request, some don't
  const std::array request{bytes_of(asked)};
  const std::array reply{writable_bytes_of(answered)};
  auto done = channel_.exchange({.command = wire::Command::kDmaUnmap, .request = request, .reply = reply});
  if (done) return {};
  return wrap(std::move(done).error(),
              fmt::format("{}: unmap {:#x} bytes at IOVA {:#x}", name_, size_bytes, iova.value));
}

Status VfioUserClient::reset() {
  revoke_mappings();
  auto done = channel_.exchange({.command = wire::Command::kDeviceReset, .request = {}, .reply = {}});
  if (done) return {};
  return wrap(std::move(done).error(), name_ + ": function reset");
}

Result<HotResetInfo> VfioUserClient::hot_reset_info() {
  return fail(Code::kUnsupported, name_ + ": vfio-user has no hot reset; use the function reset");
}

Status VfioUserClient::hot_reset(std::span<Device* const>) {
  return fail(Code::kUnsupported, name_ + ": vfio-user has no hot reset; use the function reset");
}

}  // namespace warden::vfio
