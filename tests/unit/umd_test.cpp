// SPDX-License-Identifier: Apache-2.0
// The bridge to tt-umd's listeners, against real sockets and real processes that behave as tt-umd's do.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <vector>

#include "tools/wardend/umd_inbox.h"
#include "tools/wardend/umd_listeners.h"

namespace warden::daemon {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

UniqueFd listen_in(const std::string& path, int backlog = 8) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0) << path;
  EXPECT_EQ(::listen(socket.get(), backlog), 0);
  return socket;
}

bool readable(int fd, milliseconds within) {
  pollfd entry{fd, POLLIN, 0};
  return ::poll(&entry, 1, static_cast<int>(within.count())) == 1;
}

// The byte that a tt-umd listener at this socket would get, or -1.
int take_byte(const UniqueFd& listener) {
  if (!readable(listener.get(), milliseconds(0))) return -1;
  const UniqueFd connection(::accept(listener.get(), nullptr, nullptr));
  std::uint8_t byte = 0;
  return ::read(connection.get(), &byte, 1) == 1 ? byte : -1;
}

bool anybody(int) { return true; }

class UmdBridge : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/wumdXXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  [[nodiscard]] std::string path(const std::string& name) const { return directory_ + "/" + name; }
  std::string directory_;
};

// Proves that every live listener gets the very byte tt-umd sends, and that the answer names its process.
TEST_F(UmdBridge, EveryListenerTakesTheByte) {
  const UniqueFd first = listen_in(path("client_1.sock"));
  const UniqueFd second = listen_in(path("client_2.sock"));
  auto told = notify_umd_listeners(directory_, UmdMessage::kPreReset, "client_9.sock", seconds(5));
  ASSERT_TRUE(told) << told.error().message;
  ASSERT_EQ(told->size(), 2U);
  EXPECT_EQ((*told)[0].pid, ::getpid());
  EXPECT_TRUE((*told)[0].pidfd);
  EXPECT_EQ(take_byte(first), 0x01);
  EXPECT_EQ(take_byte(second), 0x01);

  ASSERT_TRUE(notify_umd_listeners(directory_, UmdMessage::kPostReset, "client_9.sock", seconds(5)));
  EXPECT_EQ(take_byte(first), 0x02);
}

