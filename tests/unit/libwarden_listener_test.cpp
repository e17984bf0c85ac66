// SPDX-License-Identifier: Apache-2.0
// Listeners with a thread: what they hear, when they answer, and what a restart or a lap does to them.
#include <gtest/gtest.h>

#include <csignal>

#include "tests/unit/libwarden_fixture.h"

namespace warden {
namespace {

using test::eventually;
using test::Heard;
using test::ScriptedAnswer;

class LibwardenListener : public test::LibwardenTest {
 protected:
  std::unique_ptr<Listener> listen(const std::shared_ptr<Session>& session, Heard& heard,
                                   const ListenerOptions& options = {}) {
    auto listener = Listener::start(session, heard.callbacks(), options);
    if (!listener) throw std::runtime_error(listener.error().message);
    return std::move(*listener);
  }
  Heard heard_;
};

// Proves the whole round: announced with devices, reason and time left, acknowledged when the callback has returned,
// finished with the result.
TEST_F(LibwardenListener, HearsAnswersAndHearsTheEnd) {
  start_wardend();
  const auto listener = listen(attach(), heard_);
  EXPECT_EQ(wardend_->listened_mask(), ~std::uint64_t{0});
  wardend_->announce(41, 2, "new firmware");
  ASSERT_TRUE(eventually([&] { return wardend_->all_acknowledged(41); }));
  const auto announcements = heard_.announcements();
  ASSERT_EQ(announcements.size(), 1U);
  EXPECT_EQ(announcements[0].reset_id, 41U);
  EXPECT_EQ(announcements[0].devices, std::vector<std::string>{"vfio-user:/b"});
  EXPECT_EQ(announcements[0].reason, "new firmware");
  EXPECT_GT(announcements[0].time_left, std::chrono::seconds(1));
  EXPECT_TRUE(announcements[0].owed);
  EXPECT_TRUE(heard_.outcomes().empty());
  wardend_->finish(41, 2, shm::ResetResult::kFailed, "ARC is silent");
  ASSERT_TRUE(eventually([&] { return heard_.outcomes().size() == 1; }));
  EXPECT_EQ(heard_.outcomes()[0].result, ResetResult::kFailed);
  EXPECT_EQ(heard_.outcomes()[0].reason, "ARC is silent");
  EXPECT_EQ(heard_.outcomes()[0].devices, std::vector<std::string>{"vfio-user:/b"});
}

// Proves that nothing is acknowledged while the callback still runs.
TEST_F(LibwardenListener, AnswersOnlyAfterTheCallback) {
  start_wardend();
  std::atomic<bool> inside{false};
  std::atomic<bool> go_on{false};
  const auto session = attach();
  const auto listener = Listener::start(session, {.announce =
                                                      [&](const ResetAnnouncement&) {
                                                        inside.store(true);
                                                        EXPECT_TRUE(eventually([&] { return go_on.load(); }));
                                                      },
                                                  .finish = {}});
  ASSERT_TRUE(listener);
  wardend_->announce(41, 1);
  ASSERT_TRUE(eventually([&] { return inside.load(); }));
  EXPECT_FALSE(wardend_->all_acknowledged(41));
  go_on.store(true);
  EXPECT_TRUE(eventually([&] { return wardend_->all_acknowledged(41); }));
}

// Proves that a listener to one device hears nothing of another's reset, and that an unknown device is an error that
// names those there are.
TEST_F(LibwardenListener, HearsOnlyOfItsDevices) {
  start_wardend();
  const auto session = attach();
  const auto listener = listen(session, heard_, {.devices = {"vfio-user:/b"}});
  EXPECT_EQ(wardend_->listened_mask(), 2U);
  wardend_->announce(41, 1);
  wardend_->finish(41, 1, shm::ResetResult::kOk);
  wardend_->announce(42, 3);
  ASSERT_TRUE(eventually([&] { return heard_.announcements().size() == 1; }));
  EXPECT_EQ(heard_.announcements()[0].reset_id, 42U);
  const auto unknown = Listener::start(session, heard_.callbacks(), {.devices = {"nvme0"}});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, Code::kNotFound);
  EXPECT_NE(unknown.error().message.find("nvme0; wardend has vfio-user:/a, vfio-user:/b"), std::string::npos);
}

// Proves that two listeners of one session count as one: answered when the slower one has, and without the one that
// is taken away.
TEST_F(LibwardenListener, SessionAnswersWhenAllItsListenersHave) {
  start_wardend();
  const auto session = attach();
  Heard slow;
  auto quick_listener = listen(session, heard_);
  auto slow_listener = listen(session, slow, {.acknowledge_by_hand = true});
  wardend_->announce(41, 1);
  ASSERT_TRUE(eventually([&] { return heard_.announcements().size() == 1 && slow.announcements().size() == 1; }));
  EXPECT_FALSE(wardend_->all_acknowledged(41));
  EXPECT_TRUE(slow_listener->acknowledge(40)) << "another reset's answer is harmless";
  EXPECT_FALSE(wardend_->all_acknowledged(41));
  EXPECT_TRUE(slow_listener->acknowledge(41));
  EXPECT_TRUE(eventually([&] { return wardend_->all_acknowledged(41); }));
  wardend_->finish(41, 1, shm::ResetResult::kOk);
  wardend_->announce(42, 1);
  ASSERT_TRUE(eventually([&] { return heard_.announcements().size() == 2 && slow.announcements().size() == 2; }));
  slow_listener.reset();
  EXPECT_TRUE(eventually([&] { return wardend_->all_acknowledged(42); }));
  quick_listener.reset();
  EXPECT_EQ(wardend_->listened_mask(), 0U);
}

// Proves that who joins while a reset is under way is told so, owes nothing, and hears the end.
TEST_F(LibwardenListener, LateJoinerIsToldAndOwesNothing) {
  start_wardend();
  wardend_->announce(41, 3, "early");
  const auto listener = listen(attach(), heard_);
  ASSERT_TRUE(eventually([&] { return heard_.announcements().size() == 1; }));
  EXPECT_FALSE(heard_.announcements()[0].owed);
  EXPECT_EQ(heard_.announcements()[0].reason, "early");
  EXPECT_EQ(heard_.announcements()[0].devices.size(), 2U);
  wardend_->finish(41, 3, shm::ResetResult::kOk);
  ASSERT_TRUE(eventually([&] { return heard_.outcomes().size() == 1; }));
  EXPECT_EQ(heard_.outcomes()[0].result, ResetResult::kOk);
}

// Proves that a listener whom the ring has overtaken while it was busy misses neither the end of one reset nor the
// announcement that it owes an answer to.
TEST_F(LibwardenListener, LappedListenerMissesNothing) {
  start_wardend();
  std::atomic<bool> go_on{false};
  auto callbacks = heard_.callbacks();
  callbacks.announce = [&, note = callbacks.announce](const ResetAnnouncement& announcement) {
    note(announcement);
    EXPECT_TRUE(eventually([&] { return go_on.load(); }));
  };
  const auto session = attach();
  const auto listener = Listener::start(session, callbacks);
  ASSERT_TRUE(listener);
  wardend_->announce(41, 1);
  ASSERT_TRUE(eventually([&] { return heard_.announcements().size() == 1; }));
  for (std::uint32_t i = 0; i < 2 * shm::kEventCapacity; ++i)
    wardend_->publish({.kind = shm::EventKind::kAcknowledged});
  wardend_->finish(41, 1, shm::ResetResult::kAborted, "somebody was silent");
  wardend_->announce(42, 1);
  for (std::uint32_t i = 0; i < 100; ++i) wardend_->publish({.kind = shm::EventKind::kAcknowledged});
  go_on.store(true);
  ASSERT_TRUE(eventually([&] { return wardend_->all_acknowledged(42); }));
  ASSERT_EQ(heard_.outcomes().size(), 1U);
  EXPECT_EQ(heard_.outcomes()[0].result, ResetResult::kAborted);
  EXPECT_EQ(heard_.announcements().size(), 2U);
}

// The same where also the announcement itself has been overwritten: proves that the owed word is enough to answer.
TEST_F(LibwardenListener, OwedAnnouncementThatIsGoneFromTheRing) {
  start_wardend([](const shm::Packet&) {
    return ScriptedAnswer{.code = 0, .tail = R"({"id":41,"result":"ok","reason":"from the report"})"};
  });
  std::atomic<bool> go_on{false};
  auto callbacks = heard_.callbacks();
  callbacks.announce = [&, note = callbacks.announce](const ResetAnnouncement& announcement) {
    note(announcement);
    EXPECT_TRUE(eventually([&] { return go_on.load(); }));
  };
  const auto session = attach();
  const auto listener = Listener::start(session, callbacks);
  ASSERT_TRUE(listener);
  wardend_->announce(41, 1);
  ASSERT_TRUE(eventually([&] { return heard_.announcements().size() == 1; }));
  wardend_->finish(41, 1, shm::ResetResult::kOk);
  wardend_->announce(42, 1);
  for (std::uint32_t i = 0; i < 2 * shm::kEventCapacity; ++i)
    wardend_->publish({.kind = shm::EventKind::kAcknowledged});
  go_on.store(true);
  ASSERT_TRUE(eventually([&] { return wardend_->all_acknowledged(42); }));
  ASSERT_EQ(heard_.outcomes().size(), 1U);
  EXPECT_EQ(heard_.outcomes()[0].reason, "from the report");
  EXPECT_TRUE(heard_.announcements().back().owed);
}

// Proves that a restart of wardend in the middle of a reset ends that reset for the program, and that the listener
// hears the next one without any call of the program's.
TEST_F(LibwardenListener, RestartOfWardendEndsTheResetAndListeningGoesOn) {
  start_wardend();
  const auto listener = listen(attach(), heard_);
  wardend_->announce(41, 1);
  ASSERT_TRUE(eventually([&] { return wardend_->all_acknowledged(41); }));
  start_wardend();
  ASSERT_TRUE(eventually([&] { return wardend_->listened_mask() != 0; }));
  ASSERT_TRUE(eventually([&] { return heard_.outcomes().size() == 1; }));
  EXPECT_EQ(heard_.outcomes()[0].result, ResetResult::kCardLost);
  EXPECT_EQ(heard_.outcomes()[0].reason, "wardend was restarted; card lost with daemon");
  wardend_->announce(41, 1);  // numbers may start again
  ASSERT_TRUE(eventually([&] { return wardend_->all_acknowledged(41); }));
  EXPECT_EQ(heard_.announcements().size(), 2U);
}

// Proves that more time is asked for by request, also from inside the callback.
TEST_F(LibwardenListener, AsksForMoreTime) {
  start_wardend([](const shm::Packet& packet) {
    const auto request = *shm::body_of<shm::ExtendRequest>(packet);
    EXPECT_EQ(request.reset_id, 41U);
    return ScriptedAnswer{.code = 0, .tail = test::text_from(shm::ExtendGranted{request.wanted_ms / 2, 0})};
  });
  std::atomic<std::int64_t> granted{-1};
  Listener* self = nullptr;
  std::atomic<bool> ready{false};
  const auto listener = Listener::start(attach(), {.announce =
                                                       [&](const ResetAnnouncement& announcement) {
                                                         EXPECT_TRUE(eventually([&] { return ready.load(); }));
                                                         const auto more = self->need_more_time(
                                                             announcement.reset_id, std::chrono::seconds(10));
                                                         granted.store(more ? more->count() : -2);
                                                       },
                                                   .finish = {}});
  ASSERT_TRUE(listener);
  self = listener->get();
  ready.store(true);
  wardend_->announce(41, 1);
  EXPECT_TRUE(eventually([&] { return granted.load() != -1; }));
  EXPECT_EQ(granted.load(), 5000);
}

// Proves that the listener's thread takes no signal from the program, and that the caller's own mask is left alone.
TEST_F(LibwardenListener, ThreadBlocksAllSignals) {
  start_wardend();
  sigset_t seen;
  ::sigemptyset(&seen);
  std::atomic<bool> heard{false};
  const auto listener = Listener::start(attach(), {.announce =
                                                       [&](const ResetAnnouncement&) {
                                                         ::pthread_sigmask(SIG_SETMASK, nullptr, &seen);
                                                         heard.store(true);
                                                       },
                                                   .finish = {}});
  ASSERT_TRUE(listener);
  wardend_->announce(41, 1);
  ASSERT_TRUE(eventually([&] { return heard.load(); }));
  sigset_t ours;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &ours);
  for (const int signal : {SIGINT, SIGTERM, SIGCHLD, SIGUSR1}) {
    EXPECT_EQ(::sigismember(&seen, signal), 1);
    EXPECT_EQ(::sigismember(&ours, signal), 0);
  }
}

// Proves that a listener can be destroyed at any time, also while wardend is away.
TEST_F(LibwardenListener, EndsAlsoWithoutWardend) {
  start_wardend();
  auto listener = listen(attach(), heard_);
  wardend_.reset();
  listener.reset();
}

}  // namespace
}  // namespace warden
