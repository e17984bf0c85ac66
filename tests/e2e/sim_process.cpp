// SPDX-License-Identifier: Apache-2.0
// Starting and ending warden-sim, and raw vfio-user messages.
#include "tests/e2e/sim_process.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace warden::sim::testing {

namespace wire = vfio::wire;

namespace {

test::Process start(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), WARDEN_BIN_DIR "/warden-sim");
  return test::Process(std::move(arguments));
}

std::vector<std::string> in_directory(const std::string& directory, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"--dir", directory});
  return arguments;
}

}  // namespace

Finished run_sim(std::vector<std::string> arguments) {
  test::Process process = start(std::move(arguments));
  const int status = process.wait().value_or(-1);
  return {.status = status, .output = process.out(), .errors = process.err()};
}

SimProcess::SimProcess(const std::string& directory, std::vector<std::string> arguments)
    : directory_(directory.empty() ? own_directory_.path() : directory),
      process_(start(in_directory(directory_, std::move(arguments)))) {
  if (!process_.wait_for_line("ready")) throw std::runtime_error("warden-sim did not start: " + process_.output());
}

SimProcess::~SimProcess() {
  if (process_.has_ended()) return;
  EXPECT_EQ(end(SIGTERM), 0);
}

std::string SimProcess::ctl(std::vector<std::string> arguments) const {
  arguments.insert(arguments.begin(), {"ctl", "--dir", directory()});
  const Finished finished = run_sim(std::move(arguments));
  EXPECT_EQ(finished.status, 0) << finished.errors;
  return finished.output;
}

int SimProcess::end(int signal_number) {
  process_.signal(signal_number);
  return process_.wait().value_or(-1);
}

void SimProcess::await_log(const std::string& text) {
  if (!process_.wait_for_line(text)) throw std::runtime_error("never logged: " + text + "; but: " + process_.output());
}

WireClient::WireClient(const std::string& path) : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  constexpr timeval kLongest{.tv_sec = test::kDeadline.count(), .tv_usec = 0};
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &kLongest, sizeof(kLongest));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    throw std::runtime_error("connect to " + path + ": " + std::strerror(errno));
  }
}

void WireClient::send_bytes(std::span<const std::byte> bytes, const std::vector<int>& descriptors) {
  iovec part{.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  const std::size_t payload = descriptors.size() * sizeof(int);
  std::vector<std::byte> control(CMSG_SPACE(payload));
  if (!descriptors.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(payload);
    std::memcpy(CMSG_DATA(rights), descriptors.data(), payload);
  }
  // A server that has already dropped us is for the test to see, not for us to die of.
  (void)::sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
}

std::optional<WireReply> WireClient::receive() {
  const auto exactly = [this](void* into, std::size_t size) {
    std::size_t done = 0;
    while (done < size) {
      const ssize_t now = ::recv(socket_.get(), static_cast<std::byte*>(into) + done, size - done, 0);
      // With SO_RCVTIMEO also a stop and a continuation interrupt it, without any handler.
      if (now < 0 && errno == EINTR) continue;
      if (now < 0 && errno == EAGAIN) throw std::runtime_error("no reply from warden-sim");
      if (now <= 0) return false;
      done += static_cast<std::size_t>(now);
    }
    return true;
  };
  WireReply reply;
  if (!exactly(&reply.header, sizeof(reply.header))) return std::nullopt;
  reply.payload.resize(reply.header.message_bytes - sizeof(reply.header));
  if (!exactly(reply.payload.data(), reply.payload.size())) return std::nullopt;
  return reply;
}

bool WireClient::closed() { return !receive(); }

void WireClient::send(wire::Command command, std::span<const std::byte> payload, std::uint32_t flags,
                      const std::vector<int>& descriptors) {
  const wire::Header header{.message_id = next_id_++,
                            .command = static_cast<std::uint16_t>(command),
                            .message_bytes = static_cast<std::uint32_t>(sizeof(wire::Header) + payload.size()),
                            .flags = flags,
                            .error_number = 0};
  std::vector<std::byte> message = bytes_of(header);
  message.insert(message.end(), payload.begin(), payload.end());
  send_bytes(message, descriptors);
}

std::optional<WireReply> WireClient::ask(wire::Command command, std::span<const std::byte> payload,
                                         const std::vector<int>& descriptors) {
  const std::uint16_t id = next_id_;
  send(command, payload, 0, descriptors);
  auto reply = receive();
  if (reply) {
    EXPECT_EQ(reply->header.message_id, id);
    EXPECT_EQ(reply->header.flags & wire::kFlagTypeMask, wire::kFlagReply);
  }
  return reply;
}

bool WireClient::hello(const std::string& json) {
  std::vector<std::byte> payload = bytes_of(wire::Version{.major = 0, .minor = 0});
  const auto text = std::as_bytes(std::span(json.c_str(), json.size() + 1));
  payload.insert(payload.end(), text.begin(), text.end());
  const auto reply = ask(wire::Command::kVersion, payload);
  return reply && (reply->header.flags & wire::kFlagError) == 0;
}

std::uint32_t WireClient::read32(std::uint32_t region, std::uint64_t offset) {
  const auto reply =
      ask(wire::Command::kRegionRead, bytes_of(wire::RegionAccess{.offset = offset, .region = region, .count = 4}));
  std::uint32_t value = 0;
  if (!reply || reply->payload.size() != sizeof(wire::RegionAccess) + sizeof(value)) {
    ADD_FAILURE() << "region " << region << " can't be read";
    return 0;
  }
  std::memcpy(&value, reply->payload.data() + sizeof(wire::RegionAccess), sizeof(value));
  return value;
}

void WireClient::write32(std::uint32_t region, std::uint64_t offset, std::uint32_t value) {
  std::vector<std::byte> payload = bytes_of(wire::RegionAccess{.offset = offset, .region = region, .count = 4});
  const std::vector<std::byte> data = bytes_of(value);
  payload.insert(payload.end(), data.begin(), data.end());
  const auto reply = ask(wire::Command::kRegionWrite, payload);
  EXPECT_TRUE(reply && reply->header.error_number == 0);
}

}  // namespace warden::sim::testing
