// SPDX-License-Identifier: Apache-2.0
// The queue of one card, and the gate in front of it.
#include "tools/wardend/device_thread.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

namespace warden::daemon {

namespace {

constexpr std::size_t kMaxQueuedJobs = 4096;
constexpr std::chrono::seconds kTelemetryLifetime{1};

// Empty when it was good.
std::string failure_of(const chip::ResetReport& report) {
  if (report.ok) return {};
  return report.reason.empty() ? "the reset could not be proven" : report.reason;
}

}  // namespace

DeviceThread::DeviceThread(std::string name, std::unique_ptr<chip::Chip> chip, std::uint64_t epoch,
                           std::string lost_reason)
    : name_(std::move(name)), chip_(std::move(chip)), epoch_(epoch) {
  if (chip_) {
    epoch_ = chip_->epoch();
    identity_ = chip_->identity();
  } else {
    state_ = shm::DeviceState::kLost;
    reason_ = std::move(lost_reason);
  }
  thread_ = std::thread([this] { run(); });
}

DeviceThread::~DeviceThread() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  direct_.reset();  // its end is told to nobody any more
}

DeviceView DeviceThread::view() const {
  const std::scoped_lock lock(mutex_);
  DeviceView view{name_,   identity_.chip, identity_.board, state_,
                  reason_, epoch_,         telemetry_,      identity_.harvested_rows};
  if (view.chip.empty()) view.chip = "unknown";
  if (view.board.empty()) view.board = "unknown";
  if (gate_ != Gate::kOpen) view.state = shm::DeviceState::kResetting;
  return view;
}

std::uint64_t DeviceThread::epoch() const {
  const std::scoped_lock lock(mutex_);
  return epoch_;
}

std::vector<std::uint8_t> DeviceThread::harvested_rows() const {
  const std::scoped_lock lock(mutex_);
  return identity_.harvested_rows;
}

Result<std::uint64_t> DeviceThread::open() const {
  const std::scoped_lock lock(mutex_);
  if (gate_ != Gate::kOpen) {
    return fail(Code::kResetting,
                fmt::format("{} is being reset (reset {}); open it after the result", name_, reset_id_));
  }
  if (Status fit = usable(); !fit) return std::unexpected(fit.error());
  return epoch_;
}

Status DeviceThread::submit(const Session& session, std::uint64_t epoch, Job job) {
  const std::scoped_lock lock(mutex_);
  if (Status admitted = admit(session, epoch); !admitted) return admitted;
  if (Status shared = check_not_direct(); !shared) return shared;
  if (jobs_.size() >= kMaxQueuedJobs) {
    return fail(Code::kBusy, fmt::format("{}: {} accesses are waiting already; try again", name_, jobs_.size()));
  }
  push(std::move(job));
  return {};
}

bool DeviceThread::post(Job job) {
  const std::scoped_lock lock(mutex_);
  if (!chip_) return false;
  push(std::move(job));
  return true;
}

Status DeviceThread::admit(const Session& session, std::uint64_t epoch) const {
  const bool answered = gate_ == Gate::kAnnounced && session.ledger.acknowledged_reset_id() == reset_id_;
  if (gate_ == Gate::kClosed || answered) {
    return fail(Code::kResetting, fmt::format("{} is being reset (reset {})", name_, reset_id_));
  }
  if (epoch != epoch_) {
    return fail(Code::kStale, fmt::format("{} was reset since this handle was made; open it again", name_));
  }
  return usable();
}

Status DeviceThread::usable() const {
  if (state_ == shm::DeviceState::kLost) return fail(Code::kOffBus, fmt::format("{} is lost: {}", name_, reason_));
  if (state_ == shm::DeviceState::kFailed) {
    return fail(Code::kFailed, fmt::format("{} does not work: {}; reset it", name_, reason_));
  }
  return {};
}

void DeviceThread::push(Job job) {
  jobs_.push_back(std::move(job));
  changed_.notify_all();
}

