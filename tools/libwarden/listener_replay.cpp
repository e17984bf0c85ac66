// SPDX-License-Identifier: Apache-2.0
// From events to callbacks and answers.
#include "tools/libwarden/listener_replay.h"

#include <algorithm>

#include "shm/prefetch.h"
#include "tools/libwarden/reset_report.h"

namespace warden::internal {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kSoon{50};

milliseconds time_left_until(std::uint64_t deadline_ns) {
  const std::uint64_t now_ns = shm::boottime_ns();
  if (deadline_ns <= now_ns) return milliseconds(0);
  return std::chrono::ceil<milliseconds>(std::chrono::nanoseconds(deadline_ns - now_ns));
}

}  // namespace

ListenerReplay::ListenerReplay(std::shared_ptr<Session> session, ListenerCallbacks callbacks, bool acknowledge_by_hand)
    : session_(std::move(session)),
      client_(session_->client()),
      callbacks_(std::move(callbacks)),
      acknowledge_by_hand_(acknowledge_by_hand) {}

Status ListenerReplay::start(const ListenerOptions& options) {
  attachment_ = client_.attachments();  // first: a newer one is followed, never missed
  auto connection = client_.live_connection();
  if (!connection) return std::unexpected(std::move(connection).error());
  connection_ = std::move(*connection);
  // Before wardend hears of us: whatever it then wants of us comes after this event.
  next_event_ = connection_->directory().event_count();
  const auto token = client_.listeners().add(*connection_, options.devices, options.thread);
  if (!token) return std::unexpected(token.error());
  token_ = *token;
  remember_registration();
  auto told = client_.update_listening();
  if (!told) client_.listeners().remove(token_, *connection_, 0, 0);
  return told;
}

void ListenerReplay::stop() {
  if (!client_.check_process()) return;
  connection_ = client_.connection();  // no callback any more, so nothing to follow
  const std::uint64_t active = connection_->active_reset_id();
  const auto event = active != 0 ? find_event(shm::EventKind::kAnnounce, active) : std::nullopt;
  client_.listeners().remove(token_, *connection_, active, event ? event->device_mask : ~std::uint64_t{0});
  client_.update_listening_if_attached();
}

void ListenerReplay::run_due() {
  follow_replaced_connection();
  replay_ring();
  // An announcement that the ring did not tell, or an end it will not tell any more.
  const std::uint64_t active = connection_->active_reset_id();
  const bool missed_announcement = active > last_announced_id_;
  const bool missed_end = pending_reset_id() != 0 && pending_reset_id() != active;
  if (missed_announcement || missed_end) catch_up();
}

void ListenerReplay::replay_ring() {
  while (true) {
    switch (connection_->directory().read_event(next_event_, event_)) {
      case shm::EventRead::kNotYet: return;
      case shm::EventRead::kRead:
        ++next_event_;
        handle(event_);
        break;
      case shm::EventRead::kLapped:
        next_event_ = connection_->directory().event_count();
        catch_up();
        break;
    }
  }
}

void ListenerReplay::handle(const shm::RawEvent& event) {
  switch (static_cast<shm::EventKind>(event.head.kind)) {
    case shm::EventKind::kAnnounce: return announce(event.head, event.text());
    case shm::EventKind::kDevice: named_mask_ = 0; return;
    case shm::EventKind::kResult:
      if (pending_reset_id() == 0 || pending_reset_id() != event.head.reset_id) return;
      return finish(static_cast<ResetResult>(event.head.result), std::string(event.text()));
    default: return;
  }
}

