// SPDX-License-Identifier: Apache-2.0
// Tile accesses on behalf of sessions.
#include "tools/wardend/tile_jobs.h"

#include <fmt/format.h>

#include <cstring>
#include <vector>

namespace warden::daemon {

namespace {

using shm::MessageKind;

struct Access {
  MessageKind kind{};
  shm::TileAccess where{};
  std::vector<std::byte> data;  // of a write: what follows the body
};

bool is_write(MessageKind kind) {
  return kind == MessageKind::kWrite || kind == MessageKind::kBroadcast || kind == MessageKind::kWrite32;
}

bool is_word(MessageKind kind) { return kind == MessageKind::kRead32 || kind == MessageKind::kWrite32; }

Result<Access> parse(shm::Packet packet) {
  const auto where = shm::body_of<shm::TileAccess>(packet);
  if (!where) return std::unexpected(where.error());
  Access access{static_cast<MessageKind>(packet.header.kind), *where, std::move(packet.body)};
  access.data.erase(access.data.begin(), access.data.begin() + sizeof(shm::TileAccess));
  const std::size_t length = is_word(access.kind) ? sizeof(std::uint32_t) : where->length_bytes;
  const std::size_t tail = is_write(access.kind) ? length : 0;
  if (length > shm::kMaxDataBytes || access.data.size() != tail) {
    return fail(Code::kProtocol, fmt::format("an access of {} bytes came with {} bytes of data (at most {} a message)",
                                             length, access.data.size(), shm::kMaxDataBytes));
  }
  return access;
}

// Empty for writes.
Result<std::vector<std::byte>> perform(chip::Chip& chip, const Access& access) {
  const chip::Handle handle(chip, access.where.epoch);
  const chip::Tile tile{access.where.x, access.where.y};
  const chip::CardAddress address{access.where.address};
  std::vector<std::byte> data;
  Status status;
  switch (access.kind) {
    case MessageKind::kRead:
      data.resize(access.where.length_bytes);
      status = handle.read(tile, address, data);
      break;
    case MessageKind::kWrite: status = handle.write(tile, address, access.data); break;
    case MessageKind::kBroadcast:
      status = handle.broadcast({tile, {access.where.last_x, access.where.last_y}}, address, access.data);
      break;
    case MessageKind::kRead32: {
      const Result<std::uint32_t> value = handle.read32(tile, address);
      if (!value) return std::unexpected(value.error());
      data.resize(sizeof(std::uint32_t));
      std::memcpy(data.data(), &*value, data.size());
      break;
    }
    default: {
      std::uint32_t value = 0;
      std::memcpy(&value, access.data.data(), sizeof(value));
      status = handle.write32(tile, address, value);
    }
  }
  if (!status) return std::unexpected(std::move(status).error());
  return data;
}

}  // namespace

Result<TileJob> make_tile_job(std::shared_ptr<Session> session, shm::Packet packet, const Replier& replier,
                              DeviceLost lost) {
  const std::uint32_t request = packet.header.request;
  Result<Access> access = parse(std::move(packet));
  if (!access) return std::unexpected(std::move(access).error());
  TileJob job{access->where.device_index, access->where.epoch, {}};
  job.work = [session = std::move(session), request, access = std::move(*access), &replier,
              lost = std::move(lost)](chip::Chip& chip) {
    session->jobs_under_way.fetch_sub(1);
    const Result<std::vector<std::byte>> data = perform(chip, access);
    if (data) return replier.done(*session, request, *data);
    if (data.error().code == Code::kDisconnected) lost(access.where.device_index, data.error().message);
    replier.refuse(*session, request, data.error());
  };
  return job;
}

}  // namespace warden::daemon
