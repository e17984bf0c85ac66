// SPDX-License-Identifier: Apache-2.0
// wardend's own socket in tt-umd's listener directory: how it hears of resets that tt-umd or tt-smi announce.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <warden/result.h>
#include <warden/unique_fd.h>

#include "tools/wardend/umd_listeners.h"

namespace warden::daemon {

// Owner: wardend's main loop, which polls fd() and calls receive(). Not thread-safe. The socket file goes with it.
class UmdInbox {
 public:
  // Makes the directory (for everybody to write, as tt-umd does) when it is not there. The socket is called
  // client_<number>.sock, as tt-umd's are; a stale one of that name is replaced.
  [[nodiscard]] static Result<UmdInbox> open(const std::string& directory, int number);
  // Goes on with the socket of a predecessor that was killed.
  [[nodiscard]] static Result<UmdInbox> adopt(const std::string& directory, int number, UniqueFd listener);
  UmdInbox(UmdInbox&&) noexcept = default;
  UmdInbox& operator=(UmdInbox&&) = delete;
  ~UmdInbox();

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  // An epoll descriptor: readable when a message may have come.
  [[nodiscard]] int fd() const noexcept { return epoll_.get(); }
  [[nodiscard]] int listener() const noexcept { return listener_.get(); }
  // Everything that has come from senders that `may_speak`, never blocking; bytes that mean nothing are dropped with
  // their sender.
  [[nodiscard]] std::vector<UmdMessage> receive(const std::function<bool(int socket)>& may_speak);

 private:
  UmdInbox(std::string path, std::string name, UniqueFd listener, UniqueFd epoll) noexcept;
  void accept_all();

  std::string path_;
  std::string name_;
  UniqueFd listener_;
  UniqueFd epoll_;
  std::vector<UniqueFd> senders_;  // connected, their byte still awaited; bounded
};

}  // namespace warden::daemon
