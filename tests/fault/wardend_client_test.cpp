// SPDX-License-Identifier: Apache-2.0
// Clients that die or misbehave: they harm themselves, and nobody else notices.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <warden/reset.h>

#include <array>
#include <csignal>
#include <future>
#include <random>

#include "tests/e2e/wardend_stack.h"

namespace warden::test {
namespace {

using std::chrono::milliseconds;

Result<ResetReport> reset(Stack& stack, milliseconds timeout = std::chrono::hours(1)) {
  WarmResetOptions options;
  options.timeout = timeout;
  return warm_reset(*stack.attach("resetter"), {}, options);
}

std::vector<std::byte> random_bytes(std::mt19937& random, std::size_t most) {
  std::vector<std::byte> bytes(std::uniform_int_distribution<std::size_t>(0, most)(random));
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

// Garbage instead of a hello, and garbage after one: that peer is dropped with a logged reason, the next is served.
TEST(WardendClients, GarbageDropsItsSenderAlone) {
  Stack stack;
  const auto bystander = stack.attach("bystander");
  std::mt19937 random(1);
  for (int round = 0; round < 20; ++round) {
    RawClient client(stack.socket_path());
    if (round % 2 == 1) {
      ASSERT_TRUE(client.greet());
    }
    std::vector<std::byte> bytes = random_bytes(random, 2000);
    bytes.push_back(std::byte{1});  // an empty packet would be an end
    ASSERT_GE(::send(client.socket(), bytes.data(), bytes.size(), MSG_NOSIGNAL), 0);
    EXPECT_TRUE(client.is_dropped()) << "round " << round;
  }
  EXPECT_NE(stack.daemon_log().find("dropped"), std::string::npos);
  EXPECT_TRUE(bystander->devices());
}

// Well-formed headers with random kinds and bodies: whatever they ask for, wardend lives and serves others, and the
// card is never reset by accident of a client without the words for it.
TEST(WardendClients, RandomRequests) {
  Stack stack;
  const auto bystander = stack.attach("bystander");
  std::mt19937 random(2);
  for (int round = 0; round < 300; ++round) {
    RawClient client(stack.socket_path());
    ASSERT_TRUE(client.greet());
    for (int message = 0; message < 4; ++message) {
      shm::Header header = shm::request_header(shm::MessageKind::kHello, static_cast<std::uint32_t>(message));
      header.kind = static_cast<std::uint16_t>(random() % 20);
      (void)shm::send_packet(client.socket(), header, random_bytes(random, 300));
    }
  }
  EXPECT_TRUE(bystander->devices()) << stack.daemon_log();
  EXPECT_EQ(stack.daemon_log().find("died"), std::string::npos) << stack.daemon_log();
}

// A client that writes random bytes over all it can write, ledger and doorbell, only spoils its own answer: the reset
// goes by the timeout, and other listeners' answers count.
TEST(WardendClients, GarbageInAllWritableMemory) {
  Stack stack;
  Process good({WARDEND_LISTENER, stack.socket_path(), "good", "ack"});
  ASSERT_EQ(good.read_line(), "listening");
  RawClient vandal(stack.socket_path());
  ASSERT_TRUE(vandal.greet());
  const shm::Listen everything{~std::uint64_t{0}};
  ASSERT_TRUE(shm::send_packet(vandal.socket(), shm::request_header(shm::MessageKind::kListen, 2),
                               std::as_bytes(std::span(&everything, 1))));
  ASSERT_TRUE(shm::receive_packet(vandal.socket(), kDeadline));
  std::mt19937 random(3);
  // Of the ledger's table only what stands before the records: nothing more of it is read here.
  const std::array places = {std::pair(vandal.ledger_fd(), shm::kRecordsOffsetBytes),
                             std::pair(vandal.doorbell_fd(), shm::kDoorbellBytes)};
  for (const auto& [fd, len_bytes] : places) {
    void* memory = ::mmap(nullptr, len_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ASSERT_NE(memory, MAP_FAILED);
    auto* bytes = static_cast<unsigned char*>(memory);
    for (std::size_t i = 0; i < len_bytes; ++i) bytes[i] = static_cast<unsigned char>(random());
    ::munmap(memory, len_bytes);
  }
  const auto report = reset(stack, milliseconds(200));
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->result, ResetResult::kOk) << report->json;
  for (const ListenerOutcome& listener : report->listeners) {
    EXPECT_EQ(listener.outcome, listener.name == "good" ? "acknowledged" : "timed_out") << report->json;
  }
  EXPECT_EQ(report->listeners.size(), 2U) << report->json;
}

// Listeners killed at random moments before, while and after they should answer: with a timeout nobody could sit
// out, each reset still ends, and well.
TEST(WardendClients, KilledAtRandomMoments) {
  Stack stack({.reset_duration_ms = 20});
  std::mt19937 random(5);
  for (int round = 0; round < 8; ++round) {
    Process silent({WARDEND_LISTENER, stack.socket_path(), "silent", "silent"});
    Process prompt({WARDEND_LISTENER, stack.socket_path(), "prompt", "ack"});
    ASSERT_EQ(silent.read_line(), "listening");
    ASSERT_EQ(prompt.read_line(), "listening");
    auto report = std::async(std::launch::async, [&] { return reset(stack); });
    ::usleep(static_cast<useconds_t>(random() % 20'000));
    prompt.signal(SIGKILL);
    ::usleep(static_cast<useconds_t>(random() % 20'000));
    silent.signal(SIGKILL);
    ASSERT_EQ(report.wait_for(kDeadline), std::future_status::ready) << stack.daemon_log();
    const auto result = report.get();
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(result->result, ResetResult::kOk) << result->json;
  }
}

// Asks for a reset as another user; answers the code of the refusal.
int ask_as_user(const Stack& stack, std::uint32_t user_id) {
  const int child = ::fork();
  if (child == 0) {
    if (::setgid(user_id) != 0 || ::setuid(user_id) != 0) ::_exit(101);
    RawClient client(stack.socket_path());
    if (!client.greet()) ::_exit(102);
    shm::ResetRequest request{};
    request.token = 1;
    request.timeout_ms = 100;
    if (!shm::send_packet(client.socket(), shm::request_header(shm::MessageKind::kReset, 5),
                          std::as_bytes(std::span(&request, 1)))) {
      ::_exit(103);
    }
    const auto answer = shm::receive_packet(client.socket(), kDeadline);
    ::_exit(answer ? static_cast<int>(answer->header.code) : 104);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// Without the operator right a reset is refused, and the card's own counter shows that nothing happened.
TEST(WardendClients, NoOperatorRight) {
  if (::geteuid() != 0) GTEST_SKIP() << "another user's process can be made by root alone";
  Stack stack;
  EXPECT_EQ(ask_as_user(stack, 65534), static_cast<int>(Code::kPermission));
  EXPECT_EQ(stack.card_stats()["resets"]["asic"], 0);
}

// The configured group has the right.
TEST(WardendClients, OperatorGroup) {
  if (::geteuid() != 0) GTEST_SKIP() << "another user's process can be made by root alone";
  Stack stack({.daemon_arguments = {"--operator-group", "nogroup"}});
  EXPECT_EQ(ask_as_user(stack, 65534), 0);
}

// A card that falls off the bus makes the reset fail, and says so; healed, it can be reset again.
TEST(WardendClients, CardOffTheBus) {
  Stack stack;
  stack.set_fault("off-bus");
  const auto report = reset(stack);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->result, ResetResult::kFailed) << report->json;
  EXPECT_FALSE(report->reason.empty());
  stack.set_fault("none");
  const auto again = reset(stack);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->result, ResetResult::kOk) << again->json;
}

}  // namespace
}  // namespace warden::test