void ListenerReplay::announce(const shm::EventHead& event, std::string_view reason) {
  if (event.reset_id <= last_announced_id_) {
    client_.listeners().repeat_answer(token_, *connection_, event.reset_id, event.device_mask);
    return;
  }
  last_announced_id_ = event.reset_id;
  if ((event.device_mask & device_mask_) == 0) return;
  if (pending_reset_id() != 0) {
    finish_from_report(pending_reset_id());
    finish(ResetResult::kFailed, "its result was missed");  // unless the line above has
  }
  set_pending(event.reset_id, event.device_mask);
  if (callbacks_.announce) {
    name_devices(event.device_mask);
    announcement_.reset_id = event.reset_id;
    announcement_.reason = reason;
    announcement_.time_left = time_left_until(event.deadline_ns);
    announcement_.owed = event.reset_id != joined_reset_id_ && connection_->owes(event.reset_id);
    callbacks_.announce(announcement_);
  }
  // Owed or not: harmless. The callback may have forked.
  if (!acknowledge_by_hand_ && client_.check_process())
    client_.listeners().answer(token_, *connection_, event.reset_id, event.device_mask);
}

void ListenerReplay::set_pending(std::uint64_t reset_id, std::uint64_t device_mask) {
  refer_pending_to_connection();
  pending_mask_.store(device_mask, std::memory_order_relaxed);   // published by the id
  pending_reset_id_.store(reset_id, std::memory_order_release);  // sync: listener.pending
}

void ListenerReplay::clear_pending() {
  pending_reset_id_.store(0, std::memory_order_release);  // sync: listener.pending
  refer_pending_to_connection();                          // a replaced one is let go
}

void ListenerReplay::refer_pending_to_connection() {
  if (pending_connection_ == connection_) return;
  const std::lock_guard lock(pending_mutex_);
  pending_connection_ = connection_;
}

void ListenerReplay::remember_registration() {
  device_mask_ = client_.listeners().device_mask(token_);
  joined_reset_id_ = client_.listeners().answered_reset_id(token_);
  named_mask_ = 0;
}

void ListenerReplay::name_devices(std::uint64_t device_mask) {
  if (device_mask == named_mask_) return;
  announcement_.devices = connection_->device_names(device_mask);
  named_mask_ = device_mask;
}

void ListenerReplay::finish(ResetResult result, const std::string& reason) {
  const auto heard = pending();
  if (!heard) return;
  clear_pending();
  if (!callbacks_.finish) return;
  callbacks_.finish({.reset_id = heard->reset_id,
                     .devices = heard->connection->device_names(heard->device_mask),
                     .result = result,
                     .reason = reason});
}

void ListenerReplay::follow_replaced_connection() {
  const std::uint64_t attachment = client_.attachments();
  if (attachment == attachment_) return;
  attachment_ = attachment;
  auto now = client_.connection();
  if (now == connection_) return;
  const bool same_instance = now->welcome().instance_id == connection_->welcome().instance_id;
  connection_ = std::move(now);
  remember_registration();
  if (same_instance) return;  // the same ring goes on
  finish(ResetResult::kCardLost, "wardend was restarted; card lost with daemon");
  next_event_ = connection_->directory().event_count();
  last_announced_id_ = 0;
}

void ListenerReplay::catch_up() {
  catch_up_with_end();
  catch_up_with_announcement();
}

void ListenerReplay::catch_up_with_end() {
  const auto heard = pending();
  if (!heard) return;
  const bool over = connection_->active_reset_id() != heard->reset_id;
  const auto result = over ? find_event_soon(shm::EventKind::kResult, heard->reset_id)
                           : find_event(shm::EventKind::kResult, heard->reset_id);
  if (result) {
    finish(static_cast<ResetResult>(result->result), result->text);
  } else if (over) {
    finish_from_report(heard->reset_id);
  }
}

void ListenerReplay::catch_up_with_announcement() {
  const std::uint64_t active = connection_->active_reset_id();
  if (active == 0 || active <= last_announced_id_) return;
  if (const auto event = find_event_soon(shm::EventKind::kAnnounce, active)) {
    return announce({.reset_id = active, .device_mask = event->device_mask, .deadline_ns = event->deadline_ns},
                    event->text);
  }
  // The ring has gone round over it.
  const std::uint64_t mask = connection_->owes(active) ? ~std::uint64_t{0} : connection_->resetting_mask();
  if ((mask & device_mask_) != 0) announce({.reset_id = active, .device_mask = mask}, "its announcement was missed");
}

