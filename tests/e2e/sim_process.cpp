// SPDX-License-Identifier: Apache-2.0
// Starting and ending warden-sim, and raw vfio-user messages.
#include "tests/e2e/sim_process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <utility>

namespace warden::sim::testing {

namespace wire = vfio::wire;

namespace {

constexpr int kDeadlineMs = 60'000;

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Pipe make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

pid_t start(std::vector<std::string> arguments, int output, int errors) {
  arguments.insert(arguments.begin(), WARDEN_SIM_PROGRAM);
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  // A test that is killed leaves no simulator behind.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(errors, STDERR_FILENO);
  ::execv(argv[0], argv.data());
  ::_exit(127);
}

// False at the end of the stream.
bool read_some(int descriptor, std::string& into) {
  pollfd readable{.fd = descriptor, .events = POLLIN, .revents = 0};
  if (::poll(&readable, 1, kDeadlineMs) != 1) throw std::runtime_error("warden-sim stays silent; so far: " + into);
  std::array<char, 4096> buffer;
  const ssize_t size = ::read(descriptor, buffer.data(), buffer.size());
  if (size > 0) into.append(buffer.data(), static_cast<std::size_t>(size));
  return size > 0;
}

int wait_for(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

Finished run_sim(const std::vector<std::string>& arguments) {
  Pipe output = make_pipe();
  Pipe errors = make_pipe();
  const pid_t pid = start(arguments, output.write.get(), errors.write.get());
  output.write.reset();
  errors.write.reset();
  Finished finished;
  while (read_some(output.read.get(), finished.output)) {
  }
  while (read_some(errors.read.get(), finished.errors)) {
  }
  finished.status = wait_for(pid);
  return finished;
}

TemporaryDirectory::TemporaryDirectory() : path_("/tmp/wsimXXXXXX") {
  if (::mkdtemp(path_.data()) == nullptr) throw std::runtime_error("mkdtemp");
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

SimProcess::SimProcess(std::vector<std::string> arguments) : SimProcess("", std::move(arguments)) {}

SimProcess::SimProcess(const std::string& directory, std::vector<std::string> arguments)
    : directory_(directory.empty() ? own_directory_.path() : directory) {
  Pipe output = make_pipe();
  Pipe errors = make_pipe();
  arguments.insert(arguments.begin(), {"--dir", directory_});
  pid_ = start(std::move(arguments), output.write.get(), errors.write.get());
  output.write.reset();
  errors.write.reset();
  log_ = std::move(errors.read);
  std::string printed;
  while (!printed.ends_with("ready\n")) {
    if (!read_some(output.read.get(), printed)) throw std::runtime_error("warden-sim ended early: " + printed);
  }
}

SimProcess::~SimProcess() {
  if (pid_ < 0) return;
  EXPECT_EQ(end(SIGTERM), 0);
}

std::string SimProcess::socket(unsigned chip) const { return directory() + "/chip" + std::to_string(chip) + ".sock"; }

std::string SimProcess::ctl(std::vector<std::string> arguments) const {
  arguments.insert(arguments.begin(), {"ctl", "--dir", directory()});
  const Finished finished = run_sim(arguments);
  EXPECT_EQ(finished.status, 0) << finished.errors;
  return finished.output;
}

int SimProcess::end(int signal_number) {
  ::kill(pid_, signal_number);
  return wait_for(std::exchange(pid_, -1));
}

void SimProcess::await_log(const std::string& text) {
  std::size_t found = 0;
  while ((found = logged_.find(text)) == std::string::npos) {
    if (!read_some(log_.get(), logged_)) throw std::runtime_error("never logged: " + text + "; but: " + logged_);
  }
  logged_.erase(0, found + text.size());
}

WireClient::WireClient(const std::string& path) : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  constexpr timeval kDeadline{.tv_sec = kDeadlineMs / 1000, .tv_usec = 0};
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &kDeadline, sizeof(kDeadline));
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
