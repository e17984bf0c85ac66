// SPDX-License-Identifier: Apache-2.0
// Whose records are whose: the process at the other end of the socket, whatever it calls itself.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <csignal>
#include <filesystem>

#include "tests/support/allocation_peer.h"

namespace warden::test {
namespace {

constexpr AllocationFields kBuffer{.type = kAlloc, .size = 1 << 20, .buffer_id = 64};

// Two processes with the same buffer share nothing: neither a count nor an end.
TEST(AllocationOwner, TwoProcessesOneId) {
  const AllocationHost host;
  const auto work = [&] {
    AllocationPeer peer(host.path(), 144);
    peer.send(kBuffer);
    (void)peer.ask({.type = kQuery});
  };
  ClientProcess one(work);
  ClientProcess two(work);
  ASSERT_TRUE(one.wait_until_done() && two.wait_until_done());
  AllocationPeer stranger(host.path(), 144);
  stranger.send({.type = kFree, .buffer_id = 64});  // not its own
  AllocationDump dump = stranger.dump();
  ASSERT_EQ(dump.records.size(), 2U);
  for (const AllocationReply& record : dump.records) EXPECT_EQ(record.u64(40), 1U) << "references";
  EXPECT_EQ(dump.end->u64(40), 2U << 20);
  one.kill();
  dump = stranger.dump();
  ASSERT_EQ(dump.records.size(), 1U);
  EXPECT_EQ(dump.records[0].process_id(), two.pid());
}

// Who names another process in its messages still speaks for itself alone.
TEST(AllocationOwner, TheFieldIsNotBelieved) {
  const AllocationHost host;
  ClientProcess liar([&] {
    AllocationPeer peer(host.path(), 144);
    AllocationFields lie = kBuffer;
    lie.process_id = 1;
    peer.send(lie);
    (void)peer.ask({.type = kQuery});
  });
  ASSERT_TRUE(liar.wait_until_done());
  const AllocationDump dump = host.dump();
  ASSERT_EQ(dump.records.size(), 1U);
  EXPECT_EQ(dump.records[0].process_id(), liar.pid());
  EXPECT_EQ(dump.records[0].u64(48), 1U) << "what it calls itself is shown too";
  liar.kill();
  EXPECT_TRUE(host.dump().records.empty());
}

// Hanging up is not dying: the records stay, a second connection goes on with them, and they go with the process.
TEST(AllocationOwner, RecordsOutliveTheConnection) {
  const AllocationHost host;
  ClientProcess client([&] {
    for (const std::uint64_t id : {1U, 2U}) {
      AllocationPeer peer(host.path(), 112);
      AllocationFields buffer = kBuffer;
      buffer.buffer_id = id;
      peer.send(buffer);
    }
    AllocationPeer peer(host.path(), 144);
    peer.send({.type = kFree, .buffer_id = 1});
    (void)peer.ask({.type = kQuery});
  });
  ASSERT_TRUE(client.wait_until_done());
  const AllocationDump dump = host.dump();
  ASSERT_EQ(dump.records.size(), 1U);
  EXPECT_EQ(dump.records[0].buffer_id(), 2U);
  client.kill();
  EXPECT_TRUE(host.dump().records.empty());
}

// A zombie is dead, though its number still answers to kill(pid, 0).
TEST(AllocationOwner, Zombie) {
  const AllocationHost host;
  ClientProcess client([&] {
    AllocationPeer peer(host.path(), 144);
    peer.send(kBuffer);
    (void)peer.ask({.type = kQuery});
  });
  ASSERT_TRUE(client.wait_until_done());
  ASSERT_EQ(host.dump().records.size(), 1U);
  client.kill_and_leave_zombie();
  ASSERT_EQ(::kill(client.pid(), 0), 0);
  EXPECT_TRUE(host.dump().records.empty());
}

// A child that inherited the socket of a dead process speaks for nobody, and is not ended by it.
TEST(AllocationOwner, InheritedSocket) {
  const AllocationHost host;
  int grandchild_pipe[2];
  ASSERT_EQ(::pipe(grandchild_pipe), 0);
  ClientProcess client([&] {
    ::signal(SIGPIPE, SIG_DFL);
    AllocationPeer peer(host.path(), 144);
    peer.send(kBuffer);
    (void)peer.ask({.type = kQuery});
    const int pid = ::fork();
    if (pid != 0) return ::pause(), void();
    char go = 0;
    (void)!::read(grandchild_pipe[0], &go, 1);
    const std::string bytes = allocation_message(kBuffer, 144);
    for (int i = 0; i < 1000; ++i) (void)!::write(peer.socket(), bytes.data(), bytes.size());
    (void)!::write(grandchild_pipe[0], "x", 1);
    ::_exit(0);
  });
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  while (host.dump().records.empty()) ASSERT_LT(std::chrono::steady_clock::now(), deadline);
  client.kill();
  EXPECT_TRUE(host.dump().records.empty());
  ASSERT_EQ(::write(grandchild_pipe[1], "x", 1), 1);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(host.dump().records.empty());
  ::close(grandchild_pipe[0]);
  ::close(grandchild_pipe[1]);
}

// A process of another user lives on in the records: wardend may not signal it, and does not ask that way.
TEST(AllocationOwner, OtherUsersLive) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to be two users";
  const TemporaryDirectory directory;
  ASSERT_EQ(::chmod(directory.path().c_str(), 0777), 0);
  const std::string program = directory.path() + "/wardend";
  std::filesystem::copy_file(std::string(WARDEN_BIN_DIR) + "/wardend", program);
  ASSERT_EQ(::chmod(program.c_str(), 0755), 0);
  const std::string path = directory.path() + "/a.sock";
  Process daemon({"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program, "--socket",
                  directory.path() + "/w.sock", "--state", directory.path() + "/state", "--allocation-server", path,
                  "--ready-fd", "1"});
  ASSERT_TRUE(daemon.wait_for_line("ready")) << daemon.output();
  ClientProcess client([&] {
    AllocationPeer peer(path, 144);
    peer.send(kBuffer);
    (void)peer.ask({.type = kQuery});
  });
  ASSERT_TRUE(client.wait_until_done());
  for (int i = 0; i < 3; ++i) ASSERT_EQ(AllocationPeer(path, 144).dump().records.size(), 1U);
  client.kill();
  EXPECT_TRUE(AllocationPeer(path, 144).dump().records.empty());
}

// A client in another PID namespace calls itself 1; it is known by the number we see, both are shown, and its death is
// seen.
TEST(AllocationOwner, AnotherPidNamespace) {
  const AllocationHost host;
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ClientProcess outer([&] {
    const int flags = ::geteuid() == 0 ? CLONE_NEWPID : CLONE_NEWPID | CLONE_NEWUSER;
    if (::unshare(flags) != 0) return;
    const int inner = ::fork();
    if (inner == 0) {
      AllocationPeer peer(host.path(), 144);
      AllocationFields buffer = kBuffer;
      buffer.process_id = ::getpid();
      peer.send(buffer);
      (void)peer.ask({.type = kQuery});
      (void)!::write(ends[1], "x", 1);
      for (;;) ::pause();
    }
    (void)!::write(ends[1], &inner, sizeof(inner));
  });
  ASSERT_TRUE(outer.wait_until_done());
  ::close(ends[1]);
  std::string told(16, '\0');
  std::size_t have = 0;
  while (have < 5) {
    const ssize_t got = ::read(ends[0], told.data() + have, told.size() - have);
    if (got <= 0) break;
    have += static_cast<std::size_t>(got);
  }
  ::close(ends[0]);
  if (have < 5) GTEST_SKIP() << "no namespaces to be had here";
  const AllocationDump dump = host.dump();
  ASSERT_EQ(dump.records.size(), 1U);
  const int pid = dump.records[0].process_id();
  EXPECT_GT(pid, 1);
  EXPECT_EQ(dump.records[0].u64(48), 1U);
  ASSERT_EQ(::kill(pid, SIGKILL), 0);
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  while (!host.dump().records.empty()) ASSERT_LT(std::chrono::steady_clock::now(), deadline);
}

}  // namespace
}  // namespace warden::test
