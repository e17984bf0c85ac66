// SPDX-License-Identifier: Apache-2.0
// Attaching, asking, and coming back.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>

#include "tests/unit/libwarden_fixture.h"

namespace warden {
namespace {

using test::ScriptedAnswer;

int accept_from(int listening) {
  pollfd poll_fd{.fd = listening, .events = POLLIN, .revents = 0};
  ::poll(&poll_fd, 1, 20'000);
  return ::accept4(listening, nullptr, nullptr, SOCK_CLOEXEC);
}

class LibwardenSession : public test::LibwardenTest {};

// Proves that without wardend one line says what was tried and what to do.
TEST_F(LibwardenSession, NoWardendIsOneLineWithTheCure) {
  const auto session = Session::attach(options());
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error().code, Code::kNotFound);
  EXPECT_EQ(session.error().message, "connect to " + path_ +
                                         ": No such file or directory; start wardend, or mount its socket's directory "
                                         "in this container");
  start_wardend();
  wardend_.reset();  // leaves its socket file behind
  const auto refused = Session::attach(options());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kDisconnected);
  EXPECT_NE(refused.error().message.find("Connection refused; start wardend"), std::string::npos);
}

// Proves that a session knows its id, its right and the device table.
TEST_F(LibwardenSession, AttachedSessionReadsTheDirectory) {
  start_wardend();
  const auto session = attach();
  EXPECT_EQ(session->id(), 1U);
  EXPECT_TRUE(session->is_operator());
  EXPECT_EQ(*session->devices(), (std::vector<std::string>{"vfio-user:/a", "vfio-user:/b"}));
}

// Proves that an error of wardend's arrives with its code and its text.
TEST_F(LibwardenSession, RefusalArrives) {
  start_wardend([](const shm::Packet&) {
    return ScriptedAnswer{.code = static_cast<std::uint32_t>(Code::kPermission), .tail = "not you"};
  });
  const auto listing = attach()->devices_json();
  ASSERT_FALSE(listing);
  EXPECT_EQ(listing.error().code, Code::kPermission);
  EXPECT_EQ(listing.error().message, "not you");
}

// Proves that a code this program does not know is a protocol error and not an undefined value.
TEST_F(LibwardenSession, UnknownCodeIsAProtocolError) {
  start_wardend([](const shm::Packet&) { return ScriptedAnswer{.code = 999, .tail = ""}; });
  EXPECT_EQ(attach()->devices_json().error().code, Code::kProtocol);
}

// Proves that a request whose worker died is sent again under the same number when the next worker is there.
TEST_F(LibwardenSession, NewWorkerIsAskedAgain) {
  std::vector<std::uint32_t> numbers;
  start_wardend([&](const shm::Packet& packet) {
    numbers.push_back(packet.header.request);
    if (numbers.size() > 1) return ScriptedAnswer{.code = 0, .tail = "[]"};
    wardend_->start_new_worker();  // the one that read the request is no more
    return ScriptedAnswer{.silent = true};
  });
  const auto listing = attach()->devices_json();
  ASSERT_TRUE(listing) << listing.error().message;
  EXPECT_EQ(*listing, "[]");
  ASSERT_EQ(numbers.size(), 2U);
  EXPECT_EQ(numbers[0], numbers[1]);
}

// Proves that a late answer to an earlier request is not taken for the answer to this one.
TEST_F(LibwardenSession, LateAnswerIsDropped) {
  int asked = 0;
  start_wardend([&](const shm::Packet&) {
    return ++asked == 1 ? ScriptedAnswer{.silent = true} : ScriptedAnswer{.code = 0, .tail = "second"};
  });
  auto impatient = options();
  impatient.timeout = std::chrono::seconds(2);
  const auto session = Session::attach(impatient);
  ASSERT_TRUE(session) << session.error().message;
  const auto first = (*session)->devices_json();
  ASSERT_FALSE(first);
  EXPECT_EQ(first.error().code, Code::kTimeout);
  EXPECT_NE(first.error().message.find("2000 ms"), std::string::npos) << first.error().message;
  EXPECT_EQ((*session)->devices_json().value_or("none"), "second");
}

// Proves that the next call after a restart of wardend attaches again by itself, as a new session.
TEST_F(LibwardenSession, RestartOfWardendIsSurvived) {
  const auto handler = [](const shm::Packet&) { return ScriptedAnswer{.code = 0, .tail = "[]"}; };
  start_wardend(handler);
  const auto session = attach();
  start_wardend(handler);
  EXPECT_TRUE(session->devices_json());
  EXPECT_EQ(wardend_->session_count(), 1U);
}

// Proves that a wardend that hangs up on the request itself is asked once more, and that one that stays away is an
// error after the session's timeout.
TEST_F(LibwardenSession, HangUpInTheMiddleOfARequest) {
  int asked = 0;
  start_wardend([&](const shm::Packet&) {
    return ++asked == 1 ? ScriptedAnswer{.hang_up = true} : ScriptedAnswer{.code = 0, .tail = "back"};
  });
  auto impatient = options();
  impatient.timeout = std::chrono::seconds(2);
  const auto session = Session::attach(impatient);
  ASSERT_TRUE(session);
  EXPECT_EQ((*session)->devices_json().value_or("none"), "back");
  wardend_.reset();
  const auto away = (*session)->devices_json();
  ASSERT_FALSE(away);
  EXPECT_EQ(away.error().code, Code::kDisconnected);
  EXPECT_NE(away.error().message.find("start wardend"), std::string::npos) << away.error().message;
}

// Proves that a server that speaks garbage is refused, and that nothing of it is mapped.
TEST_F(LibwardenSession, GarbageInsteadOfAWelcome) {
  const auto listening = shm::listen_at(path_);
  ASSERT_TRUE(listening);
  std::thread server([&] {
    const UniqueFd socket(accept_from(listening->get()));
    if (!socket) return;
    (void)shm::receive_packet(socket.get(), std::chrono::seconds(20));
    shm::Header header = shm::reply_header(0, 0);
    header.kind = static_cast<std::uint16_t>(shm::MessageKind::kWelcome);
    const shm::Welcome welcome{1, 2, 3, 4, 5};
    const std::array<int, 3> fds{0, 0, 0};
    (void)shm::send_packet(socket.get(), header, std::as_bytes(std::span(&welcome, 1)), {}, fds);
    (void)shm::receive_packet(socket.get(), std::chrono::seconds(20));
  });
  auto opened = options();
  const auto session = Session::attach(opened);
  server.join();
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error().code, Code::kProtocol) << session.error().message;
}

}  // namespace
}  // namespace warden
