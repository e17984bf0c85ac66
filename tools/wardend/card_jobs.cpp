// SPDX-License-Identifier: Apache-2.0
// One function a kind of request: its message read, its work, its answer.
#include "tools/wardend/card_jobs.h"

#include <fmt/format.h>

#include <vector>

#include "tools/wardend/batch.h"
#include "tools/wardend/operation.h"

namespace warden::daemon {

namespace {

using shm::BatchKind;
using shm::MessageKind;

// Whom to answer, and what about.
struct Asker {
  std::shared_ptr<Session> session;
  std::uint32_t request;
  std::uint32_t device_index;
  CardJobParts parts;

  void refuse(const Error& error) const {
    note(error);
    parts.replier.refuse(*session, request, error);
  }
  void note(const Error& error) const {
    if (error.code == Code::kDisconnected) parts.lost(device_index, error.message);
  }
};

// `work` answers the asker.
template <typename Work>
CardJob job_of(Asker asker, std::uint64_t epoch, Work work) {
  const std::uint32_t device_index = asker.device_index;
  return {device_index, epoch, [asker = std::move(asker), work = std::move(work)](chip::Chip& chip) {
            asker.session->jobs_under_way.fetch_sub(1);
            work(asker, chip);
          }};
}

BatchKind operation_kind(MessageKind kind) {
  switch (kind) {
    case MessageKind::kRead: return BatchKind::kRead;
    case MessageKind::kWrite: return BatchKind::kWrite;
    case MessageKind::kBroadcast: return BatchKind::kBroadcast;
    case MessageKind::kRead32: return BatchKind::kRead32;
    default: return BatchKind::kWrite32;
  }
}

Result<CardJob> access_job(Asker asker, shm::Packet packet) {
  const auto where = shm::body_of<shm::TileAccess>(packet);
  if (!where) return std::unexpected(where.error());
  const BatchKind kind = operation_kind(static_cast<MessageKind>(packet.header.kind));
  const std::uint32_t length = is_word(kind) ? sizeof(std::uint32_t) : where->length_bytes;
  std::vector<std::byte> data = std::move(packet.body);
  data.erase(data.begin(), data.begin() + sizeof(shm::TileAccess));
  if (length > shm::kMaxDataBytes || data.size() != (is_write(kind) ? length : 0)) {
    return fail(Code::kProtocol, fmt::format("an access of {} bytes came with {} bytes of data (at most {} a message)",
                                             length, data.size(), shm::kMaxDataBytes));
  }
  const shm::BatchOperation operation{.kind = static_cast<std::uint32_t>(kind),
                                      .length_bytes = length,
                                      .address = where->address,
                                      .window = 0,
                                      .x = where->x,
                                      .y = where->y,
                                      .last_x = where->last_x,
                                      .last_y = where->last_y,
                                      .reserved = 0};
  asker.device_index = where->device_index;
  return job_of(
      std::move(asker), where->epoch,
      [operation, epoch = where->epoch, data = std::move(data)](const Asker& asks, chip::Chip& chip) {
        const OperationScope scope{chip, asks.parts.broker, asks.session->identity.id, asks.device_index, epoch};
        std::vector<std::byte> into(is_write(static_cast<BatchKind>(operation.kind)) ? 0 : operation.length_bytes);
        const Status done = perform(scope, operation, data, into);
        if (!done) return asks.refuse(done.error());
        asks.parts.replier.done(*asks.session, asks.request, into);
      });
}

Result<CardJob> batch_job(Asker asker, const shm::Packet& packet) {
  auto batch = BatchWork::parse(packet.body);
  if (!batch) return std::unexpected(std::move(batch).error());
  asker.device_index = batch->device_index();
  const std::uint64_t epoch = batch->epoch();
  return job_of(std::move(asker), epoch, [batch = std::move(*batch)](const Asker& asks, chip::Chip& chip) {
    const BatchWork::Outcome outcome =
        batch.run({chip, asks.parts.broker, asks.session->identity.id, asks.device_index, batch.epoch()});
    if (!outcome.failure) asks.note(outcome.failure.error());
    asks.parts.replier.done(*asks.session, asks.request, outcome.reply);
  });
}

Status check_numbered(std::uint64_t number, bool sound) {
  if (number != 0 && sound) return {};
  return fail(Code::kProtocol, "a request for a window or a buffer that makes no sense");
}

Result<CardJob> window_job(Asker asker, const shm::Packet& packet) {
  const auto wanted = shm::body_of<shm::ReserveWindow>(packet);
  if (!wanted) return std::unexpected(wanted.error());
  const bool sound = wanted->size <= static_cast<std::uint8_t>(shm::WindowClass::k16M) && wanted->noc <= 1 &&
                     wanted->ordering <= static_cast<std::uint8_t>(shm::WindowOrdering::kPosted) &&
                     wanted->multicast <= 1;
  if (Status ok = check_numbered(wanted->number, sound); !ok) return std::unexpected(ok.error());
  asker.device_index = wanted->device_index;
  return job_of(std::move(asker), wanted->epoch, [wanted = *wanted](const Asker& asks, chip::Chip& chip) {
    const Status reserved = asks.parts.broker.reserve_window(chip, *asks.session, wanted);
    if (!reserved) return asks.refuse(reserved.error());
    const shm::WindowReserved answer{chip::bytes_of(static_cast<chip::WindowSize>(wanted.size))};
    asks.parts.replier.done(*asks.session, asks.request, bytes_of(answer));
  });
}

Result<CardJob> dma_job(Asker asker, const shm::Packet& packet) {
  const auto wanted = shm::body_of<shm::MapDma>(packet);
  if (!wanted) return std::unexpected(wanted.error());
  if (Status ok = check_numbered(wanted->number, true); !ok) return std::unexpected(ok.error());
  asker.device_index = wanted->device_index;
  return job_of(std::move(asker), wanted->epoch, [wanted = *wanted](const Asker& asks, chip::Chip& chip) {
    const auto mapped = asks.parts.broker.map_dma(chip, *asks.session, wanted);
    if (!mapped) return asks.refuse(mapped.error());
    const int fd = mapped->memory.get();
    asks.parts.replier.done(*asks.session, asks.request, bytes_of(mapped->where), {&fd, 1});
  });
}

}  // namespace

Result<CardJob> make_card_job(std::shared_ptr<Session> session, shm::Packet packet, CardJobParts parts) {
  Asker asker{std::move(session), packet.header.request, 0, std::move(parts)};
  switch (static_cast<MessageKind>(packet.header.kind)) {
    case MessageKind::kBatch: return batch_job(std::move(asker), packet);
    case MessageKind::kReserveWindow: return window_job(std::move(asker), packet);
    case MessageKind::kMapDma: return dma_job(std::move(asker), packet);
    default: return access_job(std::move(asker), std::move(packet));
  }
}

}  // namespace warden::daemon
