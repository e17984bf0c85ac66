// SPDX-License-Identifier: Apache-2.0
// Handing each card its part, and gathering what came of it.
#include "tools/wardend/cleaner.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <bit>

namespace warden::daemon {

namespace {

// Copied once; from here on nothing that the client writes changes anything.
std::vector<shm::DeathAction> actions_of(const Session& session) {
  auto read = session.ledger.death_actions().read();
  if (!read) {
    spdlog::error("session {}: its death actions can't be read: {}", session.identity.id, read.error().message);
    return {};
  }
  if (read->damaged + read->moving > 0) {
    spdlog::warn("session {}: {} of its death actions can't be, {} were being changed; none of these is done",
                 session.identity.id, read->damaged, read->moving);
  }
  return std::move(read->actions);
}

void log_result(const Session& session, const std::string& device, const CardCleaning::Result& result) {
  const SessionIdentity& who = session.identity;
  if (result.refused > 0) {
    spdlog::warn("session {} on {}: {} death action(s) refused: {}", who.id, device, result.refused,
                 result.first_refusal);
  }
  if (result.quarantined) {
    spdlog::warn("session {} on {}: what pid {} ({}) had there is in quarantine until its next reset: {}", who.id,
                 device, who.pid, who.name, result.reason);
  } else if (result.wiped) {
    spdlog::info("session {} on {}: wiped by a reset", who.id, device);
  } else if (result.done > 0) {
    spdlog::info("session {} on {}: {} death action(s) done for pid {} ({})", who.id, device, result.done, who.pid,
                 who.name);
  }
}

}  // namespace

void Cleaner::begin(const std::shared_ptr<Session>& session) {
  const auto [work, is_new] = work_.try_emplace(session->identity.id);
  if (!is_new) return;
  const std::uint64_t opened = session->opened_devices.load();
  const std::vector<shm::DeathAction> actions = opened == 0 ? std::vector<shm::DeathAction>() : actions_of(*session);
  for (std::uint32_t device = 0; device < parts_.devices.count(); ++device) {
    if ((opened >> device & 1U) == 0 || quarantine_.contains(device, session->identity.id)) continue;
    CardOrders orders = orders_for(device, parts_.devices.at(device).epoch(), actions);
    if (orders.stale > 0) {
      spdlog::info("session {} on {}: {} death action(s) from before a reset are not done", session->identity.id,
                   parts_.devices.at(device).name(), orders.stale);
    }
    if (has_nothing(*session, device, orders)) continue;
    work->second.devices |= std::uint64_t{1} << device;
    parts_.devices.at(device).end_direct(session->identity.id);
    clean_card(session, device, std::move(orders));
  }
}

// Nothing comes any more: who is dead or has ended is given nothing.
bool Cleaner::has_nothing(const Session& session, std::uint32_t device, const CardOrders& orders) const {
  const Broker::Sum held = parts_.broker.held_by(session.identity.id, device);
  const bool has_orders = !orders.writes.empty() || !orders.cores.empty();
  const bool drives_it = parts_.devices.at(device).direct_session() == session.identity.id;
  return !has_orders && !drives_it && session.jobs_under_way.load() == 0 && held.windows + held.buffers == 0;
}

void Cleaner::clean_card(const std::shared_ptr<Session>& session, std::uint32_t device, CardOrders orders) {
  const std::uint64_t epoch = orders.epoch;
  CardCleaning::Parts parts{.orders = std::move(orders),
                            .is_idle = [session] { return session->jobs_under_way.load() == 0; },
                            .check =
                                [broker = &parts_.broker, device, id = session->identity.id](
                                    const chip::Chip& chip, const shm::DeathAction& action) {
                                  return broker->check_host_access(chip, id, device, {action.x, action.y},
                                                                   {action.address}, action.length_bytes);
                                },
                            .unmap = [broker = &parts_.broker, device,
                                      id = session->identity.id](chip::Chip& chip) { broker->unmap(chip, device, id); },
                            .done =
                                [this, session, device, epoch](CardCleaning::Result result) {
                                  parts_.mailbox.post([this, session, device, epoch, result = std::move(result)] {
                                    finish_card(*session, device, epoch, result);
                                  });
                                }};
  auto cleaning = std::make_shared<CardCleaning>(std::move(parts));
  parts_.devices.at(device).clean([cleaning](const CardNow& card) { return cleaning->step(card); });
}

void Cleaner::finish_card(const Session& session, std::uint32_t device, std::uint64_t epoch,
                          const CardCleaning::Result& result) {
  log_result(session, parts_.devices.at(device).name(), result);
  const SessionIdentity& who = session.identity;
  if (result.quarantined) {
    quarantine_.add(device, who.id, {who.pid, who.name, result.reason, epoch});
    parts_.broker.quarantine(device, who.id);
  }
  work_[who.id].devices &= ~(std::uint64_t{1} << device);
  finish_if_done(who.id);
}

void Cleaner::when_clean(const Session& session, std::function<void()> free) {
  work_[session.identity.id].free = std::move(free);
  finish_if_done(session.identity.id);
}

void Cleaner::finish_if_done(std::uint64_t session_id) {
  const auto work = work_.find(session_id);
  if (work == work_.end() || work->second.devices != 0 || !work->second.free) return;
  const auto free = std::move(work->second.free);
  work_.erase(work);
  parts_.broker.release(session_id);
  free();
}

void Cleaner::tick() {
  if (quarantine_.entries().empty()) return;
  for (std::uint32_t device = 0; device < parts_.devices.count(); ++device) {
    const DeviceView view = parts_.devices.at(device).view();
    if (view.state != shm::DeviceState::kReady) continue;
    const std::size_t lifted = quarantine_.lift(device, view.epoch);
    if (lifted == 0) continue;
    parts_.broker.forget_device(device);
    spdlog::info("{}: reset, and {} ended session(s) out of quarantine", view.name, lifted);
  }
}

bool Cleaner::is_cleaning(std::uint64_t session_id) const {
  const auto work = work_.find(session_id);
  return work != work_.end() && work->second.devices != 0;
}

std::size_t Cleaner::cleaning_count() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(work_, [](const auto& entry) { return entry.second.devices != 0; }));
}

}  // namespace warden::daemon
