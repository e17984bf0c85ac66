// SPDX-License-Identifier: Apache-2.0
// An epoll set with the caller's ids in it.
#include "bpf/pidfd_set.h"

#include <poll.h>
#include <sys/epoll.h>

#include <array>
#include <cerrno>

namespace warden::bpf {

bool is_readable(int fd) noexcept {
  pollfd poll_fd{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&poll_fd, 1, 0) > 0;
}

Result<PidfdSet> PidfdSet::make() {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return fail_errno("epoll_create1");
  return PidfdSet(std::move(epoll));
}

Status PidfdSet::add(int pidfd, std::uint64_t id) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = id;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, pidfd, &event) != 0) return fail_errno("watch a pidfd");
  return {};
}

void PidfdSet::remove(int pidfd) noexcept { ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, pidfd, nullptr); }

Status PidfdSet::take(std::vector<std::uint64_t>& ids) const {
  std::array<epoll_event, 256> events;
  const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
  if (count < 0 && errno != EINTR) return fail_errno("epoll_wait on pidfds");
  for (int i = 0; i < count; ++i) ids.push_back(events[static_cast<std::size_t>(i)].data.u64);
  return {};
}

}  // namespace warden::bpf
