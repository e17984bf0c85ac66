// SPDX-License-Identifier: Apache-2.0
// tt-umd's pattern, written anew with plain system calls (tt-umd itself goes through asio, which takes longer): a
// folder with one stream socket a listener; the notifier lists the folder, connects to each socket afresh and sends one
// byte.
#include <dirent.h>
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <string>

#include <warden/unique_fd.h>

#include "tests/bench/child.h"
#include "tests/bench/measure.h"
#include "tests/bench/shared_page.h"
#include "tests/bench/wakers.h"
#include "tests/support/process.h"

namespace warden::bench {

namespace {

constexpr char kPreReset = 0x01;
constexpr char kPostReset = 0x02;

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  return address;
}

void listen_for_ever(const std::string& folder, Heard& heard) {
  const sockaddr_un address = address_of(folder + "/client_" + std::to_string(::getpid()) + ".sock");
  const UniqueFd server(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const UniqueFd poller(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{.events = EPOLLIN, .data = {.fd = server.get()}};
  if (::bind(server.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(server.get(), SOMAXCONN) != 0 || ::epoll_ctl(poller.get(), EPOLL_CTL_ADD, server.get(), &event) != 0) {
    return;
  }
  heard.ready.store(1);
  while (::epoll_wait(poller.get(), &event, 1, -1) == 1) {
    const UniqueFd notifier(::accept4(server.get(), nullptr, nullptr, SOCK_CLOEXEC));
    char byte = 0;
    if (::read(notifier.get(), &byte, 1) == 1 && byte == kPreReset) heard.time_ns.store(now_ns());
  }
}

Status notify(const std::string& folder, char what) {
  DIR* listing = ::opendir(folder.c_str());
  if (listing == nullptr) return fail_errno("list " + folder, errno);
  while (const dirent* entry = ::readdir(listing)) {
    const std::string name = entry->d_name;
    if (!name.starts_with("client_")) continue;
    const sockaddr_un address = address_of(fmt::format("{}/{}", folder, name));
    const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) continue;
    (void)::send(socket.get(), &what, 1, MSG_NOSIGNAL);
  }
  ::closedir(listing);
  return {};
}

class UmdWaker final : public Waker {
 public:
  explicit UmdWaker(SharedPage<Heard> heard) : heard_(std::move(heard)) {}

  Status start() {
    auto listener = Child::fork([&] { listen_for_ever(folder_.path(), *heard_.get()); });
    if (!listener) return std::unexpected(std::move(listener).error());
    listener_.emplace(std::move(*listener));
    return await("listener of tt-umd's kind", [&] { return heard_->ready.load() != 0; });
  }
  Status wake() override { return notify(folder_.path(), kPreReset); }
  Status rest() override { return notify(folder_.path(), kPostReset); }
  Heard& heard() noexcept override { return *heard_.get(); }

 private:
  test::TemporaryDirectory folder_;
  SharedPage<Heard> heard_;
  std::optional<Child> listener_;
};

}  // namespace

Result<std::unique_ptr<Waker>> umd_waker() {
  auto heard = SharedPage<Heard>::make();
  if (!heard) return std::unexpected(std::move(heard).error());
  auto waker = std::make_unique<UmdWaker>(std::move(*heard));
  if (auto ok = waker->start(); !ok) return std::unexpected(std::move(ok).error());
  return waker;
}

}  // namespace warden::bench
