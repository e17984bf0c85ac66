// SPDX-License-Identifier: Apache-2.0
// A listening stream socket with a name in the file system, which goes away with its owner.
#pragma once

#include <string>

#include <warden/result.h>
#include <warden/unique_fd.h>

namespace warden::sim {

class ListeningSocket {
 public:
  // Takes the place of a socket that nobody serves any more; refuses one that somebody does.
  [[nodiscard]] static Result<ListeningSocket> bind(const std::string& path);
  ListeningSocket(ListeningSocket&&) = default;
  ListeningSocket& operator=(ListeningSocket&&) = delete;
  ~ListeningSocket();

  [[nodiscard]] int get() const noexcept { return socket_.get(); }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  // A peer, or an empty descriptor when none waits (any more).
  [[nodiscard]] UniqueFd accept() const noexcept;

 private:
  ListeningSocket(std::string path, UniqueFd socket) : path_(std::move(path)), socket_(std::move(socket)) {}

  std::string path_;
  UniqueFd socket_;
};

// Connects to such a socket. Connecting, sending and receiving give up after five seconds (kTimeout, EAGAIN).
[[nodiscard]] Result<UniqueFd> connect_to(const std::string& path);

}  // namespace warden::sim
