// SPDX-License-Identifier: Apache-2.0
// The session behind the public headers: requests and their replies, and coming back after wardend was away.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include <warden/result.h>
#include <warden/session.h>

#include "shm/message.h"
#include "shm/socket.h"
#include "tools/libwarden/client_ledger.h"
#include "tools/libwarden/connection.h"
#include "tools/libwarden/listener_registry.h"

namespace warden::internal {

struct Reply {
  shm::Packet packet;
  std::uint64_t attachment = 0;  // which one answered
};

// What a request that had to reattach may still be sent to; 0: anybody.
struct RequestScope {
  std::uint64_t attachment = 0;   // kStale in another one
  std::uint64_t instance_id = 0;  // kDisconnected from another wardend
};

template <typename Body>
[[nodiscard]] std::span<const std::byte> bytes_of(const Body& body) noexcept {
  return std::as_bytes(std::span(&body, 1));
}

// The tail of a reply as text, whether it came inline or in a memfd.
[[nodiscard]] Result<std::string> text_of(const shm::Packet& packet);

// Threads: any. One request at a time is under way.
class Client {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Client>> attach(const AttachOptions& options);

  // Sends, awaits the reply, and sends again when a new worker took over or the connection broke. A reply with a code
  // is that error.
  [[nodiscard]] Result<Reply> request(shm::MessageKind kind, std::span<const std::byte> body,
                                      std::span<const std::byte> tail = {}, const RequestScope& scope = {});

  // The same for what ends with the session anyway: sent only if it is attached, and what is answered does not matter.
  void tell_if_attached(shm::MessageKind kind, std::span<const std::byte> body, const RequestScope& scope);

  // The attachment of now, which may be broken.
  [[nodiscard]] std::shared_ptr<Connection> connection() const;
  // Moves after connection() has changed: one load tells that nothing has. sync: client.attachments
  [[nodiscard]] std::uint64_t attachments() const noexcept { return attachments_.load(std::memory_order_acquire); }
  // The same, reattached if it is broken: waits up to the session's timeout.
  [[nodiscard]] Result<std::shared_ptr<Connection>> live_connection();
  // Reattaches if it is broken, in one attempt; kBusy when another thread is at it.
  [[nodiscard]] Result<std::shared_ptr<Connection>> try_live_connection();

  // Tells wardend what the session's listeners listen to now.
  [[nodiscard]] Status update_listening();
  // The same without waiting for a wardend that is away: the next attachment will know.
  void update_listening_if_attached();

  // For as long as the client lives.
  [[nodiscard]] const SessionLedgers& ledgers() const noexcept { return ledgers_; }
  [[nodiscard]] ListenerRegistry& listeners() noexcept { return listeners_; }
  [[nodiscard]] const AttachOptions& options() const noexcept { return options_; }
  [[nodiscard]] std::uint64_t session_id() const noexcept { return session_id_.load(std::memory_order_relaxed); }
  [[nodiscard]] bool is_operator() const noexcept { return is_operator_.load(std::memory_order_relaxed); }
  // kDisconnected in a forked child, where no lock of ours may be taken: who held it does not exist there.
  [[nodiscard]] Status check_process() const;
  // The futex bit by which this session's own waits are ended.
  [[nodiscard]] std::uint32_t wake_bit() const noexcept { return wake_bit_; }

 private:
  Client(std::string path, AttachOptions options, shm::CoarseClock clock);

  // All these: with request_mutex_ held.
  [[nodiscard]] Status reattach(Clock::time_point deadline);
  [[nodiscard]] Status attach_once(Clock::time_point deadline);
  [[nodiscard]] Status check_scope(const RequestScope& scope) const;
  [[nodiscard]] Result<Reply> exchange(shm::MessageKind kind, std::span<const std::byte> body,
                                       std::span<const std::byte> tail, Clock::time_point deadline);
  [[nodiscard]] Result<Reply> await_reply(const shm::Header& header, std::span<const std::byte> body,
                                          std::span<const std::byte> tail, Clock::time_point deadline);
  [[nodiscard]] Status tell_listening(Clock::time_point deadline);
  [[nodiscard]] Clock::time_point deadline_from_now() const { return Clock::now() + options_.timeout; }
  void install(std::shared_ptr<Connection> connection);

  const std::string path_;
  const AttachOptions options_;
  const unsigned fork_generation_;
  const std::uint32_t wake_bit_;
  SessionLedgers ledgers_;
  std::mutex request_mutex_;             // one request, or one reattachment, at a time
  mutable std::mutex connection_mutex_;  // held only to copy or replace the pointer
  std::shared_ptr<Connection> connection_;
  std::atomic<std::uint64_t> attachments_{0};
  std::uint32_t last_request_ = 0;
  std::atomic<std::uint64_t> session_id_{0};
  std::atomic<bool> is_operator_{false};
  ListenerRegistry listeners_;
};

}  // namespace warden::internal
