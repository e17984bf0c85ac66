// SPDX-License-Identifier: Apache-2.0
// What is left of an attachment in a forked child: nothing that could act for its parent.
#include <warden/device.h>
#include <warden/reset.h>

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/unit/libwarden_fixture.h"

namespace warden {
namespace {

class LibwardenFork : public test::LibwardenTest {};

std::size_t open_sockets() {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code error;
    count += std::filesystem::read_symlink(entry, error).string().starts_with("socket:") ? 1U : 0U;
  }
  return count;
}

// Proves that every call of the child's copies answers kDisconnected and none hangs, that destroying them neither
// crashes nor tells wardend anything, that its copies of the sockets are closed, and that the parent goes on.
TEST_F(LibwardenFork, ChildHasNoSession) {
  start_wardend(
      [](const shm::Packet&) { return test::ScriptedAnswer{.code = 0, .tail = test::text_from(shm::DeviceOpened{})}; });
  auto session = attach(true);
  auto device = Device::open(session, "0");
  ASSERT_TRUE(device);
  test::Heard heard;
  auto listener = Listener::start(session, heard.callbacks());
  ASSERT_TRUE(listener);
  const std::size_t sockets_before = open_sockets();
  EXPECT_EQ(test::in_child([&] {
              if (open_sockets() != sockets_before - 2) return 1;  // session and notification
              const auto dead = [](const auto& result) {
                return !result && result.error().code == Code::kDisconnected;
              };
              if (!dead(session->devices()) || !dead(session->devices_json())) return 2;
              if (!dead(device->read32({}, {0}))) return 3;
              if (!dead((*listener)->acknowledge(41)) || !dead((*listener)->need_more_time(41, {}))) return 4;
              if (!dead(warm_reset(*session)) || !dead(Listener::start(session, {}))) return 5;
              listener->reset();
              session.reset();
              return 0;
            }),
            0);
  EXPECT_EQ(wardend_->session_count(), 1U);
  wardend_->announce(41, 1);
  EXPECT_TRUE(test::eventually([&] { return wardend_->all_acknowledged(41); }));
}

// Proves that a child may attach for itself, as another session.
TEST_F(LibwardenFork, ChildAttachesAnew) {
  start_wardend();
  const auto session = attach();
  const std::uint64_t parents_id = session->id();
  EXPECT_EQ(test::in_child([&] {
              const auto own = Session::attach(options());
              return own && (*own)->id() != parents_id && (*own)->devices() ? 0 : 1;
            }),
            0);
}

// Proves that the death of the parent is seen at the socket although a child lives on.
TEST_F(LibwardenFork, ParentsDeathIsSeenAtTheSocket) {
  start_wardend();
  std::array<int, 2> pids{};
  ASSERT_EQ(::pipe(pids.data()), 0);
  const int status = test::in_child([&] {
    const auto session = Session::attach(options());
    if (!session) return 1;
    const pid_t grandchild = ::fork();
    if (grandchild == 0) {
      ::pause();
      ::_exit(0);
    }
    (void)!::write(pids[1], &grandchild, sizeof(grandchild));
    ::_exit(0);  // without any destructor, as a crash
  });
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(test::eventually([&] { return wardend_->session_count() == 0; }));
  pid_t grandchild = -1;
  ASSERT_EQ(::read(pids[0], &grandchild, sizeof(grandchild)), static_cast<ssize_t>(sizeof(grandchild)));
  ::kill(grandchild, SIGKILL);
  ::close(pids[0]);
  ::close(pids[1]);
}

}  // namespace
}  // namespace warden
