// SPDX-License-Identifier: Apache-2.0
// See warden/events.h: the ring in the directory, followed by number.
#include <warden/events.h>

#include <algorithm>
#include <utility>

#include "tools/libwarden/client.h"

namespace warden {
namespace {

// After having been lapped, and at the start of a history: so far behind the newest, and not the whole ring, because
// the oldest records are the next to be written over.
constexpr std::uint64_t kSafeDistance = shm::kEventCapacity - shm::kEventCapacity / 8;

std::uint64_t oldest_safe(const shm::DirectoryReader& directory) {
  const std::uint64_t count = directory.event_count();
  return count > kSafeDistance ? count - kSafeDistance : 0;
}

std::string_view kind_of(shm::EventKind kind) {
  switch (kind) {
    case shm::EventKind::kAnnounce: return "announce";
    case shm::EventKind::kPhase: return "phase";
    case shm::EventKind::kAcknowledged: return "acknowledged";
    case shm::EventKind::kExtended: return "extended";
    case shm::EventKind::kTimedOut: return "timed_out";
    case shm::EventKind::kDied: return "died";
    case shm::EventKind::kNotified: return "notified";
    case shm::EventKind::kResult: return "result";
    case shm::EventKind::kSessionOpened: return "session_opened";
    case shm::EventKind::kSessionClosed: return "session_closed";
    case shm::EventKind::kDevice: return "device";
    case shm::EventKind::kWorker: return "worker";
  }
  return "unknown";
}

std::string_view phase_of(shm::ResetPhase phase) {
  switch (phase) {
    case shm::ResetPhase::kIdle: return "";
    case shm::ResetPhase::kAnnounced: return "announced";
    case shm::ResetPhase::kQuiesced: return "quiesced";
    case shm::ResetPhase::kResetting: return "resetting";
    case shm::ResetPhase::kVerified: return "verified";
  }
  return "unknown";
}

std::string_view result_of(shm::ResetResult result) {
  switch (result) {
    case shm::ResetResult::kNone: return "";
    case shm::ResetResult::kOk: return "ok";
    case shm::ResetResult::kFailed: return "failed";
    case shm::ResetResult::kRefused: return "refused";
    case shm::ResetResult::kAborted: return "aborted";
  }
  return "unknown";
}

Event public_event(const internal::Connection& connection, shm::Event&& from, std::uint64_t missed) {
  return Event{.number = from.number,
               .time_ns = from.time_ns,
               .kind = std::string(kind_of(from.kind)),
               .reset_id = from.reset_id,
               .devices = connection.device_names(from.device_mask),
               .phase = std::string(phase_of(from.phase)),
               .result = std::string(result_of(from.result)),
               .pid = from.pid,
               .session_id = from.session_id,
               .value = from.value,
               .text = std::move(from.text),
               .missed = missed};
}

}  // namespace

class EventStream::Implementation {
 public:
  Implementation(std::shared_ptr<Session> session, std::shared_ptr<internal::Connection> connection, std::uint64_t next)
      : session_(std::move(session)), connection_(std::move(connection)), next_(next) {}

  Result<std::optional<Event>> next(std::chrono::milliseconds timeout) {
    if (auto status = follow_restart(); !status) return std::unexpected(status.error());
    for (const bool may_wait : {true, false}) {
      if (auto event = take(); event || !may_wait) return event;
      connection_->directory().wait_for_event(next_, timeout, shm::kWakeFollowers | session_->client().wake_bit());
    }
    return std::nullopt;
  }

 private:
  // Another wardend has another ring, which is followed from its beginning.
  Status follow_restart() {
    auto now = session_->client().live_connection();
    if (!now) return std::unexpected(now.error());
    if ((*now)->welcome().instance_id != connection_->welcome().instance_id) next_ = 0;
    connection_ = std::move(*now);
    return {};
  }

  std::optional<Event> take() {
    const shm::DirectoryReader& directory = connection_->directory();
    for (;;) {
      auto event = directory.event(next_);
      if (event) {
        if (!event->has_value()) return std::nullopt;
        ++next_;
        return public_event(*connection_, std::move(event->value()), std::exchange(missed_, 0));
      }
      const std::uint64_t from = std::max(oldest_safe(directory), next_ + 1);
      missed_ += from - next_;
      next_ = from;
    }
  }

  std::shared_ptr<Session> session_;
  std::shared_ptr<internal::Connection> connection_;
  std::uint64_t next_;
  std::uint64_t missed_ = 0;
};

EventStream::EventStream(std::unique_ptr<Implementation> implementation) noexcept
    : implementation_(std::move(implementation)) {}
EventStream::EventStream(EventStream&&) noexcept = default;
EventStream& EventStream::operator=(EventStream&&) noexcept = default;
EventStream::~EventStream() = default;

Result<EventStream> EventStream::open(std::shared_ptr<Session> session, bool from_oldest) {
  auto connection = session->client().live_connection();
  if (!connection) return std::unexpected(connection.error());
  const shm::DirectoryReader& directory = (*connection)->directory();
  const std::uint64_t next = from_oldest ? oldest_safe(directory) : directory.event_count();
  return EventStream(std::make_unique<Implementation>(std::move(session), std::move(*connection), next));
}

Result<std::optional<Event>> EventStream::next(std::chrono::milliseconds timeout) {
  return implementation_->next(timeout);
}

}  // namespace warden
