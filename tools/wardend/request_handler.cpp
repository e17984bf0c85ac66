// SPDX-License-Identifier: Apache-2.0
// Requests of sessions, kind by kind.
#include "tools/wardend/request_handler.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "tools/wardend/listings.h"
#include "tools/wardend/status_listing.h"

namespace warden::daemon {

namespace {

using shm::MessageKind;
using std::chrono::milliseconds;

constexpr std::uint32_t kMaxJobsPerSession = 256;
constexpr milliseconds kTelemetryPatience{1000};

// Body and its JSON tail as the order of a reset: devices by name, cause.
struct ResetText {
  std::vector<std::string> devices;
  std::string cause;
};

Result<ResetText> text_of_reset(const shm::Packet& packet) {
  const auto* tail = reinterpret_cast<const char*>(packet.body.data()) + sizeof(shm::ResetRequest);
  const std::string text(tail, packet.body.size() - sizeof(shm::ResetRequest));
  try {
    const auto json = nlohmann::json::parse(text.empty() ? "{}" : text);
    return ResetText{json.value("devices", std::vector<std::string>()), json.value("reason", std::string("requested"))};
  } catch (const std::exception& error) {
    return fail(Code::kProtocol, std::string("text of the reset request: ") + error.what());
  }
}

Status check_policies(const shm::ResetRequest& request) {
  if (request.on_timeout > static_cast<std::uint32_t>(shm::TimeoutPolicy::kKill) ||
      request.on_conflict > static_cast<std::uint32_t>(shm::ConflictPolicy::kRefuse) || request.token == 0) {
    return fail(Code::kProtocol, "reset request with unknown policy or without token");
  }
  return {};
}

}  // namespace

Status RequestHandler::handle(const SessionPointer& session, shm::Packet packet) {
  const std::uint32_t request = packet.header.request;
  switch (static_cast<MessageKind>(packet.header.kind)) {
    case MessageKind::kListen: return listen(session, packet);
    case MessageKind::kOpenDevice: return open_device(session, packet);
    case MessageKind::kRead:
    case MessageKind::kWrite:
    case MessageKind::kBroadcast:
    case MessageKind::kRead32:
    case MessageKind::kWrite32:
    case MessageKind::kReserveWindow:
    case MessageKind::kMapDma:
    case MessageKind::kBatch: return ask_card(session, std::move(packet));
    case MessageKind::kDirectGrant: return grant_direct(session, packet);
    case MessageKind::kReleaseWindow: return release_window(session, packet);
    case MessageKind::kUnmapDma: return unmap_dma(session, packet);
    case MessageKind::kReset: return reset(session, packet);
    case MessageKind::kReport: return report(session, packet);
    case MessageKind::kExtend: return extend(session, packet);
    case MessageKind::kListDevices: list_devices(session, request); return {};
    case MessageKind::kListSessions: list_sessions(session, request); return {};
    case MessageKind::kListAllocations: return list_allocations(session, packet);
    case MessageKind::kStatus: show_status(session, request); return {};
    default: return fail(Code::kProtocol, fmt::format("sent a message of kind {}", packet.header.kind));
  }
}

Status RequestHandler::listen(const SessionPointer& session, const shm::Packet& packet) {
  const auto body = shm::body_of<shm::Listen>(packet);
  if (!body) return std::unexpected(body.error());
  parts_.sessions.listen(*session, body->device_mask);
  parts_.replier.done(*session, packet.header.request);
  return {};
}

Status RequestHandler::open_device(const SessionPointer& session, const shm::Packet& packet) {
  const auto body = shm::body_of<shm::OpenDevice>(packet);
  if (!body) return std::unexpected(body.error());
  const std::string_view name(body->name, ::strnlen(body->name, sizeof(body->name)));
  const Result<std::uint32_t> index = parts_.devices.find(name);
  const Result<std::uint64_t> epoch = index ? parts_.devices.at(*index).open() : std::unexpected(index.error());
  if (!epoch) {
    parts_.replier.refuse(*session, packet.header.request, epoch.error());
    return {};
  }
  const std::uint64_t bit = std::uint64_t{1} << *index;
  if ((session->opened_devices.fetch_or(bit) & bit) == 0) {
    if (Status kept = keep_session_blob(parts_.keeper, *session); !kept) return kept;
  }
  parts_.replier.done(*session, packet.header.request, bytes_of(shm::DeviceOpened{*index, 0, *epoch}));
  return {};
}

Status RequestHandler::ask_card(const SessionPointer& session, shm::Packet packet) {
  const std::uint32_t request = packet.header.request;
  const auto lost = [this](std::uint32_t index, const std::string& reason) {
    parts_.mailbox.post([this, index, reason] { lose_device(index, reason); });
  };
  Result<CardJob> job = make_card_job(session, std::move(packet), {parts_.replier, parts_.broker, lost});
  if (!job) return std::unexpected(std::move(job).error());
  if (Status submitted = submit(session, std::move(*job)); !submitted) {
    parts_.replier.refuse(*session, request, submitted.error());
  }
  return {};
}

Status RequestHandler::check_opened(const Session& session, std::uint32_t device_index) const {
  if (device_index >= parts_.devices.count()) {
    return fail(Code::kNotFound,
                fmt::format("no device {}; wardend has {}", device_index, parts_.devices.names_text()));
  }
  if (((session.opened_devices.load() >> device_index) & 1U) != 0) return {};
  return fail(Code::kStale, "this session has not opened the device; open it first");
}

Status RequestHandler::submit(const SessionPointer& session, CardJob job) {
  if (Status opened = check_opened(*session, job.device_index); !opened) return opened;
  if (session->jobs_under_way.load() >= kMaxJobsPerSession) {
    return fail(Code::kBusy, fmt::format("{} accesses of this session are waiting already; read the answers first",
                                         kMaxJobsPerSession));
  }
  session->jobs_under_way.fetch_add(1);
  Status submitted = parts_.devices.at(job.device_index).submit(*session, job.epoch, std::move(job.work));
  if (!submitted) session->jobs_under_way.fetch_sub(1);
  return submitted;
}

Status RequestHandler::release_window(const SessionPointer& session, const shm::Packet& packet) {
  const auto body = shm::body_of<shm::ReleaseWindow>(packet);
  if (!body) return std::unexpected(body.error());
  const HoldingKey key{session->identity.id, body->number};
  give_back(session, packet.header.request, parts_.broker.device_of_window(key), [this, key](chip::Chip& chip) {
    parts_.broker.release_window(chip, key);
    return Status{};
  });
  return {};
}

Status RequestHandler::unmap_dma(const SessionPointer& session, const shm::Packet& packet) {
  const auto body = shm::body_of<shm::UnmapDma>(packet);
  if (!body) return std::unexpected(body.error());
  const HoldingKey key{session->identity.id, body->number};
  give_back(session, packet.header.request, parts_.broker.device_of_buffer(key),
            [this, key](chip::Chip& chip) { return parts_.broker.unmap_dma(chip, key); });
  return {};
}

Status RequestHandler::grant_direct(const SessionPointer& session, const shm::Packet& packet) {
  const auto body = shm::body_of<shm::DirectGrant>(packet);
  if (!body) return std::unexpected(body.error());
  const std::uint32_t request = packet.header.request;
  const std::uint32_t index = body->device_index;
  Status asked = check_opened(*session, index);
  if (asked && !session->is_operator()) {
    asked = fail(Code::kPermission, fmt::format("user {} may not drive cards directly: that takes the operator right",
                                                session->identity.user_id));
  }
  if (asked) {
    DeviceThread& device = parts_.devices.at(index);
    const auto ready = [this, session, request, name = device.name()](const Result<UniqueFd>& peer) {
      if (!peer) return parts_.replier.refuse(*session, request, peer.error());
      shm::DirectGranted answer{};
      name.copy(answer.name, sizeof(answer.name) - 1);
      const int fd = peer->get();
      parts_.replier.done(*session, request, bytes_of(answer), {&fd, 1});
      spdlog::warn("session {}: pid {} ({}) drives {} directly", session->identity.id, session->identity.pid,
                   session->identity.name, name);
    };
    const auto check = [this, index]() -> Status {
      if (!parts_.broker.has_windows(index)) return {};
      return fail(Code::kBusy, "windows of the card are held; one alone can drive it, so release them first");
    };
    asked = device.grant_direct(*session, body->epoch, check, ready);
  }
  if (!asked) parts_.replier.refuse(*session, request, asked.error());
  return {};
}

// Also during a reset, and whatever the epoch: only less is held afterwards. Without a chip it waits for the session's
// end; the card can reach nothing meanwhile.
void RequestHandler::give_back(const SessionPointer& session, std::uint32_t request,
                               std::optional<std::uint32_t> device_index, std::function<Status(chip::Chip&)> work) {
  if (!device_index) return parts_.replier.done(*session, request);
  if (session->jobs_under_way.load() >= kMaxJobsPerSession) {
    return parts_.replier.refuse(*session, request, {Code::kBusy, "read the answers first"});
  }
  const auto job = [this, session, request, work = std::move(work)](chip::Chip& chip) {
    session->jobs_under_way.fetch_sub(1);
    const Status done = work(chip);
    if (done) return parts_.replier.done(*session, request);
    parts_.replier.refuse(*session, request, done.error());
  };
  session->jobs_under_way.fetch_add(1);
  if (!parts_.devices.at(*device_index).post(job)) {
    session->jobs_under_way.fetch_sub(1);
    parts_.replier.refuse(*session, request, {Code::kOffBus, "the card is lost; what is held ends with the session"});
  }
}

void RequestHandler::lose_device(std::uint32_t index, const std::string& reason) {
  spdlog::error("{} is lost: {}", parts_.devices.at(index).name(), reason);
  parts_.devices.at(index).lose(reason);
  parts_.devices.publish_row(index);
  parts_.devices.publish_change(index, parts_.board);
}

void RequestHandler::fail_device(std::uint32_t index, const std::string& reason) {
  if (!parts_.devices.at(index).break_down(reason)) return;
  spdlog::error("{} does not work: {}; reset it", parts_.devices.at(index).name(), reason);
  parts_.devices.publish_row(index);
  parts_.devices.publish_change(index, parts_.board);
}

Status RequestHandler::reset(const SessionPointer& session, const shm::Packet& packet) {
  const auto body = shm::body_of<shm::ResetRequest>(packet);
  if (!body) return std::unexpected(body.error());
  if (Status known = check_policies(*body); !known) return known;
  const Result<ResetText> text = text_of_reset(packet);
  if (!text) return std::unexpected(text.error());
  const auto refuse = [&](const Error& error) { parts_.replier.refuse(*session, packet.header.request, error); };
  if (!session->is_operator()) {
    refuse({Code::kPermission, fmt::format("user {} may not reset cards; ask as root, as the user wardend runs as, or "
                                           "as a member of its --operator-group",
                                           session->identity.user_id)});
    return {};
  }
  Result<std::vector<ResetDevice>> devices = parts_.devices.select(text->devices);
  if (!devices) {
    refuse(devices.error());
    return {};
  }
  ResetRecord order;
  order.token = body->token;
  order.devices = std::move(*devices);
  order.cause = text->cause;
  order.timeout = milliseconds(body->timeout_ms);
  order.extension_cap = milliseconds(body->extension_cap_ms);
  order.on_timeout = static_cast<shm::TimeoutPolicy>(body->on_timeout);
  const auto on_conflict = static_cast<shm::ConflictPolicy>(body->on_conflict);
  const Result<std::uint64_t> id = parts_.resets.submit(session, std::move(order), on_conflict);
  if (id) {
    parts_.replier.done(*session, packet.header.request, bytes_of(shm::ResetStarted{*id}));
  } else {
    refuse(id.error());
  }
  return {};
}

Status RequestHandler::report(const SessionPointer& session, const shm::Packet& packet) {
  const auto body = shm::body_of<shm::ReportRequest>(packet);
  if (!body) return std::unexpected(body.error());
  const Result<ResetRecord> record = parts_.resets.report(body->reset_id);
  if (record) {
    const auto json = report_json(*record);
    parts_.replier.text(*session, packet.header.request,
                        json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  } else {
    parts_.replier.refuse(*session, packet.header.request, record.error());
  }
  return {};
}

Status RequestHandler::extend(const SessionPointer& session, const shm::Packet& packet) {
  const auto body = shm::body_of<shm::ExtendRequest>(packet);
  if (!body) return std::unexpected(body.error());
  milliseconds granted{0};
  // Only who is waited for has a say in how long.
  if (parts_.directory.listener(session->identity.slot).owed_reset_id.load() == body->reset_id && body->reset_id != 0) {
    ListenerRecord asking;
    asking.session_id = session->identity.id;
    asking.pid = session->identity.pid;
    asking.name = session->identity.name;
    granted = parts_.resets.extend(body->reset_id, asking, milliseconds(body->wanted_ms));
  }
  const shm::ExtendGranted answer{static_cast<std::uint32_t>(granted.count()), 0};
  parts_.replier.done(*session, packet.header.request, bytes_of(answer));
  return {};
}

void RequestHandler::list_devices(const SessionPointer& session, std::uint32_t request) {
  PendingListing listing{session, request, 0, std::chrono::steady_clock::now() + kTelemetryPatience};
  for (std::uint32_t index = 0; index < parts_.devices.count(); ++index) {
    const bool awaited = parts_.devices.at(index).refresh_telemetry([this, index](const Status& read) {
      parts_.mailbox.post([this, index, read] {
        if (!read && read.error().code == Code::kDisconnected) lose_device(index, read.error().message);
        for (PendingListing& waiting : listings_) waiting.awaited_devices &= ~(std::uint64_t{1} << index);
        send_listings();
      });
    });
    if (awaited) listing.awaited_devices |= std::uint64_t{1} << index;
  }
  listings_.push_back(std::move(listing));
  send_listings();
}

void RequestHandler::send_listings() {
  const auto now = std::chrono::steady_clock::now();
  std::erase_if(listings_, [&](const PendingListing& listing) {
    if (listing.awaited_devices != 0 && now < listing.deadline) return false;
    parts_.replier.text(*listing.session, listing.request,
                        devices_listing(parts_.devices, parts_.sessions, parts_.broker));
    return true;
  });
}

void RequestHandler::list_sessions(const SessionPointer& session, std::uint32_t request) {
  parts_.replier.text(*session, request,
                      sessions_listing(parts_.devices, parts_.sessions, parts_.reaper, parts_.cleaner));
}

AllocationSources RequestHandler::allocation_sources() const {
  return {parts_.devices, parts_.sessions, parts_.reaper, parts_.bridge ? &parts_.bridge->clients() : nullptr};
}

Status RequestHandler::list_allocations(const SessionPointer& session, const shm::Packet& packet) {
  const auto body = shm::body_of<shm::ListAllocations>(packet);
  if (!body) return std::unexpected(body.error());
  AllocationQuery query{.device = {}, .pid = body->pid, .min_age = milliseconds(body->min_age_ms)};
  const std::string_view device(body->device, ::strnlen(body->device, sizeof(body->device)));
  if (!device.empty()) {
    const Result<std::uint32_t> index = parts_.devices.find(device);
    if (!index) {
      parts_.replier.refuse(*session, packet.header.request, index.error());
      return {};
    }
    query.device = *index;
  }
  if ((body->flags & shm::kListRecords) != 0) {
    // 0 is one more than the largest there is.
    query.max_records = std::min(body->max_records - 1, shm::kMaxListedRecords - 1) + 1;
  }
  const bool taken = reading_.post(
      [this, session, request = packet.header.request, listing = allocations_listing(allocation_sources(), query)] {
        parts_.replier.text(*session, request, listing());
      });
  if (!taken) {
    parts_.replier.refuse(*session, packet.header.request,
                          {Code::kBusy, "too many listings are being read; ask again when those are done"});
  }
  return {};
}

void RequestHandler::show_status(const SessionPointer& session, std::uint32_t request) {
  const StatusSources sources{parts_.options, parts_.directory, allocation_sources(), parts_.cleaner,
                              parts_.bridge.get()};
  parts_.replier.text(*session, request, status_listing(sources));
}

}  // namespace warden::daemon
