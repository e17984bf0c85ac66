// SPDX-License-Identifier: Apache-2.0
// One warm reset of a Wormhole from its saved state to its verdict. The caller keeps everybody else off the card.
//
//   save ──► trigger ──► wait ──► restore ──► verify ──► verdict
//     └─────────┴──────────┴────────┴── refused, never came back: a verdict too
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include <warden/result.h>

#include "driver/chip/arc_messenger.h"
#include "driver/chip/bar.h"
#include "driver/chip/chip.h"
#include "driver/chip/config_space.h"
#include "driver/chip/reset_proof.h"
#include "driver/chip/tile_memory.h"
#include "driver/chip/windows.h"

namespace warden::chip {

// The parts of a chip that a reset works on. All outlive it.
struct ResetSubject {
  vfio::Device& device;
  Bar& bar0;
  WindowPool& windows;
  ArcMessenger& arc;
  TileMemory& memory;
  CardAddress canary;
  // The grid, learnt from the card where it is not known yet; called once the ARC has answered.
  std::function<Result<NocGrid>()> learn_grid;
};

class WarmReset {
 public:
  // `unfinished`: a predecessor may have left the card in the middle of a reset, which is awaited first.
  WarmReset(ResetSubject subject, const ResetOptions& options, bool unfinished);

  // Once.
  [[nodiscard]] ResetReport run();

  // After run(): whether a reset was triggered from which the card has not been seen to return. Its BARs must then be
  // left alone until it has.
  [[nodiscard]] bool card_is_lost() const noexcept { return lost_; }

 private:
  using Clock = std::chrono::steady_clock;

  // What the card looked like when it was last polled.
  struct Sighting {
    std::uint16_t vendor = ConfigSpace::kNobodyThere;
    std::uint16_t command = ConfigSpace::kNobodyThere;
    std::chrono::milliseconds after{0};
    int looks = 0;
    bool back = false;
    // Both ids: VFIO may answer the vendor's from its own copy.
    [[nodiscard]] bool on_bus() const {
      return vendor != ConfigSpace::kNobodyThere && !ConfigSpace::is_nobody(command);
    }
  };

  Status perform();
  void explain(const Error& failure);
  Status save();
  Status let_predecessor_finish();
  Status wake_arc();
  Status save_clock();
  Status save_window();
  Status plant_canary();
  Status trigger();
  Status wait_for_return();
  Result<Sighting> poll_until_back(bool marker_must_clear);
  void step_back();
  Status restore();
  Status verify();
  Status verify_post_code();
  Status verify_clock();
  Status verify_window();
  Status verify_canary();
  Status verify_heartbeat();
  void greet_firmware();

  void step(ResetStep step);
  bool wanted(Proof proof) const;
  Evidence& evidence(Proof proof);
  Status judge(Proof proof, bool passed, std::string after, std::string_view complaint);
  bool arms_marker() const { return options_.kind == ResetKind::kAsic || options_.kind == ResetKind::kBoard; }
  bool is_external() const { return options_.kind == ResetKind::kExternal; }

  ResetSubject subject_;
  const ResetOptions& options_;
  const bool unfinished_;
  ConfigSpace config_;
  ResetReport report_;

  bool lost_ = false;
  std::uint16_t saved_command_ = 0;
  std::uint16_t saved_device_control_ = 0;
  std::uint64_t clock_before_ = 0;
  Clock::time_point triggered_at_{};
  std::uint64_t window_config_ = 0;  // BAR0 offset of the register that is watched
  std::uint64_t window_before_ = 0;
  NocGrid grid_{{}, false};  // the card's own once its ARC has answered
  std::uint32_t canary_original_ = 0;
  std::uint32_t canary_planted_ = 0;
};

}  // namespace warden::chip
