// SPDX-License-Identifier: Apache-2.0
// Tile accesses as requests, in pieces that fit a message.
#include <warden/device.h>

#include <algorithm>
#include <cstring>

#include "tools/libwarden/client.h"

namespace warden {

namespace {

shm::TileAccess access_to(const Device& device, TileRectangle tiles, CardAddress address, std::size_t len_bytes) {
  return {.device_index = device.index(),
          .length_bytes = static_cast<std::uint32_t>(len_bytes),
          .epoch = device.epoch(),
          .address = address.value,
          .x = tiles.first.x,
          .y = tiles.first.y,
          .last_x = tiles.last.x,
          .last_y = tiles.last.y,
          .reserved = 0};
}

// Of one attachment only: a handle does not survive a reattachment.
class Requests {
 public:
  Requests(Session& session, std::uint64_t attachment) : client_(session.client()), scope_{.attachment = attachment} {}

  Status write(shm::MessageKind kind, const shm::TileAccess& access, std::span<const std::byte> from) {
    auto reply = client_.request(kind, internal::bytes_of(access), from, scope_);
    if (!reply) return std::unexpected(std::move(reply).error());
    return {};
  }

  Status read(shm::MessageKind kind, const shm::TileAccess& access, std::span<std::byte> into) {
    auto reply = client_.request(kind, internal::bytes_of(access), {}, scope_);
    if (!reply) return std::unexpected(std::move(reply).error());
    const auto& data = reply->packet.body;
    if (data.size() != into.size()) {
      return fail(Code::kProtocol,
                  "read of " + std::to_string(into.size()) + " bytes was answered with " + std::to_string(data.size()));
    }
    std::ranges::copy(data, into.begin());
    return {};
  }

 private:
  internal::Client& client_;
  internal::RequestScope scope_;
};

// Calls `access` for each piece: its address and its part of the bytes.
template <typename Bytes, typename Access>
Status in_pieces(CardAddress address, Bytes bytes, Access access) {
  while (!bytes.empty()) {
    const auto piece = bytes.first(std::min(bytes.size(), shm::kMaxDataBytes));
    if (auto ok = access(address, piece); !ok) return ok;
    address.value += piece.size();
    bytes = bytes.subspan(piece.size());
  }
  return {};
}

}  // namespace

Result<Device> Device::open(std::shared_ptr<Session> session, std::string_view name) {
  shm::OpenDevice open{};
  if (name.empty() || name.size() >= sizeof(open.name)) {
    return fail(Code::kInvalidArgument, "device name '" + std::string(name) + "' must have 1 to " +
                                            std::to_string(sizeof(open.name) - 1) + " bytes");
  }
  name.copy(open.name, name.size());
  auto reply = session->client().request(shm::MessageKind::kOpenDevice, internal::bytes_of(open));
  if (!reply) return wrap(std::move(reply).error(), "open " + std::string(name));
  const auto opened = shm::body_of<shm::DeviceOpened>(reply->packet);
  if (!opened) return std::unexpected(opened.error());
  return Device(std::move(session), opened->index, opened->epoch, reply->attachment);
}

Status Device::read(Tile tile, CardAddress address, std::span<std::byte> into) {
  Requests requests(*session_, attachment_);
  return in_pieces(address, into, [&](CardAddress at, std::span<std::byte> piece) {
    return requests.read(shm::MessageKind::kRead, access_to(*this, {tile, tile}, at, piece.size()), piece);
  });
}

Status Device::write(Tile tile, CardAddress address, std::span<const std::byte> from) {
  Requests requests(*session_, attachment_);
  return in_pieces(address, from, [&](CardAddress at, std::span<const std::byte> piece) {
    return requests.write(shm::MessageKind::kWrite, access_to(*this, {tile, tile}, at, piece.size()), piece);
  });
}

Result<std::uint32_t> Device::read32(Tile tile, CardAddress address) {
  std::uint32_t value = 0;
  auto read = Requests(*session_, attachment_)
                  .read(shm::MessageKind::kRead32, access_to(*this, {tile, tile}, address, sizeof(value)),
                        std::as_writable_bytes(std::span(&value, 1)));
  if (!read) return std::unexpected(std::move(read).error());
  return value;
}

Status Device::write32(Tile tile, CardAddress address, std::uint32_t value) {
  return Requests(*session_, attachment_)
      .write(shm::MessageKind::kWrite32, access_to(*this, {tile, tile}, address, sizeof(value)),
             internal::bytes_of(value));
}

Status Device::broadcast(TileRectangle tiles, CardAddress address, std::span<const std::byte> from) {
  Requests requests(*session_, attachment_);
  return in_pieces(address, from, [&](CardAddress at, std::span<const std::byte> piece) {
    return requests.write(shm::MessageKind::kBroadcast, access_to(*this, tiles, at, piece.size()), piece);
  });
}

Result<DirectAccess> Device::direct() {
  const shm::DirectGrant wanted{.device_index = index_, .reserved = 0, .epoch = epoch_};
  auto reply = session_->client().request(shm::MessageKind::kDirectGrant, internal::bytes_of(wanted), {},
                                          {.attachment = attachment_});
  if (!reply) return wrap(std::move(reply).error(), "drive the card directly");
  const auto granted = shm::body_of<shm::DirectGranted>(reply->packet);
  if (!granted) return std::unexpected(granted.error());
  return DirectAccess{std::string(granted->name, ::strnlen(granted->name, sizeof(granted->name))),
                      std::move(reply->packet.fds)};
}

}  // namespace warden
