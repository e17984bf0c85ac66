// SPDX-License-Identifier: Apache-2.0
// Whose turn it is, who must be told, and what a predecessor left behind.
#include "tools/wardend/reset_queue.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

namespace warden::daemon {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPatienceWhenStopping{2000};
constexpr std::string_view kCardLost = "card lost with daemon";

}  // namespace

ResetQueue::ResetQueue(Parts parts, std::function<void()> idle)
    : parts_(std::move(parts)), host_(parts_.world), idle_(std::move(idle)) {
  last_id_ = parts_.world.reports.newest_id();
  if (const auto& last = parts_.world.journal.last()) last_id_ = std::max(last_id_, last->record.id);
  take_over_unfinished();
  thread_ = std::thread([this] { run(); });
}

ResetQueue::~ResetQueue() {
  stop();
  thread_.join();
}

void ResetQueue::take_over_unfinished() {
  const auto& last = parts_.world.journal.last();
  if (!last || last->record.phase == shm::ResetPhase::kIdle) return;
  if (last->writer != parts_.world.journal.writer()) return end_lost(last->record);
  Ticket ticket;
  ticket.order = last->record;
  ticket.published = recall(parts_.world.directory, ticket.order);
  spdlog::warn("reset {} is gone on with in phase {}", ticket.order.id, to_string(ticket.order.phase));
  tickets_.push_back(std::move(ticket));
}

// The keeper is gone too, so the cards were closed, which resets them, with nobody to prove how that went.
void ResetQueue::end_lost(ResetRecord record) {
  if (record.result == shm::ResetResult::kNone) {
    record.result = shm::ResetResult::kFailed;
    record.reason = kCardLost;
  }
  spdlog::error("reset {} ended with wardend's predecessor: {}: {}", record.id, to_string(record.result),
                record.reason);
  if (Status stored = parts_.world.reports.store(record); !stored) {
    spdlog::error("report of reset {}: {}", record.id, stored.error().message);
  }
  shm::EventDraft event;
  event.kind = shm::EventKind::kResult;
  event.reset_id = record.id;
  event.device_mask = record.device_mask();
  event.result = record.result;
  event.text = record.reason;
  parts_.world.board.publish(event);
  record.phase = shm::ResetPhase::kIdle;
  (void)host_.write_journal(record);
}

void ResetQueue::submit(ResetAsker asker, ResetRecord order, shm::ConflictPolicy on_conflict) {
  std::unique_lock lock(mutex_);
  if (answer_known_token(asker, order.token)) return;
  Error refusal;
  if (stopping_) {
    refusal = {Code::kDisconnected, "wardend is stopping"};
  } else if (on_conflict == shm::ConflictPolicy::kRefuse && (running_ || !tickets_.empty())) {
    refusal = {Code::kBusy, running_id_ != 0 ? fmt::format("reset {} is under way; wait for its result", running_id_)
                                             : "another reset is about to begin; wait for its result"};
  } else {
    tickets_.push_back({{std::move(asker)}, std::move(order), {}});
    changed_.notify_all();
    return;
  }
  lock.unlock();
  parts_.replier.refuse(*asker.session, asker.request, refusal);
}

// The same token is the same reset, wherever that stands: a client asks again after a worker's restart.
bool ResetQueue::answer_known_token(const ResetAsker& asker, std::uint64_t token) {
  if (const auto id = parts_.world.reports.id_of_token(token)) {
    answer(asker, *id);
    return true;
  }
  if (running_ && running_token_ == token) {
    if (running_started_) {
      answer(asker, running_id_);
    } else {
      late_askers_.push_back(asker);
    }
    return true;
  }
  const auto queued = std::ranges::find(tickets_, token, [](const Ticket& ticket) { return ticket.order.token; });
  if (queued == tickets_.end()) return false;
  queued->askers.push_back(asker);
  return true;
}