bool DeviceThread::refresh_telemetry(std::function<void(const Status&)> done) {
  const std::scoped_lock lock(mutex_);
  const bool fresh = telemetry_ && std::chrono::steady_clock::now() - telemetry_time_ < kTelemetryLifetime;
  // Not during a reset, and not for a card whose reset failed: it would only run into timeouts.
  if (fresh || !chip_ || direct_ || gate_ != Gate::kOpen || state_ != shm::DeviceState::kReady) return false;
  if (telemetry_queued_) return true;
  telemetry_queued_ = true;
  push([this, done = std::move(done)](chip::Chip& chip) { done(read_telemetry(chip)); });
  return true;
}

Status DeviceThread::read_telemetry(chip::Chip& chip) {
  Result<chip::Telemetry> telemetry = chip.telemetry();
  const std::scoped_lock lock(mutex_);
  telemetry_queued_ = false;
  telemetry_.reset();
  if (!telemetry) {
    spdlog::warn("{}: telemetry: {}", name_, telemetry.error().message);
    return std::unexpected(std::move(telemetry).error());
  }
  telemetry_ = *telemetry;
  telemetry_time_ = std::chrono::steady_clock::now();
  return {};
}

void DeviceThread::lose(const std::string& reason) {
  const std::scoped_lock lock(mutex_);
  state_ = shm::DeviceState::kLost;
  reason_ = reason;
}

bool DeviceThread::break_down(const std::string& reason) {
  const std::scoped_lock lock(mutex_);
  if (state_ != shm::DeviceState::kReady || gate_ == Gate::kClosed) return false;
  state_ = shm::DeviceState::kFailed;
  reason_ = reason;
  return true;
}

void DeviceThread::reopen_if_lost(Opener opener, std::function<void()> done) {
  const std::scoped_lock lock(mutex_);
  if (state_ != shm::DeviceState::kLost || gate_ != Gate::kOpen || opener_) return;
  opener_ = std::move(opener);
  reopened_ = std::move(done);
  changed_.notify_all();
}

void DeviceThread::reopen(std::unique_lock<std::mutex>& lock) {
  const Opener opener = std::exchange(opener_, nullptr);
  const std::function<void()> done = std::exchange(reopened_, nullptr);
  if (state_ != shm::DeviceState::kLost || gate_ != Gate::kOpen) return;
  if (direct_) {
    const std::uint64_t number = direct_->number;
    lock.unlock();
    drop_direct(number);  // it uses the chip
    lock.lock();
  }
  std::unique_ptr<chip::Chip> old = std::move(chip_);
  const std::uint64_t epoch = epoch_ + 1;
  lock.unlock();
  old.reset();  // a card takes one client at a time
  Result<std::unique_ptr<chip::Chip>> chip = opener(epoch);
  lock.lock();
  if (!chip) return stay_lost(chip.error().message);
  chip_ = std::move(*chip);
  epoch_ = chip_->epoch();
  identity_ = chip_->identity();
  state_ = shm::DeviceState::kReady;
  reason_.clear();
  telemetry_.reset();
  done();
}

// Tried every second, told when it is another reason than before.
void DeviceThread::stay_lost(const std::string& reason) {
  if (reason_ == reason) return;
  reason_ = reason;
  spdlog::warn("{} is still lost: {}", name_, reason_);
}

void DeviceThread::close_for(std::uint64_t reset_id) {
  const std::scoped_lock lock(mutex_);
  reset_id_ = reset_id;
  gate_ = Gate::kClosed;
}

void DeviceThread::announce(std::uint64_t reset_id) {
  const std::scoped_lock lock(mutex_);
  reset_id_ = reset_id;
  if (gate_ == Gate::kOpen) gate_ = Gate::kAnnounced;
}

Status DeviceThread::quiesce(std::chrono::milliseconds bound) {
  std::unique_lock lock(mutex_);
  gate_ = Gate::kClosed;
  if (direct_) cut_direct(direct_->number);
  if (changed_.wait_for(lock, bound, [this] { return jobs_.empty() && !busy_; })) return {};
  return fail(Code::kTimeout, fmt::format("{} accesses were still under way after {} ms",
                                          jobs_.size() + (busy_ ? 1U : 0U), bound.count()));
}

