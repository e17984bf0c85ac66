// SPDX-License-Identifier: Apache-2.0
// What is done to one card when a session has ended, in small steps between the accesses of others:
//
//   accesses still queued ─► death writes ─► cores into reset ─► their tiles quiet on the NoC ─► DMA unmapped ─► clean
//                                  └────────────────┴──────────────────┴─ not in time ─► quarantined until the next
//                                  reset
//
// A reset in between does all of this at once: the card is new afterwards. Every step may be done again, so that a
// worker that takes over begins anew.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <warden/result.h>

#include "driver/chip/chip.h"
#include "shm/death_actions.h"
#include "shm/directory_layout.h"

namespace warden::daemon {

// How long a death write, a core or the NoC may keep a card's part from ending.
inline constexpr std::chrono::milliseconds kCleaningPatience{1000};

// What one session wants done to one card.
struct CardOrders {
  std::uint64_t epoch = 0;                                // of the card, when the session ended
  std::vector<shm::DeathAction> writes;                   // in the order of registration
  std::vector<std::pair<chip::Tile, chip::Cores>> cores;  // each tile once
  std::size_t stale = 0;  // actions from before a reset, which are not for this card any more
};
// Of all the session's actions, those for this device.
[[nodiscard]] CardOrders orders_for(std::uint32_t device, std::uint64_t epoch,
                                    std::span<const shm::DeathAction> actions);

// The card as the device's thread has it just now.
struct CardNow {
  chip::Chip* chip = nullptr;  // none: lost
  shm::DeviceState state{};
};

// Threads: the card's own.
class CardCleaning {
 public:
  struct Result {
    bool quarantined = false;
    std::string reason;       // then: what was awaited and what was last seen
    bool wiped = false;       // a reset did it
    std::size_t done = 0;     // writes done and tiles whose cores were put into reset
    std::size_t refused = 0;  // what the session could not have done either
    std::string first_refusal;
  };
  struct Parts {
    CardOrders orders;
    std::function<bool()> is_idle;  // no access of the session is queued any more
    // Whether the session could have done this write itself.
    std::function<Status(const chip::Chip&, const shm::DeathAction&)> check;
    std::function<void(chip::Chip&)> unmap;  // its DMA: nothing of the session reaches memory any more
    std::function<void(Result)> done;        // once
  };
  explicit CardCleaning(Parts parts) : parts_(std::move(parts)) {}

  // One step. When to be called again at the earliest; nothing: done.
  [[nodiscard]] std::optional<std::chrono::microseconds> step(const CardNow& card);

 private:
  using Clock = std::chrono::steady_clock;
  enum class Progress : std::uint8_t { kGoesOn, kWaits, kEnded };

  [[nodiscard]] Progress advance(const CardNow& card);
  [[nodiscard]] Progress write_next(chip::Chip& chip, const chip::Handle& handle);
  [[nodiscard]] Progress hold_next(const chip::Handle& handle);
  [[nodiscard]] Progress look_at_next(const chip::Handle& handle);
  [[nodiscard]] Progress settle(const Status& status, std::string awaited);
  [[nodiscard]] Progress wait_for(std::string awaited, const std::string& last_seen);
  [[nodiscard]] Progress end();
  [[nodiscard]] Progress quarantine(std::string reason);

  Parts parts_;
  Result result_;
  std::size_t next_write_ = 0;
  std::size_t next_hold_ = 0;
  std::vector<chip::Tile> held_;               // and not seen quiet yet
  std::optional<Clock::time_point> deadline_;  // from the first time that something had to be awaited
  std::chrono::microseconds pause_{0};
};

}  // namespace warden::daemon
