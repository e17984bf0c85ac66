// SPDX-License-Identifier: Apache-2.0
// wardend beside programs that know only tt-umd's way: their listeners hear our resets, our listeners hear theirs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/support/host.h"

namespace warden::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr std::uint8_t kPreReset = 0x01;
constexpr std::uint8_t kPostReset = 0x02;

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  return address;
}

// What a tt-umd program leaves in the directory.
UniqueFd listen_at(const std::string& path) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_un address = address_of(path);
  EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0) << path;
  EXPECT_EQ(::listen(socket.get(), 8), 0);
  return socket;
}

// The next byte that a notifier sends there, or -1.
int next_byte(const UniqueFd& listener) {
  pollfd entry{listener.get(), POLLIN, 0};
  if (::poll(&entry, 1, static_cast<int>(std::chrono::milliseconds(kDeadline).count())) != 1) return -1;
  const UniqueFd connection(::accept(listener.get(), nullptr, nullptr));
  std::uint8_t byte = 0;
  return ::read(connection.get(), &byte, 1) == 1 ? byte : -1;
}

class UmdBridge : public testing::Test {
 protected:
  void start(const std::string& grace) {
    ASSERT_TRUE(host_.start_simulator()) << host_.why();
    ASSERT_TRUE(host_.start_daemon({"--umd-listeners", directory(), "--umd-grace", grace})) << host_.why();
  }
  [[nodiscard]] std::string directory() const { return host_.directory() + "/umd"; }

  // Sends one byte to wardend's socket, as tt-umd's notifier does: found by listing the directory.
  void notify(std::uint8_t byte) {
    std::string path;
    for (const auto& entry : std::filesystem::directory_iterator(directory())) path = entry.path();
    const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_un address = address_of(path);
    ASSERT_EQ(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0) << path;
    ASSERT_EQ(::send(socket.get(), &byte, 1, MSG_NOSIGNAL), 1);
  }

  // `warden reset --json`, its report; the exit status must agree with it.
  json reset() {
    Process warden = host_.run("warden", {"reset", "--json"});
    const auto status = warden.wait();
    const json report = json::parse(warden.out(), nullptr, false);
    EXPECT_TRUE(report.is_object()) << warden.output();
    EXPECT_EQ(status, report.value("result", "") == "ok" ? 0 : 1) << warden.output();
    return report;
  }

  Host host_;
};

// Proves that a listener of tt-umd's gets both bytes around a reset, is awaited for the grace, and is called
// `notified` in the report: it has not acknowledged anything.
TEST_F(UmdBridge, TheirListenersHearOurReset) {
  start("300ms");
  const UniqueFd listener = listen_at(directory() + "/client_1.sock");
  const json report = reset();
  EXPECT_EQ(report.at("result"), "ok");
  ASSERT_EQ(report.at("listeners").size(), 1U) << report;
  EXPECT_EQ(report.at("listeners").at(0).at("outcome"), "notified");
  EXPECT_EQ(report.at("listeners").at(0).at("pid"), ::getpid());
  EXPECT_GE(report.at("phases").at(0).at("us"), 300'000) << report;
  EXPECT_EQ(next_byte(listener), kPreReset);
  EXPECT_EQ(next_byte(listener), kPostReset);
}

// Proves that nothing but the death of such a listener ends its grace early, and that it does.
TEST_F(UmdBridge, TheirDeathEndsTheGrace) {
  start("3600s");
  const std::string path = directory() + "/client_1.sock";
  const UniqueFd listener = listen_at(path);
  ::unlink(path.c_str());
  const pid_t child = ::fork();
  if (child == 0) {
    const UniqueFd own = listen_at(path);
    _exit(next_byte(own) == kPreReset ? 0 : 1);
  }
  while (!std::filesystem::exists(path)) ::sched_yield();
  const json report = reset();
  EXPECT_EQ(report.at("result"), "ok");
  ASSERT_EQ(report.at("listeners").size(), 1U) << report;
  EXPECT_EQ(report.at("listeners").at(0).at("outcome"), "died");
  EXPECT_EQ(report.at("listeners").at(0).at("pid"), child);
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

// Proves that socket files of processes long gone neither delay a reset nor show in its report.
TEST_F(UmdBridge, StaleSocketsDoNoHarm) {
  start("3600s");
  for (int i = 0; i < 100; ++i) listen_at(directory() + "/client_" + std::to_string(i) + ".sock");
  const json report = reset();
  EXPECT_EQ(report.at("result"), "ok");
  EXPECT_TRUE(report.at("listeners").empty()) << report;
}

// Proves that a reset which a tt-umd notifier announces and carries out reaches our listeners with the reason
// `external`, ends with its second byte, and gets its result from the card.
TEST_F(UmdBridge, OurListenersHearTheirReset) {
  start("2s");
  Process listener = host_.run("listener_example", {"pause"});
  ASSERT_TRUE(listener.wait_for_line("attached")) << listener.output();
  notify(kPreReset);
  ASSERT_TRUE(listener.wait_for_line("PRE_RESET received: reset 1 (external)")) << listener.output();
  ASSERT_TRUE(host_.daemon().wait_for_line(": wait")) << host_.daemon().output();
  ASSERT_TRUE(host_.simulator({"board-reset", "0"}));
  notify(kPostReset);
  ASSERT_TRUE(listener.wait_for_line("POST_RESET received: reset 1: ok")) << host_.daemon().output();
  EXPECT_TRUE(listener.wait_for_line("resumed"));
  const auto stats = host_.simulator({"stats"});
  ASSERT_TRUE(stats);
  EXPECT_THAT(*stats, testing::ContainsRegex("bar_accesses_during_reset +0\n"));
}

// Proves that "done" is not believed: a notifier that says so without a reset gets the verdict `failed`.
TEST_F(UmdBridge, TheirWordIsNotTheVerdict) {
  start("2s");
  Process listener = host_.run("listener_example", {"pause"});
  ASSERT_TRUE(listener.wait_for_line("attached")) << listener.output();
  notify(kPreReset);
  ASSERT_TRUE(host_.daemon().wait_for_line(": wait")) << host_.daemon().output();
  notify(kPostReset);
  const auto line = listener.wait_for_line("POST_RESET received: reset 1: failed");
  ASSERT_TRUE(line) << listener.output();
  EXPECT_THAT(*line, HasSubstr("reference clock"));
}

// Proves that the socket of the bridge outlives the worker: what a notifier says while none lives is heard by the next.
TEST_F(UmdBridge, TheBridgeOutlivesTheWorker) {
  start("2s");
  const auto line = host_.daemon().wait_for_line("worker ");
  ASSERT_TRUE(line);
  const int worker = std::stoi(line->substr(line->find("worker ") + 7));
  ASSERT_EQ(::kill(worker, SIGKILL), 0);
  notify(kPreReset);
  EXPECT_TRUE(host_.daemon().wait_for_line("announced (external)")) << host_.daemon().output();
}

}  // namespace
}  // namespace warden::test
