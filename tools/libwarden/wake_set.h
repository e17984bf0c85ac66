// SPDX-License-Identifier: Apache-2.0
// The one descriptor a polling program watches for a listener: readable for wardend's bytes, for a broken attachment,
// and when it is time to try again to attach.
#pragma once

#include <chrono>
#include <memory>

#include <warden/result.h>
#include <warden/unique_fd.h>

#include "tools/libwarden/connection.h"

namespace warden::internal {

// Threads: one at a time.
class WakeSet {
 public:
  [[nodiscard]] static Result<WakeSet> create();

  // Watches this attachment, and no other any more.
  [[nodiscard]] Status watch(const std::shared_ptr<Connection>& connection);
  // Watches nothing until `pause` has passed: a hung-up socket would stay readable for ever.
  void rest(std::chrono::milliseconds pause);
  // Makes it readable once more.
  void kick() noexcept { set_timer(std::chrono::nanoseconds(1)); }
  // Takes what is there, so that the descriptor is readable again only for something new.
  void drain() noexcept;

  [[nodiscard]] int fd() const noexcept { return epoll_.get(); }

 private:
  WakeSet(UniqueFd epoll, UniqueFd timer) noexcept : epoll_(std::move(epoll)), timer_(std::move(timer)) {}
  [[nodiscard]] Status add(int fd, unsigned events);
  void forget() noexcept;
  void set_timer(std::chrono::nanoseconds from_now) noexcept;

  UniqueFd epoll_;
  UniqueFd timer_;
  std::shared_ptr<Connection> watched_;
};

}  // namespace warden::internal
