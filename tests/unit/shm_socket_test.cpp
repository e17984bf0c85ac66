// SPDX-License-Identifier: Apache-2.0
// Packets as they should be, and everything else a peer may send.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "shm/socket.h"
#include "tests/unit/shm_test_support.h"

namespace warden::shm {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kLong{30'000};

class ShmPackets : public ::testing::Test {
 protected:
  void SetUp() override {
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()), 0);
    ours_ = UniqueFd(ends[0]);
    theirs_ = UniqueFd(ends[1]);
  }
  void send_raw(const void* bytes, std::size_t len_bytes) {
    ASSERT_EQ(::send(theirs_.get(), bytes, len_bytes, MSG_NOSIGNAL), static_cast<ssize_t>(len_bytes));
  }
  Code refusal() {
    const auto packet = receive_packet(ours_.get(), kLong);
    EXPECT_FALSE(packet);
    return packet ? Code::kFailed : packet.error().code;
  }
  static std::size_t open_descriptors() {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
  }
  UniqueFd ours_, theirs_;
};

// Proves that header, body, tail and descriptors arrive, and that the descriptors close on exec.
TEST_F(ShmPackets, WholePacketArrives) {
  const Listen listen{.device_mask = 42};
  const std::string tail = "tail";
  const std::array<int, 2> fds{0, 1};
  ASSERT_TRUE(send_packet(theirs_.get(), request_header(MessageKind::kListen, 9), std::as_bytes(std::span(&listen, 1)),
                          std::as_bytes(std::span(tail)), fds));
  const auto packet = receive_packet(ours_.get(), kLong);
  ASSERT_TRUE(packet) << packet.error().message;
  EXPECT_EQ(packet->header.kind, static_cast<std::uint16_t>(MessageKind::kListen));
  EXPECT_EQ(packet->header.request, 9U);
  EXPECT_EQ(body_of<Listen>(*packet)->device_mask, 42U);
  EXPECT_EQ(packet->body.size(), sizeof(Listen) + tail.size());
  ASSERT_EQ(packet->fds.size(), 2U);
  EXPECT_NE(::fcntl(packet->fds[0].get(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_FALSE(body_of<OpenDevice>(*packet)) << "shorter than that body";
}

// Proves that the largest packet passes and that one byte more is refused by the sender.
TEST_F(ShmPackets, LargestPacket) {
  const std::vector<std::byte> most(kMaxMessageBytes - sizeof(Header));
  ASSERT_TRUE(send_packet(theirs_.get(), request_header(MessageKind::kWrite, 1), most));
  EXPECT_EQ(receive_packet(ours_.get(), kLong)->body.size(), most.size());
  const std::vector<std::byte> more(most.size() + 1);
  EXPECT_EQ(send_packet(theirs_.get(), request_header(MessageKind::kWrite, 1), more).error().code,
            Code::kInvalidArgument);
}

// Proves that garbage, a short header, another version, an oversized and an empty message are kProtocol.
TEST_F(ShmPackets, WrongMessagesAreRefused) {
  std::vector<char> garbage(300, 'g');
  send_raw(garbage.data(), garbage.size());
  EXPECT_EQ(refusal(), Code::kProtocol);
  Header header = request_header(MessageKind::kHello, 1);
  send_raw(&header, sizeof(header) - 1);
  EXPECT_EQ(refusal(), Code::kProtocol);
  header.version += 1;
  send_raw(&header, sizeof(header));
  EXPECT_EQ(refusal(), Code::kProtocol);
  header = request_header(MessageKind::kHello, 1);
  std::vector<char> oversized(kMaxMessageBytes + 1);
  std::memcpy(oversized.data(), &header, sizeof(header));
  send_raw(oversized.data(), oversized.size());
  EXPECT_EQ(refusal(), Code::kProtocol);
  send_raw("", 0);
  EXPECT_EQ(refusal(), Code::kProtocol);
}

// Proves that too many descriptors are refused and that none of them stays open here.
TEST_F(ShmPackets, TooManyDescriptorsAreClosed) {
  const std::size_t before = open_descriptors();
  std::array<int, kMaxMessageFds + 3> fds{};
  Header header = request_header(MessageKind::kHello, 1);
  iovec part{&header, sizeof(header)};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(fds))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(fds));
  std::memcpy(CMSG_DATA(rights), fds.data(), sizeof(fds));
  ASSERT_GT(::sendmsg(theirs_.get(), &message, 0), 0);
  EXPECT_EQ(refusal(), Code::kProtocol);
  EXPECT_EQ(open_descriptors(), before);
}

// Proves that a peer that does not read costs us no time, and one that is gone no signal.
TEST_F(ShmPackets, SendingNeverBlocks) {
  const std::vector<std::byte> body(1000);
  Status sent;
  for (int i = 0; i < 100'000 && sent; ++i)
    sent = send_packet(ours_.get(), request_header(MessageKind::kRead, 1), body);
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, Code::kBusy);
  theirs_.reset();
  EXPECT_EQ(send_packet(ours_.get(), request_header(MessageKind::kRead, 1)).error().code, Code::kDisconnected);
}

// Proves that nothing there is kTimeout, and a hang-up kDisconnected at once, without waiting for the time given.
TEST_F(ShmPackets, NothingAndNobody) {
  EXPECT_EQ(receive_packet(ours_.get(), milliseconds(0)).error().code, Code::kTimeout);
  EXPECT_EQ(receive_packet(ours_.get(), milliseconds(5)).error().code, Code::kTimeout);
  theirs_.reset();
  EXPECT_EQ(receive_packet(ours_.get(), std::chrono::minutes(10)).error().code, Code::kDisconnected);
}

// Proves that a socket nobody answers is replaced and open to all, and one in use is left alone.
TEST(ShmSocketPath, StaleIsReplacedAndUsedIsKept) {
  const test::TemporaryDirectory directory;
  const std::string path = directory / "s";
  {
    ASSERT_TRUE(listen_at(path));
  }
  const auto listening = listen_at(path);
  ASSERT_TRUE(listening) << listening.error().message;
  struct stat status{};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0666U);
  const auto second = listen_at(path);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kBusy);
  EXPECT_TRUE(connect_to(path));
}

// Proves that a file that is no socket is never removed.
TEST(ShmSocketPath, OrdinaryFileIsKept) {
  const test::TemporaryDirectory directory;
  const std::string path = directory / "precious";
  std::ofstream(path) << "data";
  const auto listening = listen_at(path);
  ASSERT_FALSE(listening);
  EXPECT_EQ(listening.error().code, Code::kBusy);
  EXPECT_TRUE(std::filesystem::is_regular_file(path));
}

// Proves that wrong paths are errors that name the path.
TEST(ShmSocketPath, WrongPaths) {
  const test::TemporaryDirectory directory;
  EXPECT_EQ(connect_to(directory / "none").error().code, Code::kNotFound);
  EXPECT_NE(connect_to(directory / "none").error().message.find("none: No such file"), std::string::npos);
  EXPECT_EQ(listen_at(directory / "no/folder").error().code, Code::kNotFound);
  EXPECT_EQ(listen_at(std::string(200, 'x')).error().code, Code::kInvalidArgument);
  EXPECT_EQ(connect_to("").error().code, Code::kInvalidArgument);
}

}  // namespace
}  // namespace warden::shm
