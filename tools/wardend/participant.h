// SPDX-License-Identifier: Apache-2.0
// The seam between a reset and those who must hear of it: each kind of listener is one source of participants. The
// transaction knows no more about them than this.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <warden/result.h>

#include "tools/wardend/reset_record.h"

namespace warden::daemon {

// Somebody who was told of a reset and is waited for. Used by the transaction's thread alone.
class Participant {
 public:
  Participant(const Participant&) = delete;
  Participant& operator=(const Participant&) = delete;
  virtual ~Participant() = default;

  [[nodiscard]] virtual std::uint64_t session_id() const noexcept = 0;  // 0: not a session
  [[nodiscard]] virtual int pid() const noexcept = 0;
  [[nodiscard]] virtual const std::string& name() const noexcept = 0;

  // Where it stands now: kPending while it owes an answer. Never blocks.
  [[nodiscard]] virtual Outcome look() = 0;
  // When it answered, as it says itself (CLOCK_BOOTTIME); 0: when look() found out.
  [[nodiscard]] virtual std::uint64_t answered_ns() const noexcept { return 0; }
  // False: it has no way to answer, so it can't be late; its own look() says when enough was waited.
  [[nodiscard]] virtual bool can_answer() const noexcept { return true; }
  // SIGKILL for the process that stayed silent; its death then shows in look().
  [[nodiscard]] virtual Status kill() = 0;
  // The transaction has recorded an outcome: nothing is owed any more.
  virtual void settle() noexcept = 0;

 protected:
  Participant() = default;
};

using Participants = std::vector<std::unique_ptr<Participant>>;

class ParticipantSource {
 public:
  ParticipantSource(const ParticipantSource&) = delete;
  ParticipantSource& operator=(const ParticipantSource&) = delete;
  virtual ~ParticipantSource() = default;

  // Makes everybody of this kind owe an answer to `record`. Called just before the announcement is published.
  [[nodiscard]] virtual Participants announce(const ResetRecord& record) = 0;
  // After a worker's death: those who still owe. record.listeners holds those who had answered.
  [[nodiscard]] virtual Participants resume(const ResetRecord& record) = 0;
  // The reset has ended: record.result and record.reason say how. Called just before the result is published.
  virtual void finish(const ResetRecord& record) noexcept = 0;

 protected:
  ParticipantSource() = default;
};

}  // namespace warden::daemon
