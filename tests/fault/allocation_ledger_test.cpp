// SPDX-License-Identifier: Apache-2.0
// AllocationLedger with a real wardend that is killed and started again: nothing lost, nothing counted twice.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>
#include <warden/allocation_ledger.h>
#include <warden/death_actions.h>
#include <warden/device.h>

#include <atomic>
#include <csignal>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>

#include "shm/ledger.h"
#include "tests/e2e/broker_host.h"

namespace warden::test {
namespace {

std::unique_ptr<AllocationLedger> ledger_of(const std::shared_ptr<Session>& session) {
  auto ledger = AllocationLedger::open(session);
  EXPECT_TRUE(ledger) << ledger.error().message;
  return ledger ? std::move(*ledger) : nullptr;
}

// What the wardend of now reads: the very descriptor that it sent with its welcome.
std::uint64_t count_at_wardend(Session& session) {
  const auto totals = session.client().connection()->ledger()->reader().totals();
  EXPECT_TRUE(totals) << totals.error().message;
  return totals ? totals->all().count : 0;
}

int in_child(const std::function<int()>& work) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(work());
  int status = -1;
  ::waitpid(child, &status, 0);
  return status;
}

void replace_wardend(Stack& stack) {
  stack.daemon().signal(SIGKILL);
  (void)stack.daemon().wait();
  stack.start_daemon();
}

// Proves the public calls: a handle counts once, wrong arguments are refused, and sums follow.
TEST(AllocationLedgers, RecordAndRelease) {
  Stack stack;
  const auto ledger = ledger_of(stack.attach("holder"));
  const auto handle = ledger->record(0, AllocationKind::kL1, 0x1000, 512, 7, {.label = "weights"});
  ASSERT_TRUE(handle) << handle.error().message;
  EXPECT_EQ(ledger->totals()->all().bytes, 512U);
  EXPECT_TRUE(ledger->release(*handle));
  EXPECT_EQ(ledger->release(*handle).error().code, Code::kStale);
  EXPECT_EQ(ledger->totals()->all().count, 0U);
  EXPECT_EQ(ledger->record(64, AllocationKind::kL1, 0, 1, 0).error().code, Code::kInvalidArgument);
  EXPECT_EQ(ledger->record(0, static_cast<AllocationKind>(7), 0, 1, 0).error().code, Code::kInvalidArgument);
  EXPECT_EQ(
      ledger->record(0, AllocationKind::kKernel, 0, 1, 0, {.kernel_kind = static_cast<KernelKind>(3)}).error().code,
      Code::kInvalidArgument);
}

// Proves that a handle of one session is nothing to another of the same process, and that a forked child has nothing.
TEST(AllocationLedgers, HandlesAreOfOneLedgerAndOneProcess) {
  Stack stack;
  const auto one = ledger_of(stack.attach("one"));
  const auto other = ledger_of(stack.attach("other"));
  const auto handle = one->record(0, AllocationKind::kDram, 0, 1, 0);
  ASSERT_TRUE(handle && other->record(0, AllocationKind::kDram, 0, 1, 0));
  EXPECT_EQ(other->release(*handle).error().code, Code::kStale);
  EXPECT_EQ(in_child([&] {
              const auto recorded = one->record(0, AllocationKind::kDram, 0, 1, 0);
              const auto released = one->release(*handle);
              const bool refused = !recorded && recorded.error().code == Code::kDisconnected && !released &&
                                   released.error().code == Code::kDisconnected && !one->totals();
              const auto own = ledger_of(stack.attach("child"));
              return refused && own->record(0, AllocationKind::kDram, 0, 1, 0) && own->totals()->all().count == 1 ? 0
                                                                                                                  : 1;
            }),
            0);
  EXPECT_EQ(one->totals()->all().count, 1U);
}

// Proves that keeper and worker may both be killed while threads record: the next wardend is handed the same memory,
// handles stay good, and the sums are what the threads did. Times of records go on with the new wardend's clock.
TEST(AllocationLedgers, AreHandedBackToTheNextWardend) {
  Stack stack;
  const auto session = stack.attach("holder");
  const auto ledger = ledger_of(session);
  const auto before = ledger->record(0, AllocationKind::kDram, 0, 100, 0);
  ASSERT_TRUE(before);
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> kept{1};
  std::vector<std::jthread> threads;
  for (int thread = 0; thread < 2; ++thread) {
    threads.emplace_back([&] {
      for (std::uint64_t i = 0; !stop.load(); ++i) {
        const auto handle = ledger->record(1, AllocationKind::kL1, i, 10, i);
        ASSERT_TRUE(handle) << handle.error().message;
        if (i % 1024 == 0 && kept.load() < 10'000) {
          kept.fetch_add(1);
        } else {
          ASSERT_TRUE(ledger->release(*handle));
        }
      }
    });
  }
  for (int round = 0; round < 3; ++round) {
    const std::uint64_t instance = session->client().connection()->welcome().instance_id;
    const int fd_before = session->client().connection()->ledger()->fd();
    replace_wardend(stack);
    ASSERT_TRUE(ledger->reattach());
    EXPECT_NE(session->client().connection()->welcome().instance_id, instance);
    EXPECT_EQ(session->client().connection()->ledger()->fd(), fd_before) << stack.daemon_log();
  }
  stop = true;
  threads.clear();
  EXPECT_EQ(count_at_wardend(*session), kept.load());
  EXPECT_TRUE(ledger->release(*before));
  EXPECT_EQ(ledger->totals()->all().count, kept.load() - 1);
  EXPECT_EQ(ledger->totals()->lost, 0U);
  EXPECT_EQ(stack.daemon_log().find("refused"), std::string::npos) << stack.daemon_log();
}

// Proves that the worker's death alone is not noticed at all.
TEST(AllocationLedgers, OutliveTheWorker) {
  Stack stack;
  const auto session = stack.attach("holder");
  const auto ledger = ledger_of(session);
  const auto handle = ledger->record(0, AllocationKind::kDram, 0, 100, 0);
  const auto connection = session->client().connection();
  const std::uint32_t starts = connection->directory().header().worker_starts.load();
  ASSERT_EQ(::kill(static_cast<int>(connection->directory().header().worker_pid.load()), SIGKILL), 0);
  ASSERT_TRUE(eventually([&] { return connection->directory().header().worker_starts.load() != starts; }));
  ASSERT_TRUE(session->devices());
  EXPECT_EQ(session->client().connection(), connection);
  EXPECT_EQ(ledger->totals()->all().count, 1U);
  EXPECT_TRUE(ledger->release(*handle));
}

// Proves that who is sent away and comes back at once has its ledger again, while its cards are still being cleaned of
// the session before: every record counts once, and what was to be done at that session's end is done, by the next
// worker too, but nothing of what the new session wants at its own.
TEST(AllocationLedgers, AreHandedBackWhileTheCardsAreCleaned) {
  constexpr Tile kTensix{.x = 1, .y = 2};
  Stack stack;
  const auto watcher = stack.attach("watcher");
  auto watching = Device::open(watcher, "0");
  const auto session = stack.attach("holder");
  const auto ledger = ledger_of(session);
  const auto actions = *DeathActions::open(session);
  auto device = Device::open(session, "0");
  ASSERT_TRUE(watching && device);
  for (std::uint64_t i = 0; i < 3; ++i) ASSERT_TRUE(ledger->record(0, AllocationKind::kDram, i, 100, 0));
  ASSERT_TRUE(actions->write32(*device, kTensix, {0x1000}, 5));
  auto only_user = watching->direct();  // nobody's cards are cleaned meanwhile
  ASSERT_TRUE(only_user) << only_user.error().message;

  const auto before = session->client().connection();
  const int fd_before = before->ledger()->fd();
  const std::byte too_short[1]{};
  ASSERT_TRUE(shm::send_packet(before->socket(), shm::request_header(shm::MessageKind::kMapDma, 1), too_short));
  ASSERT_TRUE(eventually([&] { return before->has_hung_up(); }));
  ASSERT_TRUE(ledger->reattach());
  EXPECT_NE(session->client().connection(), before);
  EXPECT_EQ(session->client().connection()->ledger()->fd(), fd_before) << stack.daemon_log();
  const auto expect_sums = [&](std::uint64_t count) {
    EXPECT_EQ(ledger->totals()->lost, 0U);
    EXPECT_EQ(count_at_wardend(*session), count);
    EXPECT_EQ(nlohmann::json::parse(*watcher->allocations_json())["records"], count);
  };
  expect_sums(3);
  ASSERT_TRUE(ledger->record(0, AllocationKind::kDram, 3, 100, 0));
  expect_sums(4);

  auto device_again = Device::open(session, "0");
  ASSERT_TRUE(device_again) << device_again.error().message;
  ASSERT_TRUE(actions->write32(*device_again, kTensix, {0x1004}, 6));
  EXPECT_EQ(nlohmann::json::parse(*watcher->status_json())["cleaning"], 1);
  ASSERT_TRUE(replace_worker(*watcher));
  only_user->descriptors.clear();
  const auto word = [&](std::uint64_t address) { return watching->read32(kTensix, {address}).value_or(~0U); };
  EXPECT_TRUE(eventually([&] { return word(0x1000) == 5; })) << stack.daemon_log();
  EXPECT_TRUE(eventually([&] { return nlohmann::json::parse(*watcher->sessions_json()).size() == 2; }));
  EXPECT_EQ(word(0x1004), 0U);
  expect_sums(4);
}

// A client below libwarden that hands something back in its hello. True when that is what it was given.
bool is_taken_back(Stack& stack, int fd, shm::Packet* welcome = nullptr, UniqueFd* kept_socket = nullptr) {
  auto socket = shm::connect_to(stack.socket_path());
  EXPECT_TRUE(socket);
  shm::Hello hello{};
  hello.flags = shm::kHelloLedger;
  const std::array fds = {fd};
  EXPECT_TRUE(shm::send_packet(socket->get(), shm::request_header(shm::MessageKind::kHello, 1),
                               std::as_bytes(std::span(&hello, 1)), {}, fds));
  auto packet = shm::receive_packet(socket->get(), kDeadline);
  EXPECT_TRUE(packet && packet->fds.size() == 3);
  if (!packet || packet->fds.size() != 3) return false;
  const auto given = shm::Memory(UniqueFd(::dup(packet->fds[1].get()))).file_id();
  const auto handed = shm::Memory(UniqueFd(::dup(fd))).file_id();
  EXPECT_TRUE(given && handed);
  if (welcome != nullptr) *welcome = std::move(*packet);
  if (kept_socket != nullptr) *kept_socket = std::move(*socket);
  return *given == *handed;
}

// Proves what is not taken back: a ledger that another session has, one with other seals, another size, another
// layout, or no memory at all. Each client gets a fresh one and is told so by that.
TEST(AllocationLedgers, OnlyAnUnusedWholeLedgerIsTakenBack) {
  constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  Stack stack;
  const auto session = stack.attach("owner");
  const auto ledger = ledger_of(session);
  ASSERT_TRUE(ledger->record(0, AllocationKind::kDram, 0, 100, 0));
  const int owned = session->client().connection()->ledger()->fd();
  EXPECT_FALSE(is_taken_back(stack, owned)) << "it is the owner's";
  const auto forged = [](std::size_t size_bytes, int seals) {
    auto memory = shm::Memory::create("forged", size_bytes);
    EXPECT_TRUE(memory);
    std::array<std::byte, shm::kPageBytes> header{};
    const auto real = shm::LedgerReader::create(9);
    EXPECT_EQ(::pread(real->fd(), header.data(), header.size(), 0), static_cast<ssize_t>(header.size()));
    EXPECT_EQ(::pwrite(memory->fd(), header.data(), header.size(), 0), static_cast<ssize_t>(header.size()));
    EXPECT_TRUE(memory->seal(seals));
    return std::move(*memory);
  };
  EXPECT_FALSE(is_taken_back(stack, forged(shm::kLedgerBytes, 0).fd()));
  EXPECT_FALSE(is_taken_back(stack, forged(shm::kLedgerBytes, kSeals | F_SEAL_FUTURE_WRITE).fd()));
  EXPECT_FALSE(is_taken_back(stack, forged(shm::kLedgerBytes * 2, kSeals).fd()));
  const shm::Memory other_layout = forged(shm::kLedgerBytes, kSeals);
  const std::uint32_t version = shm::kLedgerVersion + 1;
  ASSERT_EQ(::pwrite(other_layout.fd(), &version, sizeof(version), offsetof(shm::LedgerHeader, version)), 4);
  EXPECT_FALSE(is_taken_back(stack, other_layout.fd()));
  EXPECT_FALSE(is_taken_back(stack, UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC)).get()));
  const shm::Memory whole = forged(shm::kLedgerBytes, kSeals);
  shm::Packet first;
  UniqueFd first_socket;
  EXPECT_TRUE(is_taken_back(stack, whole.fd(), &first, &first_socket)) << stack.daemon_log();
  EXPECT_FALSE(is_taken_back(stack, whole.fd())) << "the first has it";
}

