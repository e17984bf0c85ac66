// SPDX-License-Identifier: Apache-2.0
// Listeners without a thread: one descriptor to poll, one call to make.
#include <gtest/gtest.h>
#include <poll.h>

#include "tests/unit/libwarden_fixture.h"

namespace warden {
namespace {

class LibwardenPollable : public test::LibwardenTest {
 protected:
  void start_listener() {
    auto listener = Listener::start(attach(true), heard_.callbacks(),
                                    {.devices = {}, .acknowledge_by_hand = false, .thread = false});
    ASSERT_TRUE(listener) << listener.error().message;
    listener_ = std::move(*listener);
  }
  [[nodiscard]] bool readable(int timeout_ms) const {
    pollfd poll_fd{.fd = listener_->fd(), .events = POLLIN, .revents = 0};
    return ::poll(&poll_fd, 1, timeout_ms) > 0;
  }
  // What a program's loop does.
  template <typename Condition>
  bool dispatch_until(Condition condition) {
    return test::eventually([&] {
      if (readable(100)) (void)listener_->dispatch();
      return condition();
    });
  }
  test::Heard heard_;
  std::unique_ptr<Listener> listener_;
};

// Proves that the descriptor becomes readable for an event, that the callbacks run inside dispatch() and nowhere
// else, and that it is quiet afterwards.
TEST_F(LibwardenPollable, CallbacksComeFromDispatch) {
  start_wardend();
  start_listener();
  ASSERT_TRUE(listener_->dispatch());
  EXPECT_FALSE(readable(0));
  wardend_->announce(41, 1);
  ASSERT_TRUE(readable(30'000));
  EXPECT_TRUE(heard_.announcements().empty());
  EXPECT_FALSE(wardend_->all_acknowledged(41));
  ASSERT_TRUE(listener_->dispatch());
  EXPECT_EQ(heard_.announcements().size(), 1U);
  EXPECT_TRUE(wardend_->all_acknowledged(41));
  EXPECT_FALSE(readable(0));
  wardend_->finish(41, 1, shm::ResetResult::kOk);
  ASSERT_TRUE(dispatch_until([&] { return heard_.outcomes().size() == 1; }));
}

// Proves that a reset already under way makes it readable at once.
TEST_F(LibwardenPollable, LateJoinerIsReadable) {
  start_wardend();
  wardend_->announce(41, 1);
  start_listener();
  ASSERT_TRUE(dispatch_until([&] { return heard_.announcements().size() == 1; }));
  EXPECT_FALSE(heard_.announcements()[0].owed);
}

// Proves that the descriptor stays the same over a restart of wardend, is no busy loop while it is away, and that
// listening goes on afterwards.
TEST_F(LibwardenPollable, SurvivesARestartWithTheSameDescriptor) {
  start_wardend();
  start_listener();
  const int fd = listener_->fd();
  wardend_->announce(41, 1);
  ASSERT_TRUE(dispatch_until([&] { return heard_.announcements().size() == 1; }));
  wardend_.reset();
  ASSERT_TRUE(readable(30'000));
  const auto away = listener_->dispatch();
  ASSERT_FALSE(away);
  EXPECT_FALSE(readable(0)) << "until it is time to try again";
  start_wardend();
  ASSERT_TRUE(dispatch_until([&] { return wardend_->listened_mask() != 0; }));
  ASSERT_TRUE(dispatch_until([&] { return heard_.outcomes().size() == 1; }));
  EXPECT_EQ(heard_.outcomes()[0].result, ResetResult::kCardLost);
  EXPECT_EQ(listener_->fd(), fd);
  wardend_->announce(42, 1);
  ASSERT_TRUE(dispatch_until([&] { return wardend_->all_acknowledged(42); }));
}

// Proves that what cannot work is refused with the reason: a session that is not pollable, a second such listener,
// dispatch() with a thread.
TEST_F(LibwardenPollable, Refusals) {
  start_wardend();
  const ListenerOptions no_thread{.devices = {}, .acknowledge_by_hand = false, .thread = false};
  const auto unpollable = Listener::start(attach(false), heard_.callbacks(), no_thread);
  ASSERT_FALSE(unpollable);
  EXPECT_EQ(unpollable.error().code, Code::kInvalidArgument);
  const auto session = attach(true);
  const auto first = Listener::start(session, heard_.callbacks(), no_thread);
  ASSERT_TRUE(first);
  EXPECT_EQ(Listener::start(session, heard_.callbacks(), no_thread).error().code, Code::kBusy);
  const auto threaded = Listener::start(session, heard_.callbacks());
  ASSERT_TRUE(threaded);
  EXPECT_EQ((*threaded)->fd(), -1);
  EXPECT_EQ((*threaded)->dispatch().error().code, Code::kInvalidArgument);
}

}  // namespace
}  // namespace warden
