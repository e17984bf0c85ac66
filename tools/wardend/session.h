// SPDX-License-Identifier: Apache-2.0
// One client as wardend knows it: its descriptors, who it is, and what of that survives the worker.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <warden/result.h>
#include <warden/unique_fd.h>

#include "shm/ledger.h"
#include "tools/wardend/keeper_link.h"

namespace warden::daemon {

// What listings and rights need. Does not change while the session lives.
struct SessionIdentity {
  std::uint64_t id = 0;
  std::uint32_t slot = 0;
  int pid = 0;
  std::uint32_t user_id = 0;
  std::uint32_t flags = 0;  // shm::kSessionOperator
  std::uint64_t start_time_ns = 0;
  std::string name;
  int subject_pid = 0;               // 0: the session stands for its own process
  int own_pid = 0;                   // what its own PID namespace calls the process; 0: unknown
  std::uint64_t attach_time_ns = 0;  // CLOCK_BOOTTIME
};

// Shared between the threads of the worker; what several of them write is atomic.
struct Session {
  Session(SessionIdentity who, shm::LedgerReader its_ledger)
      : identity(std::move(who)), ledger(std::move(its_ledger)) {}

  const SessionIdentity identity;
  const shm::LedgerReader ledger;
  UniqueFd socket;
  UniqueFd pidfd;
  UniqueFd subject_pidfd;           // when there is a subject
  UniqueFd notification;            // our end; when the client asked for one
  UniqueFd notification_peer;       // the client's end, until it has been sent
  std::uint32_t hello_request = 0;  // number that the Welcome repeats
  bool wants_liveness = false;      // the liveness page with its Welcome

  std::atomic<bool> welcomed{false};
  // Its process has begun to die, or it has left: what it recorded counts no more.
  std::atomic<bool> peer_gone{false};
  std::atomic<bool> reaped{false};           // and that was said
  std::atomic<bool> orphaned{false};         // its process is gone, its subject still runs
  std::atomic<bool> owes_continuing{false};  // orphaned while its subject may have been stopped for a reset
  std::atomic<bool> subject_dead{false};     // nothing is owed any more, though its wrapper may still talk
  std::atomic<bool> ended{false};            // its place is free as soon as the cards are clean
  std::atomic<std::uint64_t> opened_devices{0};
  std::atomic<std::uint32_t> jobs_under_way{0};

  [[nodiscard]] bool is_operator() const noexcept;
  // Nobody can or need answer for it any more.
  [[nodiscard]] bool owes_nothing() const noexcept {
    return ended.load() || subject_dead.load() || (peer_gone.load() && !subject_pidfd);
  }
  // The process whose work this is.
  [[nodiscard]] int working_pidfd() const noexcept { return subject_pidfd ? subject_pidfd.get() : pidfd.get(); }
};

// Under this name the keeper keeps a session.
[[nodiscard]] std::string keeper_name_of(std::uint64_t session_id);
[[nodiscard]] bool is_session_name(std::string_view keeper_name) noexcept;

[[nodiscard]] std::string blob_of(const Session& session);
// Sends everything; first time with descriptors, later only what changed.
[[nodiscard]] Status keep_session(KeeperLink& keeper, const Session& session);
// The same for one that has ended and whose ledger goes to another: with a ledger of its own, in which nothing stands
// but what is to be done to the cards.
[[nodiscard]] Status keep_session_apart(KeeperLink& keeper, const Session& session);
[[nodiscard]] Status keep_session_blob(KeeperLink& keeper, const Session& session);
[[nodiscard]] Result<std::shared_ptr<Session>> restore_session(Kept kept);

}  // namespace warden::daemon
