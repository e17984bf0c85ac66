// SPDX-License-Identifier: Apache-2.0
// The worker's messages to its keeper, and the keeper's dealings with workers that die.
#include "tools/wardend/keeper.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "tools/wardend/keeper_link.h"

namespace warden::daemon {
namespace {

UniqueFd file_holding(const std::string& text) {
  UniqueFd file(::memfd_create("test", MFD_CLOEXEC));
  EXPECT_EQ(::pwrite(file.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  return file;
}

std::string text_in(const UniqueFd& file) {
  std::array<char, 64> text{};
  const ssize_t got = ::pread(file.get(), text.data(), text.size(), 0);
  return got < 0 ? "unreadable" : std::string(text.data(), static_cast<std::size_t>(got));
}

// Blobs and descriptors arrive in order; keeping again replaces; keeping without descriptors changes the blob alone;
// dropping forgets.
TEST(KeeperLink, KeepAndDrop) {
  auto ends = make_keeper_link();
  ASSERT_TRUE(ends);
  KeeperLink link(std::move(ends->worker));
  const UniqueFd one = file_holding("one");
  const UniqueFd two = file_holding("two");
  KeptTable table;
  ASSERT_TRUE(link.keep("a", "blob", std::array{one.get(), two.get()}));
  ASSERT_TRUE(link.keep("b", "", std::array{two.get()}));
  EXPECT_TRUE(drain_keeper_link(ends->keeper.get(), table));
  ASSERT_EQ(table.at("a").fds.size(), 2U);
  EXPECT_EQ(text_in(table.at("a").fds[0]), "one");
  EXPECT_EQ(text_in(table.at("a").fds[1]), "two");
  ASSERT_TRUE(link.keep("a", "another"));
  ASSERT_TRUE(link.drop("b"));
  EXPECT_TRUE(drain_keeper_link(ends->keeper.get(), table));
  EXPECT_EQ(table.at("a").blob, "another");
  EXPECT_EQ(table.at("a").fds.size(), 2U);
  EXPECT_FALSE(table.contains("b"));
}

// What a worker sent before it was killed is in the queue all the same, descriptors and all.
TEST(KeeperLink, MessagesOutliveTheSender) {
  auto ends = make_keeper_link();
  ASSERT_TRUE(ends);
  const int child = ::fork();
  if (child == 0) {
    KeeperLink link(std::move(ends->worker));
    const UniqueFd file = file_holding("left behind");
    (void)link.keep("card", "blob", std::array{file.get()});
    ::kill(::getpid(), SIGKILL);
  }
  ends->worker.reset();
  ::waitpid(child, nullptr, 0);
  KeptTable table;
  EXPECT_FALSE(drain_keeper_link(ends->keeper.get(), table));  // the end was reached
  ASSERT_TRUE(table.contains("card"));
  EXPECT_EQ(text_in(table.at("card").fds.at(0)), "left behind");
}

// Messages that make no sense are passed over, and the next one counts.
TEST(KeeperLink, Nonsense) {
  auto ends = make_keeper_link();
  ASSERT_TRUE(ends);
  const std::array<char, 40> nonsense{"not a message at all"};
  ASSERT_GT(::send(ends->worker.get(), nonsense.data(), nonsense.size(), 0), 0);
  ASSERT_GT(::send(ends->worker.get(), nonsense.data(), 3, 0), 0);
  KeeperLink link(std::move(ends->worker));
  ASSERT_TRUE(link.keep("good", "blob"));
  EXPECT_FALSE(link.keep(std::string(kMaxKeptNameBytes + 1, 'x'), ""));
  EXPECT_FALSE(link.keep("big", std::string(kMaxBlobBytes + 1, 'x')));
  KeptTable table;
  EXPECT_TRUE(drain_keeper_link(ends->keeper.get(), table));
  EXPECT_EQ(table.size(), 1U);
}

// Runs a keeper in a child of its own and answers its exit status.
int run_keeper(const Keeper::WorkerMain& worker) {
  const int child = ::fork();
  if (child == 0) {
    auto directory = shm::DirectoryWriter::create();
    auto doorbell = shm::DoorbellMemory::create();
    if (!directory || !doorbell) ::_exit(99);
    Keeper keeper(std::move(*directory), std::move(*doorbell), worker);
    ::_exit(keeper.run());
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// A worker that can't start is not tried again, one that stops ends the keeper well.
TEST(Keeper, WorkersThatEndByThemselves) {
  EXPECT_EQ(run_keeper([](const Inheritance&) { return kWorkerCannotStart; }), 1);
  EXPECT_EQ(run_keeper([](const Inheritance&) { return kWorkerStopped; }), 0);
}

// The second worker finds what the first had kept when it was killed, and the directory with what it had written.
TEST(Keeper, NextWorkerInherits) {
  const int status = run_keeper([](Inheritance inheritance) {
    if (inheritance.first) {
      KeeperLink link(std::move(inheritance.keeper));
      const UniqueFd file = file_holding("kept");
      (void)link.keep("thing", "blob", std::array{file.get()});
      inheritance.directory.header().active_reset_id.store(41);
      ::kill(::getpid(), SIGKILL);
    }
    const auto kept = inheritance.kept.find("thing");
    const bool right = kept != inheritance.kept.end() && kept->second.blob == "blob" &&
                       text_in(kept->second.fds.at(0)) == "kept" &&
                       inheritance.directory.header().active_reset_id.load() == 41;
    return right ? kWorkerStopped : kWorkerCannotStart;
  });
  EXPECT_EQ(status, 0);
}

// Workers that die at once, all of them: the keeper gives up instead of forking for ever.
TEST(Keeper, CrashLoop) {
  EXPECT_EQ(run_keeper([](const Inheritance&) -> int {
              ::kill(::getpid(), SIGKILL);
              return 0;
            }),
            1);
}

}  // namespace
}  // namespace warden::daemon
