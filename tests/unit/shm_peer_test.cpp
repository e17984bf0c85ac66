// SPDX-License-Identifier: Apache-2.0
// Who is at the other end: real processes over real sockets.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <csignal>
#include <thread>

#include "shm/peer.h"
#include "shm/socket.h"
#include "tests/unit/shm_test_support.h"

namespace warden::shm {
namespace {

class ShmPeer : public ::testing::Test {
 protected:
  void SetUp() override {
    auto listening = listen_at(path_);
    ASSERT_TRUE(listening) << listening.error().message;
    listening_ = std::move(*listening);
  }
  // Connects from a child that then waits to be killed.
  std::unique_ptr<test::Child> connecting_child() {
    return std::make_unique<test::Child>([this] {
      ::prctl(PR_SET_NAME, "it is) (me");
      const auto socket = connect_to(path_);
      if (socket) ::pause();
      return 1;
    });
  }
  UniqueFd accepted() {
    pollfd poll_fd{.fd = listening_.get(), .events = POLLIN, .revents = 0};
    ::poll(&poll_fd, 1, 30'000);
    return UniqueFd(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }
  static bool is_readable(int fd) {
    pollfd poll_fd{.fd = fd, .events = POLLIN, .revents = 0};
    return ::poll(&poll_fd, 1, 0) > 0;
  }

  test::TemporaryDirectory directory_;
  std::string path_ = directory_ / "s";
  UniqueFd listening_;
};

// Proves that pid, owner, name and start time are those of the process that connected, also with a hostile name.
TEST_F(ShmPeer, DescribesTheConnectedProcess) {
  const auto child = connecting_child();
  const UniqueFd socket = accepted();
  ASSERT_TRUE(socket);
  const auto peer = identify_peer(socket.get());
  ASSERT_TRUE(peer) << peer.error().message;
  EXPECT_EQ(peer->pid, child->pid());
  EXPECT_EQ(peer->user_id, ::geteuid());
  EXPECT_EQ(peer->group_id, ::getegid());
  EXPECT_EQ(peer->name, "it is) (me");
  EXPECT_GT(peer->start_time_ns, 0U);
  EXPECT_FALSE(is_readable(peer->pidfd.get()));

  const auto by_number = identify_process(child->pid());
  ASSERT_TRUE(by_number) << by_number.error().message;
  EXPECT_EQ(by_number->start_time_ns, peer->start_time_ns);
  EXPECT_EQ(by_number->user_id, peer->user_id);
  EXPECT_EQ(by_number->name, peer->name);
}

// Proves that the pidfd becomes readable when the process dies, before anybody reaps it.
TEST_F(ShmPeer, DeathMakesThePidfdReadable) {
  const auto child = connecting_child();
  const UniqueFd socket = accepted();
  const auto peer = identify_peer(socket.get());
  ASSERT_TRUE(peer) << peer.error().message;
  ::kill(child->pid(), SIGKILL);
  pollfd poll_fd{.fd = peer->pidfd.get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&poll_fd, 1, 30'000), 1);
}

// Proves that a peer already dead when it is looked at never gets the description of somebody else.
TEST_F(ShmPeer, DeadPeerIsNotMistaken) {
  auto child = connecting_child();
  const UniqueFd socket = accepted();
  ::kill(child->pid(), SIGKILL);
  child->wait();
  const auto peer = identify_peer(socket.get());
  if (peer) {  // since Linux 6.16 also for a reaped peer
    EXPECT_TRUE(is_readable(peer->pidfd.get()));
    EXPECT_EQ(peer->start_time_ns, 0U);
    EXPECT_EQ(peer->name, "");
  } else {
    EXPECT_EQ(peer.error().code, Code::kDisconnected) << peer.error().message;
  }
}

// Proves that a number nobody has is an error, not a crash.
TEST_F(ShmPeer, UnknownProcessIsAnError) {
  test::Child gone([] { return 0; });
  const int pid = gone.pid();
  gone.wait();
  EXPECT_FALSE(identify_process(pid));
  EXPECT_FALSE(identify_process(0));
  EXPECT_FALSE(identify_process(-1));
}

// Proves that a process which goes away at any moment while it is looked at is an error, or still itself: what /proc
// says may end in the middle.
TEST_F(ShmPeer, GoesAwayWhileLookedAt) {
  for (int round = 0; round < 200; ++round) {
    test::Child child([] { return 0; });
    const int pid = child.pid();
    std::thread reaper([&] { child.wait(); });
    while (identify_process(pid)) continue;
    reaper.join();
  }
}

}  // namespace
}  // namespace warden::shm
