// SPDX-License-Identifier: Apache-2.0
// The card in the hands of one session: promised under the lock, begun and ended on the card's thread.
#include <fmt/format.h>

#include <utility>

#include "tools/wardend/device_thread.h"

namespace warden::daemon {

Status DeviceThread::check_not_direct() const {
  if (!direct_) return {};
  return fail(Code::kBusy, fmt::format("{} is driven by session {} itself; `warden devices` says who that is", name_,
                                       direct_->session_id));
}

Status DeviceThread::grant_direct(const Session& session, std::uint64_t epoch, std::function<Status()> check,
                                  DirectReady ready) {
  const std::scoped_lock lock(mutex_);
  if (Status admitted = admit(session, epoch); !admitted) return admitted;
  if (direct_ && direct_->session_id != session.identity.id) return check_not_direct();
  if (!cleanings_.empty()) {
    return fail(Code::kBusy, fmt::format("{} is being cleaned after a session that ended; try again", name_));
  }
  // Destroyed by the job alone: that waits for a thread which may be waiting for our lock.
  std::shared_ptr<DirectGrant> before = direct_ ? std::move(direct_->grant) : nullptr;
  if (before) before->stop();
  const std::uint64_t number = ++last_direct_;
  direct_ = Direct{session.identity.id, number, nullptr};
  push([this, number, before = std::move(before), check = std::move(check),
        ready = std::move(ready)](chip::Chip& chip) mutable {
    before.reset();
    ready(open_direct(chip, number, check));
  });
  return {};
}

// Every job before this one has ended, and none has been admitted since.
Result<UniqueFd> DeviceThread::open_direct(chip::Chip& chip, std::uint64_t grant_number,
                                           const std::function<Status()>& check) {
  Result<DirectGrant::Opened> opened = DirectGrant::Opened{};
  if (Status allowed = check(); allowed) {
    opened = DirectGrant::open(chip.device(), [this, grant_number] {
      const std::scoped_lock lock(mutex_);
      if (direct_ && direct_->number == grant_number && !stopping_) cut_direct(grant_number);
    });
  } else {
    opened = std::unexpected(std::move(allowed).error());
  }
  const std::scoped_lock lock(mutex_);
  // It may have been cut while it was made.
  const bool is_wanted = direct_ && direct_->number == grant_number && gate_ != Gate::kClosed;
  if (opened && is_wanted) {
    direct_->grant = std::move(opened->grant);
    return std::move(opened->peer);
  }
  if (direct_ && direct_->number == grant_number) direct_.reset();
  if (!opened) return std::unexpected(std::move(opened).error());
  return fail(Code::kStale, fmt::format("a reset of {} or the session's own next request came first", name_));
}

std::uint64_t DeviceThread::direct_session() const {
  const std::scoped_lock lock(mutex_);
  return direct_ ? direct_->session_id : 0;
}

void DeviceThread::end_direct(std::uint64_t session_id) {
  const std::scoped_lock lock(mutex_);
  if (direct_ && direct_->session_id == session_id) cut_direct(direct_->number);
}

// Called with the lock held. Joining its thread is the device's thread's work.
void DeviceThread::cut_direct(std::uint64_t grant_number) {
  if (direct_->grant) direct_->grant->stop();
  push([this, grant_number](chip::Chip& chip) {
    drop_direct(grant_number);
    chip.windows_changed();
  });
}

void DeviceThread::drop_direct(std::uint64_t grant_number) {
  std::unique_ptr<DirectGrant> grant;
  {
    const std::scoped_lock lock(mutex_);
    if (!direct_ || direct_->number != grant_number) return;
    grant = std::move(direct_->grant);
  }
  grant.reset();  // ends its thread, which may be telling us that it ends
  const std::scoped_lock lock(mutex_);
  direct_.reset();
}

}  // namespace warden::daemon
