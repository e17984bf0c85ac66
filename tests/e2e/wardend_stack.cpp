// SPDX-License-Identifier: Apache-2.0
// See wardend_stack.h.
#include "tests/e2e/wardend_stack.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <csignal>
#include <cstring>

namespace warden::test {

Stack::Stack(const Options& options) : daemon_arguments_(options.daemon_arguments) {
  ::chmod(directory().c_str(), 0755);  // other users of the tests come here too
  for (std::uint32_t index = 1; index < options.card_count; ++index) {
    daemon_arguments_.insert(daemon_arguments_.end(),
                             {"--device", "vfio-user:" + directory() + "/sim/chip" + std::to_string(index) + ".sock"});
  }
  EXPECT_TRUE(
      start_simulator({"--board", options.board, "--reset-duration", std::to_string(options.reset_duration_ms)}))
      << why();
  start_daemon();
}

void Stack::start_daemon() { EXPECT_TRUE(Host::start_daemon(daemon_arguments_)) << why(); }

void Stack::stop_daemon() {
  daemon().signal(SIGTERM);
  EXPECT_EQ(daemon().wait(), 0) << daemon_log();
}

std::shared_ptr<Session> Stack::attach(const std::string& name) const {
  AttachOptions attach;
  attach.socket_path = socket_path();
  attach.name = name;
  attach.timeout = kDeadline;
  auto session = Session::attach(attach);
  EXPECT_TRUE(session) << session.error().message;
  return session ? *session : nullptr;
}

void Stack::set_fault(const std::string& name) const { EXPECT_TRUE(simulator({"fault", "0", name})); }

nlohmann::json Stack::card(const std::string& what, std::size_t index) const {
  const auto answer = simulator({what, "--json"});
  EXPECT_TRUE(answer);
  return answer ? nlohmann::json::parse(*answer)["chips"][index] : nlohmann::json();
}

RawClient::RawClient(const std::string& socket_path) {
  auto socket = shm::connect_to(socket_path);
  EXPECT_TRUE(socket) << socket.error().message;
  if (socket) socket_ = std::move(*socket);
}

bool RawClient::greet() {
  shm::Hello hello{};
  std::memcpy(hello.name, "raw", 3);
  const auto body = std::as_bytes(std::span(&hello, 1));
  if (!shm::send_packet(socket_.get(), shm::request_header(shm::MessageKind::kHello, 1), body)) return false;
  auto packet = shm::receive_packet(socket_.get(), kDeadline);
  if (!packet || packet->header.code != 0 || packet->fds.size() < 3) return false;
  welcome_ = *shm::body_of<shm::Welcome>(*packet);
  ledger_fd_.reset(::fcntl(packet->fds[1].get(), F_DUPFD_CLOEXEC, 0));
  doorbell_fd_.reset(::fcntl(packet->fds[2].get(), F_DUPFD_CLOEXEC, 0));
  auto directory = shm::DirectoryReader::open(std::move(packet->fds[0]));
  auto ledger = shm::LedgerWriter::open(std::move(packet->fds[1]), welcome_.session_id);
  auto doorbell = shm::DoorbellMemory::open(std::move(packet->fds[2]));
  if (!directory || !ledger || !doorbell) return false;
  directory_ = std::move(*directory);
  ledger_ = std::move(*ledger);
  doorbell_ = std::move(*doorbell);
  return true;
}

bool RawClient::is_dropped() {
  return eventually([&] {
    const auto packet = shm::receive_packet(socket_.get(), std::chrono::milliseconds(0));
    return !packet && packet.error().code == Code::kDisconnected;
  });
}

}  // namespace warden::test
