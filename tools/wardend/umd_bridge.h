// SPDX-License-Identifier: Apache-2.0
// The bridge to tt-umd's listeners and notifiers, in both directions: theirs are told of our resets, ours of theirs.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include <warden/result.h>

#include "tools/wardend/devices.h"
#include "tools/wardend/keeper_link.h"
#include "tools/wardend/reset_queue.h"
#include "tools/wardend/umd_inbox.h"
#include "tools/wardend/umd_participants.h"

namespace warden::daemon {

// Owner: the worker. Threads: its main loop, but for participants(), which the transaction uses.
class UmdBridge {
 public:
  struct Options {
    std::string directory;
    std::chrono::milliseconds grace{2000};
  };

  // The socket is the keeper's, so that nothing said while no worker lives is lost.
  [[nodiscard]] static Result<std::unique_ptr<UmdBridge>> open(const Options& options, KeptTable& kept,
                                                               KeeperLink& keeper, int keeper_pid);

  [[nodiscard]] ParticipantSource& participants() noexcept { return participants_; }
  [[nodiscard]] int fd() const noexcept { return inbox_.fd(); }
  // What notifiers with the operator right have said becomes a reset with reason `external`, or its end.
  void hear(ResetQueue& resets, const Devices& devices, const std::function<bool(int socket)>& has_operator_right);

 private:
  UmdBridge(const Options& options, UmdInbox inbox)
      : inbox_(std::move(inbox)), participants_({options.directory, inbox_.name(), options.grace}) {}

  UmdInbox inbox_;
  UmdParticipants participants_;
};

}  // namespace warden::daemon