milliseconds ResetQueue::extend(std::uint64_t reset_id, const ListenerRecord& asking, milliseconds wanted) {
  std::shared_ptr<Transaction> running;
  {
    const std::scoped_lock lock(mutex_);
    if (running_id_ == reset_id) running = running_;
  }
  return running ? running->extend(asking, wanted) : milliseconds::zero();
}

Result<ResetRecord> ResetQueue::report(std::uint64_t reset_id) const {
  if (auto record = parts_.world.reports.find(reset_id)) return std::move(*record);
  const std::scoped_lock lock(mutex_);
  if (reset_id != 0 && reset_id == running_id_) {
    return fail(Code::kResetting, fmt::format("reset {} is still under way", reset_id));
  }
  return fail(Code::kNotFound, fmt::format("no report of reset {}; the last {} are kept", reset_id, kStoredReports));
}

void ResetQueue::stop() {
  std::vector<Ticket> refused;
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
    // What a predecessor began is not given up: somebody has heard of it.
    std::erase_if(tickets_, [&](Ticket& ticket) {
      if (ticket.order.phase != shm::ResetPhase::kIdle) return false;
      refused.push_back(std::move(ticket));
      return true;
    });
    if (running_) running_->hurry(kPatienceWhenStopping);
  }
  changed_.notify_all();
  for (const Ticket& ticket : refused) {
    for (const ResetAsker& asker : ticket.askers) {
      parts_.replier.refuse(*asker.session, asker.request, {Code::kDisconnected, "wardend is stopping"});
    }
  }
}

bool ResetQueue::is_idle() const {
  const std::scoped_lock lock(mutex_);
  return !running_ && tickets_.empty();
}

void ResetQueue::run() {
  for (;;) {
    Ticket ticket;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || !tickets_.empty(); });
      if (tickets_.empty()) return;
      ticket = std::move(tickets_.front());
      tickets_.pop_front();
      const bool wanted =
          ticket.order.phase != shm::ResetPhase::kIdle ||
          std::ranges::any_of(ticket.askers, [](const ResetAsker& asker) { return !asker.session->ended; });
      if (!wanted) continue;  // whoever asked has gone before its turn came
      number(ticket);
    }
    perform(std::move(ticket));
    idle_();
  }
}

// Called with the lock held.
void ResetQueue::number(Ticket& ticket) {
  ResetRecord& order = ticket.order;
  if (order.phase == shm::ResetPhase::kIdle) {
    order.id = ++last_id_;
    for (ResetDevice& device : order.devices) device.epoch = parts_.world.devices.at(device.index).epoch();
  }
  TransactionParts parts{host_, parts_.sources, {}};
  for (const ResetDevice& device : order.devices) parts.targets.push_back(&parts_.world.devices.at(device.index));
  running_ = std::make_shared<Transaction>(std::move(parts), order, ticket.published);
  running_id_ = order.id;
  running_token_ = order.token;
  running_started_ = false;
  if (stopping_) running_->hurry(kPatienceWhenStopping);
}

void ResetQueue::perform(Ticket ticket) {
  running_->on_started([&](const Status& status) { started(ticket.askers, status); });
  (void)running_->run();
  const std::scoped_lock lock(mutex_);
  running_.reset();
  running_id_ = 0;
  running_token_ = 0;
}

void ResetQueue::started(const std::vector<ResetAsker>& first, const Status& status) {
  std::vector<ResetAsker> askers = first;
  {
    const std::scoped_lock lock(mutex_);
    running_started_ = true;
    std::ranges::move(late_askers_, std::back_inserter(askers));
    late_askers_.clear();
  }
  for (const ResetAsker& asker : askers) {
    if (status) {
      answer(asker, running_id_);
    } else {
      parts_.replier.refuse(*asker.session, asker.request, status.error());
    }
  }
}

void ResetQueue::answer(const ResetAsker& asker, std::uint64_t reset_id) const {
  parts_.replier.done(*asker.session, asker.request, bytes_of(shm::ResetStarted{reset_id}));
}

}  // namespace warden::daemon