std::future<chip::ResetReport> DeviceThread::start_reset(std::shared_ptr<ExternalReset> external) {
  auto promise = std::make_shared<std::promise<chip::ResetReport>>();
  std::future<chip::ResetReport> verdict = promise->get_future();
  const std::scoped_lock lock(mutex_);
  if (!chip_) {
    chip::ResetReport lost;
    lost.reason = "the device is lost: " + reason_;
    promise->set_value(std::move(lost));
    return verdict;
  }
  push([this, promise, external = std::move(external)](chip::Chip& chip) {
    chip::ResetOptions options;
    if (external) {
      options.kind = chip::ResetKind::kExternal;
      options.await_external = [&external] { external->wait(); };
    }
    options.observer = [this](chip::ResetStep step) { spdlog::info("{}: {}", name_, chip::to_string(step)); };
    chip::ResetReport report = chip.warm_reset(options);
    {
      const std::scoped_lock state_lock(mutex_);
      verdict_ = report;
    }
    promise->set_value(std::move(report));
  });
  return verdict;
}

bool DeviceThread::release(bool touched, const std::string& failure) {
  const bool changed = open_gate(touched, failure);
  if (touched && on_reset_) on_reset_();
  return changed;
}

bool DeviceThread::open_gate(bool touched, const std::string& failure) {
  const std::scoped_lock lock(mutex_);
  const std::optional<chip::ResetReport> own = std::exchange(verdict_, std::nullopt);
  gate_ = Gate::kOpen;
  changed_.notify_all();  // cleanings go on
  reset_id_ = 0;
  if (!chip_) return false;
  epoch_ = chip_->epoch();
  identity_ = chip_->identity();  // learnt late by a card that did not work at first
  telemetry_.reset();
  if (!touched) return false;
  const shm::DeviceState before = state_;
  reason_ = own ? failure_of(*own) : failure;
  state_ = reason_.empty() ? shm::DeviceState::kReady : shm::DeviceState::kFailed;
  if (own && own->unreachable) state_ = shm::DeviceState::kLost;  // no reset will bring it back
  return state_ != before;
}

void DeviceThread::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const auto cleaning = next_cleaning();
    const bool is_due = cleaning != cleanings_.end() && cleaning->due <= Clock::now();
    if (is_due && (jobs_.empty() || !job_is_next_)) {
      run_cleaning(lock);
    } else if (!jobs_.empty()) {
      run_job(lock);
    } else if (opener_) {
      busy_ = true;
      reopen(lock);
      busy_ = false;
      changed_.notify_all();
    } else if (cleaning != cleanings_.end()) {
      changed_.wait_until(lock, cleaning->due);
    } else {
      changed_.wait(lock);
    }
  }
}

void DeviceThread::run_job(std::unique_lock<std::mutex>& lock) {
  Job job = std::move(jobs_.front());
  jobs_.pop_front();
  busy_ = true;
  const bool is_driven_by_another = direct_.has_value();
  lock.unlock();
  if (is_driven_by_another) chip_->windows_changed();
  job(*chip_);
  job = nullptr;  // with what it holds, before the card counts as idle
  lock.lock();
  busy_ = false;
  job_is_next_ = false;
  changed_.notify_all();
}

void DeviceThread::clean(Step step) {
  const std::scoped_lock lock(mutex_);
  cleanings_.push_back({std::move(step), Clock::now()});
  changed_.notify_all();
}

std::list<DeviceThread::Cleaning>::iterator DeviceThread::next_cleaning() {
  if (gate_ == Gate::kClosed || direct_) return cleanings_.end();
  const auto now = Clock::now();
  const auto due = std::ranges::find_if(cleanings_, [now](const Cleaning& cleaning) { return cleaning.due <= now; });
  return due != cleanings_.end() ? due : std::ranges::min_element(cleanings_, {}, &Cleaning::due);
}

void DeviceThread::run_cleaning(std::unique_lock<std::mutex>& lock) {
  const auto cleaning = next_cleaning();
  const CardNow card{chip_.get(), state_};
  busy_ = true;
  lock.unlock();
  const auto pause = cleaning->step(card);  // nobody else takes it from the list
  lock.lock();
  busy_ = false;
  job_is_next_ = true;
  if (pause) {
    cleaning->due = Clock::now() + *pause;
  } else {
    cleanings_.erase(cleaning);
  }
  changed_.notify_all();
}

}  // namespace warden::daemon
