// SPDX-License-Identifier: Apache-2.0
// A process's attachment to wardend: what everything else in libwarden hangs on.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <warden/result.h>

namespace warden {

namespace internal {
class Client;
}

struct AttachOptions {
  // Empty: $WARDEN_SOCKET, else /run/warden/warden.sock.
  std::string socket_path{};
  // What listings call this session; empty: the process's name. At most 31 bytes are kept.
  std::string name{};
  // The process whose work this session stands for, when that is not the caller (a wrapper names its command).
  int subject_pid = 0;
  // Makes Listener::fd() available: wardend sends a byte for every event.
  bool pollable = false;
  // For the connection and the handshake, and for each later request.
  std::chrono::milliseconds timeout = std::chrono::seconds(10);
};

// Which allocations a listing shows.
struct AllocationFilter {
  std::string device{};                  // its name or number; empty: of all devices
  int pid = 0;                           // as wardend sees it; 0: of all processes
  bool records = false;                  // single records too, not only sums
  std::chrono::milliseconds min_age{0};  // single records of sessions: at least this old
  std::uint32_t max_records = 0;         // of all processes together; 0: as many as wardend gives, 65,536
};

// Attached until the last reference goes. When wardend restarts, the next call attaches again by itself: listeners go
// on, device handles answer kStale. Threads: any. After fork() the child has no session: its copies answer
// kDisconnected and attach afresh only by a new attach(). Starts no thread, handles no signal, prints nothing.
class Session {
 public:
  // Errors: kNotFound or kDisconnected, one line saying what to start or mount; kPermission; kProtocol.
  [[nodiscard]] static Result<std::shared_ptr<Session>> attach(const AttachOptions& options = {});
  explicit Session(std::unique_ptr<internal::Client> client);
  ~Session();

  [[nodiscard]] std::uint64_t id() const noexcept;
  [[nodiscard]] bool is_operator() const noexcept;
  // Whether this session's process lives; its number and slot are those of the listing. Asks nobody: where the kernel
  // itself writes down who has begun to die, a death is seen before wardend can know of it. false: it is dead or has
  // left. kDisconnected: in a forked child.
  [[nodiscard]] Result<bool> is_alive(std::uint64_t session_id, std::uint32_t slot) const;
  // How many do, this one among them.
  [[nodiscard]] Result<std::size_t> living_sessions() const;
  // Names of all devices wardend knows, in table order.
  [[nodiscard]] Result<std::vector<std::string>> devices();
  // The listings behind `warden devices` and `warden sessions`, as JSON text.
  [[nodiscard]] Result<std::string> devices_json();
  [[nodiscard]] Result<std::string> sessions_json();
  // What every process has allocated, and wardend's own state, as JSON text (docs/protocol.md says what stands in it).
  [[nodiscard]] Result<std::string> allocations_json(const AllocationFilter& filter = {});
  [[nodiscard]] Result<std::string> status_json();

  [[nodiscard]] internal::Client& client() noexcept { return *client_; }

 private:
  std::unique_ptr<internal::Client> client_;
};

}  // namespace warden
