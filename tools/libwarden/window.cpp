// SPDX-License-Identifier: Apache-2.0
// Windows: reserving, giving back, and each access as a batch of one.
#include <warden/window.h>

#include <atomic>

#include <warden/batch.h>

#include "tools/libwarden/client.h"
#include "tools/libwarden/holding_number.h"

namespace warden {

namespace internal {

std::uint64_t next_holding_number() noexcept {
  static std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;  // only distinctness matters
}

}  // namespace internal

Result<Window> Window::ask(const Device& device, TileRectangle tiles, bool multicast, CardAddress base,
                           const WindowOptions& options) {
  const shm::ReserveWindow wanted{.device_index = device.index(),
                                  .size = static_cast<std::uint8_t>(options.size),
                                  .noc = options.noc,
                                  .ordering = static_cast<std::uint8_t>(options.ordering),
                                  .multicast = multicast,
                                  .epoch = device.epoch(),
                                  .number = internal::next_holding_number(),
                                  .base = base.value,
                                  .x = tiles.first.x,
                                  .y = tiles.first.y,
                                  .last_x = tiles.last.x,
                                  .last_y = tiles.last.y,
                                  .reserved = 0};
  if (options.noc > 1) return fail(Code::kInvalidArgument, "a card has NoC 0 and NoC 1");
  auto reply = device.session_->client().request(shm::MessageKind::kReserveWindow, internal::bytes_of(wanted), {},
                                                 {.attachment = device.attachment_});
  if (!reply) return wrap(std::move(reply).error(), "reserve a window");
  const auto reserved = shm::body_of<shm::WindowReserved>(reply->packet);
  if (!reserved) return std::unexpected(reserved.error());
  return Window(device, wanted.number, reserved->size_bytes);
}

Result<Window> Window::reserve(const Device& device, Tile tile, CardAddress base, const WindowOptions& options) {
  return ask(device, {tile, tile}, false, base, options);
}

Result<Window> Window::reserve_multicast(const Device& device, TileRectangle tiles, CardAddress base,
                                         const WindowOptions& options) {
  return ask(device, tiles, true, base, options);
}

Window& Window::operator=(Window&& other) noexcept {
  if (this == &other) return *this;
  release();
  device_ = std::move(other.device_);
  number_ = other.number_;
  size_bytes_ = other.size_bytes_;
  return *this;
}

void Window::release() noexcept {
  if (!device_.session_) return;
  const shm::ReleaseWindow release{number_};
  device_.session_->client().tell_if_attached(shm::MessageKind::kReleaseWindow, internal::bytes_of(release),
                                              {.attachment = device_.attachment_});
}

Status Window::read(std::uint64_t offset, std::span<std::byte> into) const {
  Batch batch(device_);
  batch.read(*this, offset, into);
  return batch.run();
}

Status Window::write(std::uint64_t offset, std::span<const std::byte> from) const {
  Batch batch(device_);
  batch.write(*this, offset, from);
  return batch.run();
}

Result<std::uint32_t> Window::read32(std::uint64_t offset) const {
  std::uint32_t value = 0;
  Batch batch(device_);
  batch.read32(*this, offset, value);
  if (auto done = batch.run(); !done) return std::unexpected(std::move(done).error());
  return value;
}

Status Window::write32(std::uint64_t offset, std::uint32_t value) const {
  Batch batch(device_);
  batch.write32(*this, offset, value);
  return batch.run();
}

}  // namespace warden
