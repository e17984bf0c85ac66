// SPDX-License-Identifier: Apache-2.0
// From a connection to a session: who it is, what it may do, and the descriptors it is given.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include <warden/result.h>
#include <warden/unique_fd.h>

#include "shm/directory.h"
#include "shm/ledger.h"
#include "shm/peer.h"
#include "shm/socket.h"
#include "tools/wardend/keeper_link.h"
#include "tools/wardend/session_table.h"

namespace warden::daemon {

// Threads: the main loop alone.
class Greeter {
 public:
  struct Parts {
    shm::DirectoryWriter& directory;
    shm::DoorbellMemory& doorbell;
    SessionTable& sessions;
    KeeperLink& keeper;
    std::optional<std::uint32_t> operator_group;
  };
  explicit Greeter(Parts parts) : parts_(parts) {}
  // The page for those who ask for it; -1: there is none. Stays the caller's.
  void set_liveness(int fd) noexcept { liveness_fd_ = fd; }

  // `hello` is the first packet of `socket`. The keeper holds the session before this returns; it is not welcomed
  // yet. On an error the peer has been told why.
  [[nodiscard]] Result<std::shared_ptr<Session>> greet(UniqueFd socket, const shm::Packet& hello);
  // Sends Welcome and descriptors. Also for sessions whose worker died before it had.
  [[nodiscard]] Status welcome(Session& session);

  // root, the user wardend runs as, and the members of the operator group.
  [[nodiscard]] bool has_operator_right(const shm::Peer& peer, int socket) const;

 private:
  [[nodiscard]] Result<std::shared_ptr<Session>> make_session(int socket, const shm::Packet& packet);
  // The one that the client hands back, when it may have it; else a fresh one.
  [[nodiscard]] Result<shm::LedgerReader> ledger_for(const shm::Packet& hello, const SessionTable::Place& place);
  [[nodiscard]] Result<shm::LedgerReader> take_back(int ledger_fd);
  Parts parts_;
  int liveness_fd_ = -1;
};

}  // namespace warden::daemon
