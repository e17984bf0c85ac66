// SPDX-License-Identifier: Apache-2.0
// The ledger of this process, which outlives attachments: a new wardend is handed the memory that the old one knew.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include <warden/result.h>
#include <warden/unique_fd.h>

#include "shm/allocation_writer.h"
#include "shm/coarse_clock.h"
#include "shm/ledger.h"

namespace warden::internal {

// Threads: any. In a forked child nothing of it is mapped, and it is never destroyed there.
class ClientLedger {
 public:
  // As it came with a welcome, for this attachment.
  [[nodiscard]] static Result<std::shared_ptr<ClientLedger>> open(UniqueFd fd, std::uint64_t session_id,
                                                                  std::uint64_t attachment,
                                                                  const shm::CoarseClock& clock);
  // True when this descriptor is this very memory; a new wardend has then taken it over under this number.
  [[nodiscard]] bool pass_on(int fd, std::uint64_t session_id, std::uint64_t attachment) noexcept;

  // Answers only for the attachment of now: another wardend does not wait for this one's answer.
  void acknowledge(std::uint64_t reset_id, std::uint64_t attachment) noexcept;
  [[nodiscard]] bool has_acknowledged(std::uint64_t reset_id) const noexcept {
    return ledger_.acknowledged_reset_id() == reset_id;
  }

  [[nodiscard]] shm::AllocationWriter& allocations() noexcept { return *allocations_; }
  [[nodiscard]] shm::AllocationReader reader() const noexcept { return shm::AllocationReader(ledger_.fd()); }
  // What remove_death_action() takes. kStale: the action is of another attachment; kBusy: there is no room.
  [[nodiscard]] Result<std::uint64_t> add_death_action(const shm::DeathAction& action, std::uint64_t attachment);
  [[nodiscard]] bool remove_death_action(std::uint64_t ticket) noexcept;
  [[nodiscard]] int fd() const noexcept { return ledger_.fd(); }

 private:
  ClientLedger(shm::LedgerWriter ledger, shm::Memory::FileId file_id, std::uint64_t attachment,
               const shm::CoarseClock& clock);
  const shm::Memory::FileId file_id_;
  shm::LedgerWriter ledger_;
  const std::shared_ptr<shm::AllocationWriter> allocations_;
  std::atomic<std::uint64_t> attachment_;
  std::mutex death_mutex_;  // of this process alone; attachment_ changes only with it
  shm::DeathActionWriter death_actions_;
};

// The ledgers of one session: that of now, and those that a new wardend would not take over.
class SessionLedgers {
 public:
  explicit SessionLedgers(shm::CoarseClock clock) noexcept : clock_(std::move(clock)) {}

  // Records go into this one from now on. Threads: with the client's request lock.
  void use(const std::shared_ptr<ClientLedger>& ledger);
  // Stays valid, whatever use() does. Threads: any.
  [[nodiscard]] ClientLedger& now() const noexcept {
    return *now_.load(std::memory_order_acquire);  // sync: libwarden.ledger
  }
  // The number of now()'s writer; 0 before there is one. Threads: any.
  [[nodiscard]] const std::atomic<std::uint64_t>& writer_now() const noexcept { return writer_now_; }
  [[nodiscard]] std::shared_ptr<ClientLedger> kept() const;
  // Records in ledgers that nobody took over.
  [[nodiscard]] std::uint64_t lost_count() const;
  [[nodiscard]] shm::CoarseClock& clock() noexcept { return clock_; }

 private:
  shm::CoarseClock clock_;
  std::atomic<ClientLedger*> now_{nullptr};
  std::atomic<std::uint64_t> writer_now_{0};
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<ClientLedger>> ledgers_;  // the last is that of now; threads may still be in the others
};

}  // namespace warden::internal
