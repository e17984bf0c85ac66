// SPDX-License-Identifier: Apache-2.0
// tt-umd's listeners as participants of a reset: told by a byte, unable to answer, awaited for a grace period.
#pragma once

#include <chrono>
#include <string>

#include "tools/wardend/participant.h"

namespace warden::daemon {

// Used by the transaction's thread alone.
class UmdParticipants final : public ParticipantSource {
 public:
  struct Options {
    std::string directory;
    std::string own_name;  // wardend's own socket there, which is told nothing
    std::chrono::milliseconds grace{2000};
  };
  explicit UmdParticipants(Options options) : options_(std::move(options)) {}

  [[nodiscard]] Participants announce(const ResetRecord& record) override;
  [[nodiscard]] Participants resume(const ResetRecord& record) override;
  void finish(const ResetRecord& record) noexcept override;

 private:
  Options options_;
};

}  // namespace warden::daemon