// Proves that a socket file without a process, a plain file, a link out of the directory and our own socket are all
// passed over, and none of them is an error.
TEST_F(UmdBridge, StaleAndForeignFilesDoNoHarm) {
  {
    const UniqueFd gone = listen_in(path("client_3.sock"));
  }
  const UniqueFd own = listen_in(path("client_4.sock"));
  const UniqueFd outside = listen_in(directory_ + ".out");
  ASSERT_EQ(::symlink((directory_ + ".out").c_str(), path("client_5.sock").c_str()), 0);
  const UniqueFd plain(::open(path("client_6.sock").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  auto told = notify_umd_listeners(directory_, UmdMessage::kPreReset, "client_4.sock", seconds(5));
  ASSERT_TRUE(told) << told.error().message;
  EXPECT_TRUE(told->empty());
  EXPECT_EQ(take_byte(own), -1);
  EXPECT_EQ(take_byte(outside), -1);
  ::unlink((directory_ + ".out").c_str());
}

// Proves that a listener which never accepts, its queue full, holds up nobody else and not the caller past its bound.
TEST_F(UmdBridge, AFullQueueBlocksNobody) {
  const UniqueFd full = listen_in(path("client_7.sock"), 0);
  std::vector<UniqueFd> fillers;
  for (;;) {
    UniqueFd filler(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path("client_7.sock").c_str(), sizeof(address.sun_path) - 1);
    if (::connect(filler.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) break;
    fillers.push_back(std::move(filler));
  }
  ASSERT_EQ(errno, EAGAIN);
  const UniqueFd prompt = listen_in(path("client_8.sock"));
  auto told = notify_umd_listeners(directory_, UmdMessage::kPreReset, "", milliseconds(50));
  ASSERT_TRUE(told);
  EXPECT_EQ(told->size(), 1U);
  EXPECT_EQ(take_byte(prompt), 0x01);
}

// Proves that the pidfd in the answer tells of the listener's death: the only answer such a listener can give.
TEST_F(UmdBridge, AListenersDeathIsSeen) {
  int up[2];
  ASSERT_EQ(::pipe(up), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const UniqueFd socket = listen_in(path("client_10.sock"));
    (void)!::write(up[1], "x", 1);
    for (;;) ::pause();
  }
  char byte = 0;
  ASSERT_EQ(::read(up[0], &byte, 1), 1);
  auto told = notify_umd_listeners(directory_, UmdMessage::kPreReset, "", seconds(5));
  ASSERT_TRUE(told);
  ASSERT_EQ(told->size(), 1U);
  EXPECT_EQ(told->front().pid, child);
  EXPECT_FALSE(readable(told->front().pidfd.get(), milliseconds(0)));
  ::kill(child, SIGKILL);
  EXPECT_TRUE(readable(told->front().pidfd.get(), seconds(20)));
  ::waitpid(child, nullptr, 0);
  ::close(up[0]);
  ::close(up[1]);
}

// Proves that a directory which is not there is named in the error.
TEST_F(UmdBridge, NoDirectoryIsAnError) {
  auto told = notify_umd_listeners(directory_ + "/none", UmdMessage::kPreReset, "", seconds(1));
  ASSERT_FALSE(told);
  EXPECT_EQ(told.error().code, Code::kNotFound);
  EXPECT_NE(told.error().message.find(directory_ + "/none"), std::string::npos);
}

// Proves that wardend's inbox is an ordinary listener to a tt-umd notifier: found by its name, given both messages.
TEST_F(UmdBridge, TheInboxHearsANotifier) {
  auto inbox = UmdInbox::open(directory_, ::getpid());
  ASSERT_TRUE(inbox) << inbox.error().message;
  EXPECT_EQ(inbox->name(), "client_" + std::to_string(::getpid()) + ".sock");
  for (const UmdMessage message : {UmdMessage::kPreReset, UmdMessage::kPostReset}) {
    ASSERT_EQ(notify_umd_listeners(directory_, message, "", seconds(5))->size(), 1U);
    ASSERT_TRUE(readable(inbox->fd(), seconds(20)));
    EXPECT_EQ(inbox->receive(anybody), std::vector{message});
  }
}

// Proves that silence, hang-ups and bytes of no meaning are dropped without a message and without blocking.
TEST_F(UmdBridge, TheInboxDropsNonsense) {
  auto inbox = UmdInbox::open(directory_, ::getpid());
  ASSERT_TRUE(inbox);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path(inbox->name()).c_str(), sizeof(address.sun_path) - 1);
  std::vector<UniqueFd> senders;
  for (int i = 0; i < 200; ++i) {
    UniqueFd sender(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::connect(sender.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    if (i % 3 == 0) {
      ASSERT_EQ(::send(sender.get(), "\x7f\x01", 2, 0), 2);
    }
    if (i % 3 == 1) sender.reset();
    senders.push_back(std::move(sender));
    EXPECT_TRUE(inbox->receive(anybody).empty());
  }
  ASSERT_EQ(notify_umd_listeners(directory_, UmdMessage::kPreReset, "", seconds(5))->size(), 1U);
  EXPECT_EQ(inbox->receive(anybody), std::vector{UmdMessage::kPreReset});
}

// Proves that who may not speak is not heard.
TEST_F(UmdBridge, TheInboxIsParticular) {
  auto inbox = UmdInbox::open(directory_, 1);
  ASSERT_TRUE(inbox);
  ASSERT_EQ(notify_umd_listeners(directory_, UmdMessage::kPreReset, "", seconds(5))->size(), 1U);
  EXPECT_TRUE(inbox->receive([](int) { return false; }).empty());
}

// Proves that a successor goes on with a killed predecessor's socket and hears what was said meanwhile.
TEST_F(UmdBridge, TheInboxIsAdopted) {
  auto first = UmdInbox::open(directory_, 1);
  ASSERT_TRUE(first);
  ASSERT_EQ(notify_umd_listeners(directory_, UmdMessage::kPostReset, "", seconds(5))->size(), 1U);
  auto second = UmdInbox::adopt(directory_, 1, UniqueFd(::dup(first->listener())));
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_TRUE(readable(second->fd(), seconds(20)));
  EXPECT_EQ(second->receive(anybody), std::vector{UmdMessage::kPostReset});
}

// Proves that the socket file goes with the inbox, so that wardend leaves nothing stale behind.
TEST_F(UmdBridge, TheInboxCleansUp) {
  std::string socket_path;
  {
    auto inbox = UmdInbox::open(directory_ + "/made", 1);
    ASSERT_TRUE(inbox);
    socket_path = directory_ + "/made/" + inbox->name();
    EXPECT_TRUE(std::filesystem::exists(socket_path));
  }
  EXPECT_FALSE(std::filesystem::exists(socket_path));
}

}  // namespace
}  // namespace warden::daemon
