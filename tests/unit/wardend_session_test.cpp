// SPDX-License-Identifier: Apache-2.0
// Sessions in the directory and with the keeper, and what they owe as listeners: numbers are never used again, a
// wrapper's death counts only when its command can do no more harm.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "tools/wardend/processes.h"
#include "tools/wardend/session_listeners.h"
#include "tools/wardend/session_table.h"

namespace warden::daemon {
namespace {

class Child {
 public:
  Child() : pid_(::fork()) {
    if (pid_ == 0) {
      for (;;) ::pause();
    }
    pidfd_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  }
  ~Child() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  void stop() const {
    ::kill(pid_, SIGSTOP);
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(pid_), &info, WSTOPPED | WNOWAIT);
  }
  [[nodiscard]] int pid() const { return pid_; }
  [[nodiscard]] UniqueFd pidfd() const { return UniqueFd(::fcntl(pidfd_.get(), F_DUPFD_CLOEXEC, 0)); }

 private:
  int pid_;
  UniqueFd pidfd_;
};

class Sessions : public testing::Test {
 protected:
  Sessions() : ends_(*make_keeper_link()), keeper_(std::move(ends_.worker)), table_(directory_, keeper_) {}

  std::shared_ptr<Session> add(int subject_pid = 0, UniqueFd subject_pidfd = {}) {
    const auto place = table_.reserve();
    EXPECT_TRUE(place) << place.error().message;
    SessionIdentity who{.id = place->id,
                        .slot = place->slot,
                        .pid = ::getpid(),
                        .user_id = 0,
                        .flags = 0,
                        .start_time_ns = 5,
                        .name = "test",
                        .subject_pid = subject_pid};
    auto session = std::make_shared<Session>(std::move(who), *shm::LedgerReader::create(place->id));
    session->socket.reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    session->pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
    session->subject_pidfd = std::move(subject_pidfd);
    EXPECT_TRUE(keep_session(keeper_, *session));
    table_.add(session);
    return session;
  }
  Participants announce(std::uint64_t id) {
    ResetRecord record;
    record.id = id;
    record.devices = {{0, "card", 1}};
    return listeners_.announce(record);
  }

  shm::DirectoryWriter directory_ = *shm::DirectoryWriter::create();
  shm::DoorbellMemory doorbell_ = *shm::DoorbellMemory::create();
  KeeperLinkEnds ends_;
  KeeperLink keeper_;
  SessionTable table_;
  SessionListeners listeners_{directory_, doorbell_, table_};
};

// A freed slot is used again, its number is not, also by the next worker.
TEST_F(Sessions, NumbersAreNeverUsedAgain) {
  const auto first = add();
  const std::uint32_t slot = first->identity.slot;
  EXPECT_EQ(directory_.session(slot).session_id.load(), first->identity.id);
  table_.remove(*first);
  EXPECT_EQ(directory_.session(slot).session_id.load(), 0U);
  const auto second = add();
  EXPECT_EQ(second->identity.slot, slot);
  EXPECT_GT(second->identity.id, first->identity.id);
  table_.remove(*second);
  KeptTable kept;
  ASSERT_TRUE(drain_keeper_link(ends_.keeper.get(), kept));
  SessionTable successor(directory_, keeper_);
  successor.restore(kept);
  EXPECT_TRUE(successor.all().empty());
  EXPECT_GT(successor.reserve()->id, second->identity.id);
}

// The next worker finds every session with its descriptors and what it listens to; rows nobody kept are freed.
TEST_F(Sessions, RestoredFromTheKeeper) {
  const auto session = add();
  table_.listen(*session, 1);
  session->opened_devices = 5;
  ASSERT_TRUE(keep_session_blob(keeper_, *session));
  directory_.session(7).session_id.store(99);  // its worker died before the keeper knew
  KeptTable kept;
  ASSERT_TRUE(drain_keeper_link(ends_.keeper.get(), kept));
  SessionTable successor(directory_, keeper_);
  successor.restore(kept);
  const auto again = successor.find(session->identity.id);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->identity.name, "test");
  EXPECT_EQ(again->opened_devices.load(), 5U);
  EXPECT_EQ(successor.listens_to(*again), 1U);
  EXPECT_TRUE(again->socket);
  EXPECT_FALSE(is_dead(again->pidfd.get()));
  EXPECT_EQ(directory_.session(7).session_id.load(), 0U);
}

// All slots taken is a refusal with a reason, and one end makes room.
TEST_F(Sessions, Full) {
  std::vector<SessionTable::Place> places;
  KeptTable kept;
  for (std::uint32_t i = 0; i < shm::kSessionCapacity; ++i) {
    places.push_back(*table_.reserve());
    ASSERT_TRUE(drain_keeper_link(ends_.keeper.get(), kept));  // as the keeper does
  }
  const auto refused = table_.reserve();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kBusy);
  table_.release(places.front());
  EXPECT_TRUE(table_.reserve());
}

