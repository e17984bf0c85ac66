// SPDX-License-Identifier: Apache-2.0
// Listeners that are sessions: they owe by a word in the directory and answer by a word in their ledger.
#pragma once

#include "shm/directory.h"
#include "shm/ledger.h"
#include "tools/wardend/participant.h"
#include "tools/wardend/session_table.h"

namespace warden::daemon {

class SessionListeners final : public ParticipantSource {
 public:
  SessionListeners(shm::DirectoryWriter& directory, shm::DoorbellMemory& doorbell, SessionTable& sessions)
      : directory_(directory), doorbell_(doorbell), sessions_(sessions) {}

  [[nodiscard]] Participants announce(const ResetRecord& record) override;
  [[nodiscard]] Participants resume(const ResetRecord& record) override;
  void finish(const ResetRecord& record) noexcept override;

 private:
  void expect(std::size_t count);
  shm::DirectoryWriter& directory_;
  shm::DoorbellMemory& doorbell_;
  SessionTable& sessions_;
};

}  // namespace warden::daemon
