// SPDX-License-Identifier: Apache-2.0
// The transaction's world in the real daemon: directory, doorbell, journal, cards and stored reports.
#pragma once

#include <atomic>

#include "shm/directory.h"
#include "shm/ledger.h"
#include "tools/wardend/devices.h"
#include "tools/wardend/event_board.h"
#include "tools/wardend/journal.h"
#include "tools/wardend/report_store.h"
#include "tools/wardend/transaction.h"

namespace warden::daemon {

class ResetHost final : public TransactionHost {
 public:
  struct Parts {
    shm::DirectoryWriter& directory;
    shm::DoorbellMemory& doorbell;
    EventBoard& board;
    Journal& journal;
    Devices& devices;
    ReportStore& reports;
  };
  explicit ResetHost(Parts parts) : parts_(parts) {}

  [[nodiscard]] std::uint64_t now_ns() override;
  [[nodiscard]] std::uint32_t news() override;
  void wait(std::uint32_t seen, std::size_t answers, std::chrono::nanoseconds bound) override;
  [[nodiscard]] Status write_journal(const ResetRecord& record) override;
  using TransactionHost::publish;
  void publish(std::span<const shm::EventDraft> drafts) override;
  void wake_followers() override { parts_.directory.wake_followers(); }
  void begin(const ResetRecord& record) override;
  void finish(const ResetRecord& record) override;

 private:
  Parts parts_;
};

// What the event ring says about `record`'s reset, and the record with it: listeners that have answered, the
// deadline as it was last moved.
[[nodiscard]] Published recall(shm::DirectoryWriter& directory, ResetRecord& record);

}  // namespace warden::daemon
