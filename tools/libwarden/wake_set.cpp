// SPDX-License-Identifier: Apache-2.0
// An epoll descriptor with the notification socket, the session socket's hang-up and a timer in it.
#include "tools/libwarden/wake_set.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <cstdint>

namespace warden::internal {

Result<WakeSet> WakeSet::create() {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return fail_errno("epoll_create1");
  UniqueFd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer) return fail_errno("timerfd_create");
  WakeSet set(std::move(epoll), std::move(timer));
  if (auto ok = set.add(set.timer_.get(), EPOLLIN); !ok) return std::unexpected(std::move(ok).error());
  return set;
}

Status WakeSet::watch(const std::shared_ptr<Connection>& connection) {
  if (watched_ == connection) return {};
  forget();
  if (auto ok = add(connection->notification(), EPOLLIN | EPOLLRDHUP); !ok) return ok;
  if (auto ok = add(connection->socket(), EPOLLRDHUP); !ok) return ok;
  watched_ = connection;
  return {};
}

void WakeSet::rest(std::chrono::milliseconds pause) {
  forget();
  set_timer(pause);
}

void WakeSet::drain() noexcept {
  std::uint64_t expirations = 0;
  (void)!::read(timer_.get(), &expirations, sizeof(expirations));
  if (!watched_) return;
  std::array<char, 256> bytes;
  while (::recv(watched_->notification(), bytes.data(), bytes.size(), MSG_DONTWAIT) > 0) {
  }
}

Status WakeSet::add(int fd, unsigned events) {
  epoll_event event{.events = events, .data = {}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return fail_errno("epoll_ctl");
  return {};
}

void WakeSet::forget() noexcept {
  if (!watched_) return;
  (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, watched_->notification(), nullptr);
  (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, watched_->socket(), nullptr);
  watched_.reset();
}

void WakeSet::set_timer(std::chrono::nanoseconds from_now) noexcept {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(from_now);
  itimerspec time{};
  time.it_value.tv_sec = static_cast<time_t>(seconds.count());
  time.it_value.tv_nsec = static_cast<long>((from_now - seconds).count());
  (void)::timerfd_settime(timer_.get(), 0, &time, nullptr);
}

}  // namespace warden::internal
