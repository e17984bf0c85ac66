// SPDX-License-Identifier: Apache-2.0
// Keeping a ledger over attachments.
#include "tools/libwarden/client_ledger.h"

#include <fcntl.h>

#include "tools/libwarden/fork_guard.h"

namespace warden::internal {

ClientLedger::ClientLedger(shm::LedgerWriter ledger, shm::Memory::FileId file_id, std::uint64_t attachment,
                           const shm::CoarseClock& clock)
    : file_id_(file_id),
      ledger_(std::move(ledger)),
      allocations_(shm::AllocationWriter::create(ledger_.start(), clock.time_ns())),
      attachment_(attachment),
      death_actions_(ledger_.start()) {}

Result<std::shared_ptr<ClientLedger>> ClientLedger::open(UniqueFd fd, std::uint64_t session_id,
                                                         std::uint64_t attachment, const shm::CoarseClock& clock) {
  auto ledger = shm::LedgerWriter::open(std::move(fd), session_id);
  if (!ledger) return std::unexpected(std::move(ledger).error());
  const auto file_id = ledger->file_id();
  if (!file_id) return std::unexpected(file_id.error());
  const unsigned generation = fork_generation();
  // In a forked child nothing is mapped there, or by now something of somebody else's: it must not be unmapped.
  const auto destroy = [generation](const ClientLedger* old) {
    if (fork_generation() == generation) delete old;
  };
  return std::shared_ptr<ClientLedger>(new ClientLedger(std::move(*ledger), *file_id, attachment, clock), destroy);
}

bool ClientLedger::pass_on(int fd, std::uint64_t session_id, std::uint64_t attachment) noexcept {
  const shm::Memory memory(UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 0)));
  const auto file_id = memory.file_id();
  if (!file_id || *file_id != file_id_) return false;
  const std::lock_guard lock(death_mutex_);
  attachment_.store(attachment, std::memory_order_release);  // sync: libwarden.attachment
  // They were for devices as the attachment before had opened them. The new session has opened none yet, so that
  // nothing is done for it before they are gone.
  death_actions_.remove_all();
  ledger_.rename(session_id);
  return true;
}

void ClientLedger::acknowledge(std::uint64_t reset_id, std::uint64_t attachment) noexcept {
  if (attachment_.load(std::memory_order_acquire) != attachment) return;  // sync: libwarden.attachment
  ledger_.acknowledge(reset_id);
}

Result<std::uint64_t> ClientLedger::add_death_action(const shm::DeathAction& action, std::uint64_t attachment) {
  const std::lock_guard lock(death_mutex_);
  if (attachment_.load(std::memory_order_relaxed) != attachment) {  // changes with the mutex
    return fail(Code::kStale, "the device was opened before wardend was restarted; open it again");
  }
  const std::uint64_t ticket = death_actions_.add(action);
  if (ticket != 0) return ticket;
  return fail(Code::kBusy, "this session has " + std::to_string(shm::kDeathActions) +
                               " death actions and takes no more; remove some");
}

bool ClientLedger::remove_death_action(std::uint64_t ticket) noexcept {
  const std::lock_guard lock(death_mutex_);
  return death_actions_.remove(ticket);
}

void SessionLedgers::use(const std::shared_ptr<ClientLedger>& ledger) {
  const std::lock_guard lock(mutex_);
  if (!ledgers_.empty() && ledgers_.back() == ledger) return;
  ledgers_.push_back(ledger);
  now_.store(ledger.get(), std::memory_order_release);                           // sync: libwarden.ledger
  writer_now_.store(ledger->allocations().number(), std::memory_order_release);  // sync: libwarden.writer
}

std::shared_ptr<ClientLedger> SessionLedgers::kept() const {
  const std::lock_guard lock(mutex_);
  return ledgers_.empty() ? nullptr : ledgers_.back();
}

std::uint64_t SessionLedgers::lost_count() const {
  const std::lock_guard lock(mutex_);
  std::uint64_t count = 0;
  for (std::size_t i = 0; i + 1 < ledgers_.size(); ++i) {
    const auto totals = ledgers_[i]->reader().totals();
    if (totals) count += totals->all().count;
  }
  return count;
}

}  // namespace warden::internal