// Only who listens to one of the devices owes, by a word in its row; the answer in its ledger is seen and settled.
TEST_F(Sessions, OnlyListenersOwe) {
  const auto here = add();
  const auto elsewhere = add();
  add();
  table_.listen(*here, 1);
  table_.listen(*elsewhere, 2);
  const Participants participants = announce(41);
  ASSERT_EQ(participants.size(), 1U);
  Participant& one = *participants[0];
  shm::ListenerRecord& row = directory_.listener(here->identity.slot);
  EXPECT_EQ(row.owed_reset_id.load(), 41U);
  EXPECT_EQ(directory_.header().acks_target.load(), doorbell_.count() + 1);
  EXPECT_EQ(one.look(), Outcome::kPending);
  auto ledger = shm::LedgerWriter::open(UniqueFd(::dup(here->ledger.fd())), here->identity.id);
  ledger->acknowledge(40);
  EXPECT_EQ(one.look(), Outcome::kPending);
  ledger->acknowledge(41);
  EXPECT_EQ(one.look(), Outcome::kAcknowledged);
  one.settle();
  EXPECT_EQ(row.owed_reset_id.load(), 0U);
}

// A session's end is an answer.
TEST_F(Sessions, EndCounts) {
  const auto session = add();
  table_.listen(*session, ~std::uint64_t{0});
  const Participants participants = announce(41);
  session->ended = true;
  EXPECT_EQ(participants.at(0)->look(), Outcome::kDied);
}

// A wrapper that is gone leaves a command that runs: it still owes. Stopped, it touches nothing any more.
TEST_F(Sessions, OrphanedCommandOwesUntilItIsStopped) {
  const Child command;
  const auto session = add(command.pid(), command.pidfd());
  table_.listen(*session, 1);
  const Participants participants = announce(41);
  session->peer_gone = true;
  session->orphaned = true;
  EXPECT_EQ(participants.at(0)->look(), Outcome::kPending);
  EXPECT_EQ(participants.at(0)->pid(), command.pid());
  command.stop();
  EXPECT_EQ(participants.at(0)->look(), Outcome::kDied);
}

// Killing means the command, not the wrapper.
TEST_F(Sessions, KillReachesTheCommand) {
  const Child command;
  const auto session = add(command.pid(), command.pidfd());
  table_.listen(*session, 1);
  ASSERT_TRUE(announce(41).at(0)->kill());
  siginfo_t info{};
  EXPECT_EQ(::waitid(P_PID, static_cast<id_t>(command.pid()), &info, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(info.si_status, SIGKILL);
}

// A new worker takes up those who still owe, and not those whose answer was told already.
TEST_F(Sessions, ResumedListenersAreThoseWhoOwe) {
  const auto answered = add();
  const auto owing = add();
  table_.listen(*answered, 1);
  table_.listen(*owing, 1);
  (void)announce(41);
  ResetRecord record;
  record.id = 41;
  record.devices = {{0, "card", 1}};
  record.listeners = {{answered->identity.id, 1, "x", Outcome::kAcknowledged, 0, 0}};
  const Participants participants = listeners_.resume(record);
  ASSERT_EQ(participants.size(), 1U);
  EXPECT_EQ(participants[0]->session_id(), owing->identity.id);
}

// A number in another PID namespace is found among the peer's descendants, and nowhere else.
TEST(Processes, PidsOfOtherNamespaces) {
  if (::geteuid() != 0) GTEST_SKIP() << "a PID namespace of one's own needs root";
  EXPECT_EQ(translate_pid(4711, ::getpid()), 4711);
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  struct Told {
    int inner;      // as seen out here; 0: this is the innermost's
    int innermost;  // as seen inside: not always 2, a sanitizer may have a thread of its own
  };
  const int outer = ::fork();
  if (outer == 0) {
    if (::unshare(CLONE_NEWPID) != 0) ::_exit(1);
    const int inner = ::fork();  // pid 1 of the namespace
    if (inner == 0) {
      const int innermost = ::fork();  // its pid 2
      const Told told{0, innermost};
      if (innermost != 0) (void)!::write(ends[1], &told, sizeof(told));
      for (;;) ::pause();
    }
    const Told told{inner, 0};
    (void)!::write(ends[1], &told, sizeof(told));
    for (;;) ::pause();
  }
  ::close(ends[1]);  // so that reading ends with the children, whatever became of them
  int inner = 0;
  int innermost = 0;
  Told told{};
  while ((inner == 0 || innermost == 0) && ::read(ends[0], &told, sizeof(told)) == sizeof(told)) {
    (told.inner != 0 ? inner : innermost) = told.inner != 0 ? told.inner : told.innermost;
  }
  if (inner != 0 && innermost != 0) {
    const auto found = translate_pid(innermost, inner);
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_TRUE(descends_from(*found, inner));
    EXPECT_NE(*found, inner);
    EXPECT_FALSE(translate_pid(4711, inner));
    ::kill(inner, SIGKILL);  // pid 1: its namespace goes with it
  } else {
    ADD_FAILURE() << "no PID namespace";
  }
  ::kill(outer, SIGKILL);
  ::waitpid(outer, nullptr, 0);
}

}  // namespace
}  // namespace warden::daemon