void ListenerReplay::finish_from_report(std::uint64_t reset_id) {
  const auto report = request_report(client_, reset_id);
  if (report) {
    finish(report->result, report->reason);
  } else if (report.error().code != Code::kBusy) {  // busy: not over as far as wardend is concerned; its end will come
    finish(ResetResult::kFailed, "its result was missed: " + report.error().message);
  }
}

std::optional<shm::Event> ListenerReplay::find_event_soon(shm::EventKind kind, std::uint64_t reset_id) const {
  if (auto event = find_event(kind, reset_id)) return event;
  // wardend may be between moving the word that made us look and publishing the event that goes with it.
  const shm::DirectoryReader& directory = connection_->directory();
  directory.wait_for_event(directory.event_count(), kSoon, shm::kWakeListeners | client_.wake_bit());
  return find_event(kind, reset_id);
}

std::optional<shm::Event> ListenerReplay::find_event(shm::EventKind kind, std::uint64_t reset_id) const {
  const shm::DirectoryReader& directory = connection_->directory();
  const std::uint64_t count = directory.event_count();
  const std::uint64_t oldest = count - std::min<std::uint64_t>(count, shm::kEventCapacity);
  for (std::uint64_t number = count; number > oldest; --number) {
    auto event = directory.event(number - 1);
    if (!event || !*event) return std::nullopt;  // overwritten meanwhile, and so is everything before it
    if ((*event)->kind == kind && (*event)->reset_id == reset_id) return std::move(*event);
  }
  return std::nullopt;
}

Status ListenerReplay::look_at_socket() {
  auto live = client_.try_live_connection();
  if (!live) return std::unexpected(std::move(live).error());
  return {};
}

std::optional<ListenerReplay::Pending> ListenerReplay::pending() const {
  const std::lock_guard lock(pending_mutex_);
  const std::uint64_t reset_id = pending_reset_id_.load(std::memory_order_acquire);  // sync: listener.pending
  if (reset_id == 0) return std::nullopt;
  return Pending{pending_connection_, reset_id, pending_mask_.load(std::memory_order_relaxed)};
}

Status ListenerReplay::acknowledge(std::uint64_t reset_id) {
  if (auto ok = client_.check_process(); !ok) return ok;
  const auto heard = pending();
  // An answer to a reset of an earlier attachment has no place any more, and nobody awaits it.
  if (!heard || heard->reset_id != reset_id || heard->connection != client_.connection()) return {};
  client_.listeners().answer(token_, *heard->connection, reset_id, heard->device_mask);
  return {};
}

Result<milliseconds> ListenerReplay::need_more_time(std::uint64_t reset_id, milliseconds wanted) {
  constexpr std::int64_t kLongest = 24LL * 3600 * 1000;
  const shm::ExtendRequest request{
      .reset_id = reset_id,
      .wanted_ms = static_cast<std::uint32_t>(std::clamp<std::int64_t>(wanted.count(), 0, kLongest)),
      .reserved = 0};
  auto reply = client_.request(shm::MessageKind::kExtend, bytes_of(request));
  if (!reply) return wrap(std::move(reply).error(), "ask for more time");
  const auto granted = shm::body_of<shm::ExtendGranted>(reply->packet);
  if (!granted) return std::unexpected(granted.error());
  return milliseconds(granted->granted_ms);
}

bool ListenerReplay::wait(milliseconds bound) const {
  const shm::DirectoryReader& directory = connection_->directory();
  const shm::ListenerRecord& row = directory.listener(connection_->welcome().slot);
  directory.wait_for_event(next_event_, bound, shm::kWakeListeners | client_.wake_bit());
  shm::prefetch(row);
  shm::prefetch(*this);
  return directory.event_count() > next_event_;
}

}  // namespace warden::internal
