// SPDX-License-Identifier: Apache-2.0
// Taking back what the dead held. A death has two moments. Marked: the process has begun to die; from here on its
// records count nowhere and no reset waits for it. Released: its pidfd is readable and its memory gone; then, and not
// before, its slot and whatever else it had may be given to others. The reaper does the first; the worker ends the
// session at the second.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include <warden/result.h>

#include "shm/ledger.h"
#include "tools/wardend/exit_thread.h"
#include "tools/wardend/mailbox.h"
#include "tools/wardend/options.h"
#include "tools/wardend/session_table.h"

namespace warden::daemon {

// Threads: the worker's main loop, which hears of deaths by its mailbox; marking is done on the watching thread.
class Reaper {
 public:
  struct Parts {
    SessionTable& sessions;
    shm::DoorbellMemory& doorbell;
    KeeperLink& keeper;
    Mailbox& mailbox;
    std::function<void(std::uint64_t client_id)> on_bridged_death;  // on the main loop
    // On the main loop, once for each session: it is marked, and all of it accounted for.
    std::function<void(const std::shared_ptr<Session>&)> on_marked;
  };
  explicit Reaper(Parts parts) : parts_(std::move(parts)) {}

  [[nodiscard]] Status open(const Options& options, bool first, KeptTable& kept);
  [[nodiscard]] Status start() { return exits_->start(); }

  // Its process and its subject. A session that can't be watched is released by its pidfd, and marked then.
  void watch(const Session& session);
  void watch_bridged(std::uint64_t client_id, int pidfd);
  void forget_bridged(std::uint64_t client_id);
  // Before its pidfds are closed. False: its slot must not be used again yet.
  bool forget(const Session& session);

  // Whether its records count no more: it is marked, or the kernel has written so.
  [[nodiscard]] bool is_void(const Session& session) const noexcept;
  // Its process has begun to die, or is gone.
  void mark(const std::shared_ptr<Session>& session);
  // It has left, or was sent away, and its process lives.
  void dismiss(const std::shared_ptr<Session>& session);

  [[nodiscard]] const ExitThread& exits() const noexcept { return *exits_; }

 private:
  struct Removal {
    std::shared_ptr<Session> session;
    shm::AllocationSum held;
  };
  void hear_deaths(std::span<const ToldDeath> told);
  [[nodiscard]] bool mark_peer(Session& session);
  void settle(std::span<const Removal> removals);
  void keep(const Session& session);

  Parts parts_;
  std::unique_ptr<ExitThread> exits_;
};

}  // namespace warden::daemon
