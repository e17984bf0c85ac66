// SPDX-License-Identifier: Apache-2.0
// See allocation_peer.h.
#include "tests/support/allocation_peer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <fstream>
#include <sstream>

namespace warden::test {
namespace {

constexpr int kDeadlineMs = 60'000;

template <typename Number>
void put(std::string& bytes, std::size_t offset, Number number) {
  std::memcpy(bytes.data() + offset, &number, sizeof(number));
}

bool wait_for(int fd) {
  pollfd entry{fd, POLLIN, 0};
  return ::poll(&entry, 1, kDeadlineMs) == 1;
}

}  // namespace

std::string allocation_message(const AllocationFields& fields, std::size_t size_bytes) {
  std::string bytes(size_bytes, '\0');
  put(bytes, 0, fields.type);
  put(bytes, 4, fields.device);
  put(bytes, 8, fields.size);
  put(bytes, 16, fields.buffer_type);
  put(bytes, 20, fields.process_id);
  put(bytes, 24, fields.buffer_id);
  put(bytes, 32, fields.timestamp);
  return bytes;
}

std::uint32_t AllocationReply::u32(std::size_t offset) const {
  std::uint32_t number = 0;
  std::memcpy(&number, bytes_.substr(offset, 4).data(), 4);
  return number;
}

std::uint64_t AllocationReply::u64(std::size_t offset) const {
  std::uint64_t number = 0;
  std::memcpy(&number, bytes_.substr(offset, 8).data(), 8);
  return number;
}

AllocationPeer::AllocationPeer(const std::string& path, std::size_t message_bytes) : message_bytes_(message_bytes) {
  socket_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) socket_.reset();
}

bool AllocationPeer::send_bytes(const std::string& bytes) {
  for (std::size_t sent = 0; sent < bytes.size();) {
    const ssize_t more = ::send(socket_.get(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (more < 0 && errno == EINTR) continue;
    if (more <= 0) return false;
    sent += static_cast<std::size_t>(more);
  }
  return true;
}

std::optional<AllocationReply> AllocationPeer::read() {
  std::string bytes(message_bytes_, '\0');
  for (std::size_t have = 0; have < bytes.size();) {
    if (!wait_for(socket_.get())) return std::nullopt;
    const ssize_t got = ::recv(socket_.get(), bytes.data() + have, bytes.size() - have, 0);
    if (got <= 0) return std::nullopt;
    have += static_cast<std::size_t>(got);
  }
  return AllocationReply(std::move(bytes));
}

std::optional<AllocationReply> AllocationPeer::ask(const AllocationFields& question) {
  if (!send(question)) return std::nullopt;
  return read();
}

AllocationDump AllocationPeer::dump() {
  AllocationDump dump;
  if (!send({.type = kDumpRemaining})) return dump;
  for (;;) {
    auto reply = read();
    if (!reply) return dump;
    if (reply->type() == kResponse) {
      dump.end = std::move(reply);
      return dump;
    }
    dump.records.push_back(std::move(*reply));
  }
}

bool AllocationPeer::is_dropped() {
  char byte = 0;
  for (;;) {
    if (!wait_for(socket_.get())) return false;
    const ssize_t got = ::recv(socket_.get(), &byte, 1, 0);
    if (got <= 0) return true;
  }
}

AllocationHost::AllocationHost(const std::string& log_level) {
  daemon_.emplace(std::vector<std::string>{std::string(WARDEN_BIN_DIR) + "/wardend", "--socket",
                                           directory_.path() + "/warden.sock", "--state", directory_.path() + "/state",
                                           "--allocation-server", path(), "--ready-fd", "1", "--log-level", log_level});
  EXPECT_TRUE(daemon_->wait_for_line("ready")) << daemon_->output();
}

// The keeper's one child.
int AllocationHost::worker_pid() const {
  const std::string keeper = std::to_string(daemon_->pid());
  std::ifstream children("/proc/" + keeper + "/task/" + keeper + "/children");
  int pid = 0;
  children >> pid;
  return pid;
}

void AllocationHost::replace_worker() {
  const int pid = worker_pid();
  ASSERT_GT(pid, 1);
  ASSERT_EQ(::kill(pid, SIGKILL), 0);
}

void ClientProcess::begin() {
  int ends[2];
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  done_ = UniqueFd(ends[0]);
  tell_ = UniqueFd(ends[1]);
  pid_ = ::fork();
  if (pid_ == 0) ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (pid_ != 0) tell_.reset();
}

void ClientProcess::work_is_done() const {
  (void)!::write(tell_.get(), "x", 1);
  for (;;) ::pause();
}

bool ClientProcess::wait_until_done() const {
  char byte = 0;
  return wait_for(done_.get()) && ::read(done_.get(), &byte, 1) == 1;
}

void ClientProcess::kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

void ClientProcess::kill_and_leave_zombie() const {
  ::kill(pid_, SIGKILL);
  siginfo_t info{};
  EXPECT_EQ(::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT), 0);
}

}  // namespace warden::test
