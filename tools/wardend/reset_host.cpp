// SPDX-License-Identifier: Apache-2.0
// Carrying out for the transaction what touches the world.
#include "tools/wardend/reset_host.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>

#include <algorithm>

namespace warden::daemon {

namespace {

void log_event(const shm::EventDraft& event) {
  const std::string text(event.text);
  switch (event.kind) {
    case shm::EventKind::kAnnounce: spdlog::info("reset {}: announced ({})", event.reset_id, text); break;
    case shm::EventKind::kPhase: spdlog::info("reset {}: {}", event.reset_id, to_string(event.phase)); break;
    case shm::EventKind::kAcknowledged:
      spdlog::debug("reset {}: pid {} ({}) acknowledged after {} us", event.reset_id, event.pid, text, event.value);
      break;
    case shm::EventKind::kExtended:
      spdlog::info("reset {}: pid {} ({}) was given {} ms more", event.reset_id, event.pid, text, event.value);
      break;
    case shm::EventKind::kTimedOut:
      spdlog::warn("reset {}: pid {} ({}) did not answer in time", event.reset_id, event.pid, text);
      break;
    case shm::EventKind::kDied: spdlog::info("reset {}: pid {} ({}) died", event.reset_id, event.pid, text); break;
    case shm::EventKind::kResult:
      spdlog::log(event.result == shm::ResetResult::kOk ? spdlog::level::info : spdlog::level::err, "reset {}: {}{}{}",
                  event.reset_id, to_string(event.result), text.empty() ? "" : ": ", text);
      break;
    default: break;
  }
}

bool was_touched(const ResetRecord& record) {
  return record.phase == shm::ResetPhase::kResetting || record.phase == shm::ResetPhase::kVerified;
}

}  // namespace

std::uint64_t ResetHost::now_ns() { return shm::boottime_ns(); }

std::uint32_t ResetHost::news() { return parts_.doorbell.count(); }

// One ring among many is not worth a look at every ledger: the ring that completes the count wakes us, and so does
// everybody else with news.
void ResetHost::wait(std::uint32_t seen, std::size_t answers, std::chrono::nanoseconds bound) {
  // Anew each time: who has died, or answered before we looked, will not ring for this any more.
  const std::uint32_t target = seen + static_cast<std::uint32_t>(answers);
  parts_.directory.header().acks_target.store(target);
  const std::uint32_t now = parts_.doorbell.count();
  if (now != seen && static_cast<std::int32_t>(now - target) >= 0) return;
  parts_.doorbell.wait(now, bound);
}

Status ResetHost::write_journal(const ResetRecord& record) {
  Status written = parts_.journal.write(record);
  if (!written) spdlog::error("reset {}: {}", record.id, written.error().message);
  return written;
}

void ResetHost::publish(std::span<const shm::EventDraft> drafts) {
  parts_.board.publish(drafts);
  for (const shm::EventDraft& draft : drafts) log_event(draft);
}

void ResetHost::begin(const ResetRecord& record) {
  parts_.directory.header().active_reset_id.store(record.id);
  for (const ResetDevice& device : record.devices) {
    parts_.devices.at(device.index).announce(record.id);
    parts_.devices.publish_row(device.index);
  }
}

void ResetHost::finish(const ResetRecord& record) {
  for (const ResetDevice& device : record.devices) {
    const std::string failure = record.result == shm::ResetResult::kOk ? std::string() : record.reason;
    const bool changed = parts_.devices.at(device.index).release(was_touched(record), failure);
    parts_.devices.publish_row(device.index);
    if (changed) parts_.devices.publish_change(device.index, parts_.board);
  }
  if (Status stored = parts_.reports.store(record); !stored) {
    spdlog::error("report of reset {}: {}", record.id, stored.error().message);
  }
  parts_.directory.header().active_reset_id.store(0);
}

namespace {

void add_outcome(ResetRecord& record, const shm::Event& event, Outcome outcome) {
  const auto known = std::ranges::find(record.listeners, event.session_id, &ListenerRecord::session_id);
  if (event.session_id != 0 && known != record.listeners.end()) return;  // the first answer counts
  record.listeners.push_back({event.session_id, event.pid, event.text, outcome, 0, event.value});
}

void take_in(ResetRecord& record, Published& published, const shm::Event& event) {
  switch (event.kind) {
    case shm::EventKind::kAnnounce:
      published.announced = true;
      record.announced_ns = event.time_ns;
      record.deadline_ns = event.deadline_ns;
      break;
    case shm::EventKind::kExtended:
      record.deadline_ns = event.deadline_ns;
      record.extended_ms += event.value;
      published.extended_ms_by_session[event.session_id] += event.value;
      break;
    case shm::EventKind::kAcknowledged: add_outcome(record, event, Outcome::kAcknowledged); break;
    case shm::EventKind::kNotified: add_outcome(record, event, Outcome::kNotified); break;
    case shm::EventKind::kTimedOut: add_outcome(record, event, Outcome::kTimedOut); break;
    case shm::EventKind::kDied: add_outcome(record, event, Outcome::kDied); break;
    default: break;
  }
}

}  // namespace

Published recall(shm::DirectoryWriter& directory, ResetRecord& record) {
  Published published;
  auto reader = shm::DirectoryReader::open(UniqueFd(::fcntl(directory.reader_fd(), F_DUPFD_CLOEXEC, 0)));
  if (!reader) {
    spdlog::error("reset {}: its events can't be read back: {}", record.id, reader.error().message);
    return published;
  }
  const std::uint64_t end = reader->event_count();
  const std::uint64_t begin = end > shm::kEventCapacity ? end - shm::kEventCapacity : 0;
  for (std::uint64_t number = begin; number < end; ++number) {
    const auto event = reader->event(number);
    if (!event || !*event || (*event)->reset_id != record.id) continue;
    if ((*event)->kind == shm::EventKind::kPhase) published.phases |= 1U << static_cast<unsigned>((*event)->phase);
    if ((*event)->kind == shm::EventKind::kResult) published.result = true;
    // Past the announced phase the journal knows all this, also when the ring has gone round since.
    if (record.phase == shm::ResetPhase::kAnnounced) take_in(record, published, **event);
  }
  return published;
}

}  // namespace warden::daemon
