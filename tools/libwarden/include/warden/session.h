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
  // Names of all devices wardend knows, in table order.
  [[nodiscard]] Result<std::vector<std::string>> devices();
  // The listings behind `warden devices` and `warden sessions`, as JSON text.
  [[nodiscard]] Result<std::string> devices_json();
  [[nodiscard]] Result<std::string> sessions_json();

  [[nodiscard]] internal::Client& client() noexcept { return *client_; }

 private:
  std::unique_ptr<internal::Client> client_;
};

}  // namespace warden
