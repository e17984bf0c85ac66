// SPDX-License-Identifier: Apache-2.0
// Whose turn it is, and what a predecessor left behind.
#include "tools/wardend/reset_queue.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace warden::daemon {

namespace {

using nlohmann::json;
using std::chrono::milliseconds;

constexpr milliseconds kPatienceWhenStopping{2000};
constexpr std::string_view kPrefix = "queued/";

std::string keeper_name(std::uint64_t reset_id) { return fmt::format("{}{}", kPrefix, reset_id); }

std::shared_ptr<ExternalReset> new_external_reset() {
  return std::make_shared<ExternalReset>(std::chrono::steady_clock::now() + kExternalResetDeadline);
}

std::string blob_of_order(const ResetRecord& order, std::uint64_t session_id) {
  return json{{"session", session_id}, {"record", to_json(order)}}.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

ResetQueue::ResetQueue(Parts parts, const KeptTable& kept, std::function<void()> idle)
    : parts_(std::move(parts)), host_(parts_.world), idle_(std::move(idle)) {
  last_id_ = parts_.world.reports.newest_id();
  if (const auto& last = parts_.world.journal.last()) last_id_ = std::max(last_id_, last->record.id);
  take_over_unfinished();
  take_over_queue(kept);
  thread_ = std::thread([this] { run(); });
}

ResetQueue::~ResetQueue() {
  stop();
  thread_.join();
}

void ResetQueue::take_over_unfinished() {
  const auto& last = parts_.world.journal.last();
  if (!last || last->record.phase == shm::ResetPhase::kIdle) return;
  ResetRecord record = last->record;
  if (last->writer != parts_.world.journal.writer()) {
    // The keeper is gone too, so the cards were closed, which resets them, with nobody to prove how that went.
    const bool decided = record.result != shm::ResetResult::kNone;
    return end_untouched(record, decided ? record.result : shm::ResetResult::kFailed,
                         decided ? record.reason : "card lost with daemon");
  }
  Ticket ticket{std::move(record), nullptr, {}};
  ticket.published = recall(parts_.world.directory, ticket.order);
  if (ticket.order.external) external_ = ticket.external = new_external_reset();
  spdlog::warn("reset {} is gone on with in phase {}", ticket.order.id, to_string(ticket.order.phase));
  tickets_.push_back(std::move(ticket));
}

void ResetQueue::take_over_queue(const KeptTable& kept) {
  std::vector<Ticket> found;
  for (const auto& [name, entry] : kept) {
    if (!name.starts_with(kPrefix)) continue;
    const json blob = json::parse(entry.blob, nullptr, false);
    Result<ResetRecord> order = record_from_json(blob.is_discarded() ? json() : blob.value("record", json()));
    // One that had begun is in the journal, and its turn is over.
    if (!order || order->id <= last_id_) {
      (void)parts_.keeper.drop(name);
      continue;
    }
    auto asker = parts_.sessions.find(blob.value("session", std::uint64_t{0}));
    found.push_back({std::move(*order), std::move(asker), {}});
  }
  std::ranges::sort(found, {}, [](const Ticket& ticket) { return ticket.order.id; });
  for (Ticket& ticket : found) {
    last_id_ = ticket.order.id;
    if (ticket.asker) tickets_.push_back(std::move(ticket));
  }
}

// A reset that ends without this worker having touched a card for it: stored and told like any other.
void ResetQueue::end_untouched(ResetRecord record, shm::ResetResult result, std::string reason) {
  record.result = result;
  record.reason = std::move(reason);
  if (Status stored = parts_.world.reports.store(record); !stored) {
    spdlog::error("report of reset {}: {}", record.id, stored.error().message);
  }
  shm::EventDraft event;
  event.kind = shm::EventKind::kResult;
  event.reset_id = record.id;
  event.device_mask = record.device_mask();
  event.result = record.result;
  event.text = record.reason;
  host_.publish(event);
  record.phase = shm::ResetPhase::kIdle;
  (void)host_.write_journal(record);
}

Result<std::uint64_t> ResetQueue::submit(const std::shared_ptr<Session>& asker, ResetRecord order,
                                         shm::ConflictPolicy on_conflict) {
  const std::scoped_lock lock(mutex_);
  if (const auto id = id_of_token(order.token)) return *id;
  if (stopping_) return fail(Code::kDisconnected, "wardend is stopping");
  if (on_conflict == shm::ConflictPolicy::kRefuse && (running_ || !tickets_.empty())) {
    const std::uint64_t other = running_ ? running_id_ : tickets_.front().order.id;
    return fail(Code::kBusy, fmt::format("reset {} is under way; wait for its result", other));
  }
  order.id = last_id_ + 1;
  // Kept before it is answered: the asker awaits a result from now on.
  Status kept = parts_.keeper.keep(keeper_name(order.id), blob_of_order(order, asker->identity.id));
  if (!kept) return std::unexpected(kept.error());
  last_id_ = order.id;
  tickets_.push_back({std::move(order), asker, {}});
  changed_.notify_all();
  return last_id_;
}

bool ResetQueue::begin_external(ResetRecord order) {
  const std::scoped_lock lock(mutex_);
  if (stopping_ || !external_.expired()) return false;
  order.external = true;
  order.id = ++last_id_;
  Ticket ticket{std::move(order), nullptr, {}, new_external_reset()};
  external_ = ticket.external;
  tickets_.push_back(std::move(ticket));
  changed_.notify_all();
  return true;
}

void ResetQueue::end_external() {
  const std::scoped_lock lock(mutex_);
  if (const auto external = external_.lock()) external->end();
}

// The same token is the same reset, wherever that stands: a client asks again after a worker's restart.
std::optional<std::uint64_t> ResetQueue::id_of_token(std::uint64_t token) const {
  if (const auto id = parts_.world.reports.id_of_token(token)) return id;
  if (running_ && running_token_ == token) return running_id_;
  const auto queued = std::ranges::find(tickets_, token, [](const Ticket& ticket) { return ticket.order.token; });
  return queued == tickets_.end() ? std::nullopt : std::optional(queued->order.id);
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
  const bool queued = std::ranges::any_of(tickets_, [&](const Ticket& ticket) { return ticket.order.id == reset_id; });
  if (queued || (running_ && reset_id == running_id_)) {
    return fail(Code::kResetting, fmt::format("reset {} has not ended yet", reset_id));
  }
  return fail(Code::kNotFound, fmt::format("no report of reset {}; the last {} are kept", reset_id, kStoredReports));
}

void ResetQueue::stop() {
  const std::scoped_lock lock(mutex_);
  stopping_ = true;
  if (running_) running_->hurry(kPatienceWhenStopping);
  if (const auto external = external_.lock()) external->end();
  changed_.notify_all();
}

bool ResetQueue::is_idle() const {
  const std::scoped_lock lock(mutex_);
  return !running_ && tickets_.empty();
}

void ResetQueue::run() {
  Ticket ticket;
  while (take_next(ticket)) {
    const std::string name = keeper_name(ticket.order.id);
    const bool begun = ticket.order.phase != shm::ResetPhase::kIdle;
    if (!begun && stopping_) {
      end_untouched(ticket.order, shm::ResetResult::kRefused, "wardend is stopping");
    } else if (begun || is_wanted(ticket)) {
      (void)running_->run();
    } else {
      spdlog::info("reset {} is dropped: nobody waits for it any more", ticket.order.id);
    }
    (void)parts_.keeper.drop(name);
    {
      const std::scoped_lock lock(mutex_);
      running_.reset();
      running_id_ = 0;
      ticket = {};
    }
    idle_();
  }
}

// False when wardend stops and nothing is left to end.
bool ResetQueue::take_next(Ticket& ticket) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return stopping_ || !tickets_.empty(); });
  if (tickets_.empty()) return false;
  ticket = std::move(tickets_.front());
  tickets_.pop_front();
  if (ticket.order.phase == shm::ResetPhase::kIdle) {
    for (ResetDevice& device : ticket.order.devices) device.epoch = parts_.world.devices.at(device.index).epoch();
  }
  begin(ticket);
  return true;
}

bool ResetQueue::is_wanted(const Ticket& ticket) {
  return ticket.external ? !ticket.external->ended() : !ticket.asker->ended.load();
}

// Called with the lock held.
void ResetQueue::begin(const Ticket& ticket) {
  TransactionParts parts{host_, parts_.sources, {}, ticket.external, &parts_.fabric};
  for (const ResetDevice& device : ticket.order.devices) {
    parts.targets.push_back(&parts_.world.devices.at(device.index));
  }
  running_ = std::make_shared<Transaction>(std::move(parts), ticket.order, ticket.published);
  running_id_ = ticket.order.id;
  running_token_ = ticket.order.token;
  if (stopping_) running_->hurry(kPatienceWhenStopping);
}

}  // namespace warden::daemon
