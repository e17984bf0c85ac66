// SPDX-License-Identifier: Apache-2.0
// One vfio-user connection seen from the client: a request goes out, its reply comes back before a deadline, and a
// peer that breaks the protocol is never listened to again.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <sys/socket.h>
#include <sys/uio.h>

#include <warden/result.h>
#include <warden/unique_fd.h>

#include "driver/vfio/vfio_user_wire.h"

namespace warden::vfio {

// What one request says and what may come back. All memory is borrowed for the call.
struct Exchange {
  wire::Command command;
  std::span<const std::span<const std::byte>> request;  // pieces of the payload, at most kMaxPieces
  std::span<const std::span<std::byte>> reply;          // where the reply's payload goes; its whole room is the maximum
  std::size_t reply_min_bytes = 0;
  std::span<const int> request_fds = {};
  std::vector<UniqueFd>* reply_fds = nullptr;  // null: descriptors that come along are dropped
};

// Threads: exchange() may be called from any thread; requests are serialised, one is under way at a time.
class VfioUserChannel {
 public:
  static constexpr std::size_t kMaxPieces = 3;

  // Takes a connected stream socket and sets its timeouts.
  VfioUserChannel(UniqueFd socket, int timeout_ms);

  // Bytes of payload received. An error reply of the server is an error of the code its errno means; kTimeout leaves
  // the connection usable (the late reply is recognised and dropped); kProtocol and kDisconnected end it, and every
  // later call answers kDisconnected with the same reason.
  [[nodiscard]] Result<std::size_t> exchange(const Exchange& exchange);

  // A predecessor on this socket may have left a request unanswered: replies to ids that are not ours are dropped
  // until our own comes.
  void expect_stale_replies();

  // Ends the connection for an answer that is well-formed and yet can't be right. kProtocol.
  [[nodiscard]] std::unexpected<Error> break_off(std::string reason);

  [[nodiscard]] int descriptor() const noexcept { return socket_.get(); }

 private:
  using Deadline = std::chrono::steady_clock::time_point;

  Status send(const Exchange& exchange, std::uint16_t id);
  Result<std::size_t> receive(const Exchange& exchange, std::uint16_t id, Deadline deadline);
  Status drop_stale_replies(std::uint16_t id, Deadline deadline);
  Result<std::size_t> receive_some(msghdr& message, Deadline deadline, bool first);
  Status receive_rest(std::span<iovec> pieces, std::size_t have_bytes, const wire::Header& header,
                      std::size_t room_bytes, Deadline deadline);
  Status check_length(const wire::Header& header, std::size_t room_bytes);
  Result<std::size_t> check_reply(const Exchange& exchange, std::uint16_t id, const wire::Header& header);
  Status wait_readable(Deadline deadline);
  std::unexpected<Error> die(Code code, std::string reason);

  UniqueFd socket_;
  int timeout_ms_;
  std::mutex mutex_;  // guards everything below, and the stream itself
  std::uint16_t next_id_;
  bool stale_possible_ = false;
  std::string dead_reason_;  // empty: alive
};

[[nodiscard]] std::string_view to_string(wire::Command command) noexcept;

}  // namespace warden::vfio
