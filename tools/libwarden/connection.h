// SPDX-License-Identifier: Apache-2.0
// One attachment to one wardend: the socket and the shared memory that the handshake handed over. Never changes
// afterwards; when it breaks, the client makes another.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <warden/result.h>
#include <warden/session.h>

#include "shm/directory.h"
#include "shm/ledger.h"
#include "shm/liveness_page.h"
#include "shm/socket.h"
#include "tools/libwarden/client_ledger.h"
#include "tools/libwarden/fork_guard.h"

namespace warden::internal {

using Clock = std::chrono::steady_clock;

// Threads: any; the socket is read and written under the client's lock, the ledger under the listeners' lock.
class Connection {
 public:
  // Connects and says hello, once. kNotFound, kDisconnected: nobody listens there; kBusy, kTimeout: somebody does, but
  // hung up or did not answer. The ledger of the attachment before, if there was one, is handed back; whether wardend
  // took it shows in ledger().
  [[nodiscard]] static Result<std::shared_ptr<Connection>> open(const std::string& path, const AttachOptions& options,
                                                                Clock::time_point deadline, SessionLedgers& ledgers);
  struct Parts {
    UniqueFd socket;
    UniqueFd notification;
    shm::Welcome welcome;
    shm::DirectoryReader directory;
    std::shared_ptr<ClientLedger> ledger;
    shm::DoorbellMemory doorbell;
    std::optional<shm::LivenessPage> liveness;
  };
  Connection(std::uint64_t number, Parts parts);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() = default;

  // Of this process's attachments; session ids begin anew with another wardend.
  [[nodiscard]] std::uint64_t number() const noexcept { return number_; }
  [[nodiscard]] int socket() const noexcept { return fds_.get(0); }
  [[nodiscard]] int notification() const noexcept { return fds_.get(1); }
  [[nodiscard]] const shm::DirectoryReader& directory() const noexcept { return directory_; }
  [[nodiscard]] const std::shared_ptr<ClientLedger>& ledger() const noexcept { return ledger_; }
  [[nodiscard]] const shm::Welcome& welcome() const noexcept { return welcome_; }
  [[nodiscard]] bool is_operator() const noexcept { return (welcome_.flags & shm::kSessionOperator) != 0; }

  // wardend closed its end.
  [[nodiscard]] bool has_hung_up() const noexcept;
  // wardend waits for this session to answer this reset.
  [[gnu::hot]] [[nodiscard]] bool owes(std::uint64_t reset_id) const noexcept;
  [[gnu::hot]] [[nodiscard]] std::uint64_t active_reset_id() const noexcept;
  [[nodiscard]] bool has_acknowledged(std::uint64_t reset_id) const noexcept {
    return ledger_->has_acknowledged(reset_id);
  }
  // Writes the answer where wardend reads it, and rings.
  void acknowledge(std::uint64_t reset_id) noexcept;

  // This session's process lives, by the kernel's own word where there is one, else by wardend's.
  [[nodiscard]] bool is_alive(std::uint64_t session_id, std::uint32_t slot) const noexcept;
  [[nodiscard]] std::size_t living_sessions() const noexcept;

  // The device table.
  [[nodiscard]] std::vector<std::string> device_names(std::uint64_t device_mask) const;
  // Which devices are being reset.
  [[nodiscard]] std::uint64_t resetting_mask() const noexcept;
  // kNotFound names the device and those there are. Empty: all ones.
  [[nodiscard]] Result<std::uint64_t> device_mask(const std::vector<std::string>& names) const;

 private:
  const std::uint64_t number_;
  const shm::Welcome welcome_;
  ForkGuardedFds fds_;  // session socket [, notification socket]
  const shm::DirectoryReader directory_;
  const std::shared_ptr<ClientLedger> ledger_;  // not mapped in a forked child
  shm::DoorbellMemory doorbell_;
  const std::optional<shm::LivenessPage> liveness_;  // none: wardend has none
};

}  // namespace warden::internal
