// SPDX-License-Identifier: Apache-2.0
// One card's part of the end of a session, step by step.
#include "tools/wardend/card_cleaning.h"

#include <fmt/format.h>

#include <algorithm>

namespace warden::daemon {

namespace {

using std::chrono::microseconds;

// The card's other users wait no longer than this for one step, plus what one access takes.
constexpr microseconds kStepBudget{500};
constexpr microseconds kFirstPause{100};
constexpr microseconds kLongestPause{10'000};

std::string text_of(chip::Tile tile) { return fmt::format("tile ({},{})", tile.x, tile.y); }

}  // namespace

CardOrders orders_for(std::uint32_t device, std::uint64_t epoch, std::span<const shm::DeathAction> actions) {
  CardOrders orders{.epoch = epoch, .writes = {}, .cores = {}};
  for (const shm::DeathAction& action : actions) {
    if (action.device != device) continue;
    if (action.epoch != epoch) {
      ++orders.stale;
    } else if (action.kind != shm::DeathActionKind::kResetCores) {
      orders.writes.push_back(action);
    } else {
      const chip::Tile tile{action.x, action.y};
      const auto known = std::ranges::find(orders.cores, tile, [](const auto& entry) { return entry.first; });
      if (known == orders.cores.end()) {
        orders.cores.emplace_back(tile, chip::Cores{action.word()});
      } else {
        known->second = known->second | chip::Cores{action.word()};
      }
    }
  }
  return orders;
}

std::optional<microseconds> CardCleaning::step(const CardNow& card) {
  const auto end = Clock::now() + kStepBudget;
  for (;;) {
    switch (advance(card)) {
      case Progress::kEnded: return std::nullopt;
      case Progress::kWaits: pause_ = std::clamp(pause_ * 2, kFirstPause, kLongestPause); return pause_;
      case Progress::kGoesOn: pause_ = microseconds::zero();
    }
    if (Clock::now() >= end) return microseconds::zero();
  }
}

CardCleaning::Progress CardCleaning::advance(const CardNow& card) {
  // A failed reset proves nothing about what still runs on the card.
  if (card.chip == nullptr || card.state == shm::DeviceState::kLost) return quarantine("the card is lost");
  if (card.state == shm::DeviceState::kFailed) return quarantine("its last reset failed");
  if (!parts_.is_idle()) return Progress::kWaits;  // they are in this very queue, and each ends
  const chip::Handle handle(*card.chip, parts_.orders.epoch);
  if (card.chip->epoch() != parts_.orders.epoch) {
    result_.wiped = true;
  } else if (next_write_ < parts_.orders.writes.size()) {
    return write_next(*card.chip, handle);
  } else if (next_hold_ < parts_.orders.cores.size()) {
    return hold_next(handle);
  } else if (!held_.empty()) {
    return look_at_next(handle);
  }
  parts_.unmap(*card.chip);
  return end();
}

CardCleaning::Progress CardCleaning::write_next(chip::Chip& chip, const chip::Handle& handle) {
  const shm::DeathAction& action = parts_.orders.writes[next_write_];
  const chip::Tile tile{action.x, action.y};
  const chip::CardAddress address{action.address};
  Status written = parts_.check(chip, action);
  if (written && action.kind == shm::DeathActionKind::kWrite32) {
    written = handle.write32(tile, address, action.word());
  } else if (written) {
    written = handle.write(tile, address, action.bytes());
  }
  const Progress progress = settle(written, fmt::format("a death write to {}", text_of(tile)));
  if (progress == Progress::kGoesOn) ++next_write_;
  if (written) ++result_.done;
  return progress;
}

CardCleaning::Progress CardCleaning::hold_next(const chip::Handle& handle) {
  const auto& [tile, cores] = parts_.orders.cores[next_hold_];
  const Status held = handle.hold_in_reset(tile, cores);
  const Progress progress = settle(held, fmt::format("reset of the cores of {}", text_of(tile)));
  if (progress != Progress::kGoesOn) return progress;
  ++next_hold_;
  if (!held) return progress;
  ++result_.done;
  held_.push_back(tile);
  return progress;
}

CardCleaning::Progress CardCleaning::look_at_next(const chip::Handle& handle) {
  const chip::Tile tile = held_.back();
  const std::string awaited = fmt::format("the end of the NoC traffic of {}", text_of(tile));
  const ::warden::Result<chip::NocTraffic> traffic = handle.outstanding(tile);
  if (traffic && !traffic->is_quiet()) return wait_for(awaited, to_string(*traffic));
  const Progress progress = settle(traffic ? Status{} : std::unexpected(traffic.error()), awaited);
  if (progress == Progress::kGoesOn) held_.pop_back();
  return progress;
}

// What the card refuses for good is passed over; the rest is tried again, for a while.
CardCleaning::Progress CardCleaning::settle(const Status& status, std::string awaited) {
  if (status) return Progress::kGoesOn;
  const Error& error = status.error();
  if (error.code == Code::kStale) return Progress::kGoesOn;  // the epoch is looked at again
  if (error.code == Code::kResetting) return Progress::kWaits;
  const bool is_refused = error.code == Code::kInvalidArgument || error.code == Code::kPermission;
  if (!is_refused) return wait_for(std::move(awaited), error.message);
  if (result_.refused++ == 0) result_.first_refusal = error.message;
  return Progress::kGoesOn;
}

CardCleaning::Progress CardCleaning::wait_for(std::string awaited, const std::string& last_seen) {
  const auto now = Clock::now();
  if (!deadline_) deadline_ = now + kCleaningPatience;
  if (now < *deadline_) return Progress::kWaits;
  return quarantine(fmt::format("awaited {} for {} ms; last seen: {}", awaited, kCleaningPatience.count(), last_seen));
}

CardCleaning::Progress CardCleaning::quarantine(std::string reason) {
  result_.quarantined = true;
  result_.reason = std::move(reason);
  return end();
}

CardCleaning::Progress CardCleaning::end() {
  parts_.done(std::move(result_));
  return Progress::kEnded;
}

}  // namespace warden::daemon