// Proves that a client whose ledger is refused is told what it lost, and goes on with a fresh one.
TEST(AllocationLedgers, RefusedLedgerIsLostAndSaidSo) {
  Stack stack;
  const auto session = stack.attach("holder");
  const auto ledger = ledger_of(session);
  const auto lost = ledger->record(0, AllocationKind::kDram, 0, 100, 0);
  ASSERT_TRUE(lost);
  const UniqueFd fd(::fcntl(session->client().connection()->ledger()->fd(), F_DUPFD_CLOEXEC, 0));
  stack.daemon().signal(SIGKILL);
  (void)stack.daemon().wait();
  stack.start_daemon();
  shm::Packet thief;
  UniqueFd thief_socket;
  ASSERT_TRUE(is_taken_back(stack, fd.get(), &thief, &thief_socket));  // somebody else with the descriptor was faster
  ASSERT_TRUE(ledger->reattach());
  const auto totals = ledger->totals();
  ASSERT_TRUE(totals);
  EXPECT_EQ(totals->lost, 1U);
  EXPECT_EQ(totals->all().count, 0U);
  EXPECT_EQ(ledger->release(*lost).error().code, Code::kStale);
  EXPECT_TRUE(ledger->record(0, AllocationKind::kDram, 0, 100, 0));
  EXPECT_EQ(count_at_wardend(*session), 1U);
}

}  // namespace
}  // namespace warden::test
