// SPDX-License-Identifier: Apache-2.0
// Deaths under difficult conditions: a wardend without rights, one that stands still meanwhile, numbers used again,
// clients of the bridge, clients that stand still.
#include <fmt/format.h>
#include <warden/reset.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "tests/fault/reaping_victim.h"
#include "tests/support/allocation_peer.h"

namespace warden::test {
namespace {

bool log_says(Stack& stack, const std::string& text) {
  return eventually([&] { return stack.daemon_log().find(text) != std::string::npos; });
}

std::string removed_line(std::uint64_t records, pid_t pid) {
  return fmt::format("✓ Removed {} buffers ({:.2f} MB) from PID {}", records, static_cast<double>(records), pid);
}

std::function<bool()> holding(const Stack& stack, std::uint64_t records) {
  return [&stack, records] {
    static Holder held;
    return (held = hold(stack.socket_path(), records, 1 << 20)).ledger != nullptr;
  };
}

// The worker of a wardend, standing still until the end of the scope.
class StoppedWorker {
 public:
  explicit StoppedWorker(Session& session) : pid_(status_of(session)["worker_pid"]) {
    ::kill(pid_, SIGSTOP);
    EXPECT_TRUE(eventually([&] {
      // The main thread's word is not enough.
      for (const auto& task : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", pid_))) {
        std::ifstream stat(task.path() / "stat");
        std::string text;
        std::getline(stat, text);
        const std::size_t end_of_name = text.rfind(')');
        if (end_of_name == std::string::npos || text.at(end_of_name + 2) != 'T') return false;
      }
      return true;
    }));
  }
  StoppedWorker(const StoppedWorker&) = delete;
  StoppedWorker& operator=(const StoppedWorker&) = delete;
  ~StoppedWorker() { ::kill(pid_, SIGCONT); }

 private:
  pid_t pid_;
};

std::uint32_t slot_of(Session& session, pid_t pid, std::uint64_t& id) {
  for (const auto& entry : nlohmann::json::parse(*session.sessions_json())) {
    if (entry["pid"] != pid) continue;
    id = entry["session"];
    return entry["slot"];
  }
  ADD_FAILURE() << "no session of " << pid;
  return 0;
}

// A client sees by itself that another has begun to die, while wardend stands still and can tell nobody.
TEST(ReapingAway, AClientSeesADeathThatWardendHasNotSeen) {
  Stack stack;
  const auto watcher = stack.attach("watcher");
  if (!status_of(*watcher)["exit_watcher"]["liveness_page"]) GTEST_SKIP() << "no exit program may be loaded";
  Victim victim(holding(stack, 3));
  Victim survivor(holding(stack, 4));
  ASSERT_TRUE(victim.is_ready() && survivor.is_ready());
  std::uint64_t victim_id = 0;
  std::uint64_t survivor_id = 0;
  const std::uint32_t victim_slot = slot_of(*watcher, victim.pid(), victim_id);
  const std::uint32_t survivor_slot = slot_of(*watcher, survivor.pid(), survivor_id);
  EXPECT_EQ(watcher->is_alive(victim_id, victim_slot), true);
  EXPECT_EQ(watcher->is_alive(victim_id, survivor_slot), false) << "not in this slot";
  EXPECT_EQ(watcher->living_sessions(), 3U);
  {
    const StoppedWorker stopped(*watcher);
    victim.kill();
    EXPECT_EQ(watcher->is_alive(victim_id, victim_slot), false);
    EXPECT_EQ(watcher->is_alive(survivor_id, survivor_slot), true);
    EXPECT_EQ(watcher->living_sessions(), 2U);
  }
  ASSERT_TRUE(eventually([&] { return status_of(*watcher)["sessions"] == 2; }));
  EXPECT_EQ(watcher->is_alive(victim_id, victim_slot), false);
  EXPECT_EQ(watcher->living_sessions(), 2U);
}

// More clients die than the ring has room for, while nobody reads it: each is reaped, once, and what was lost on the
// way is counted. The room is a page, where the sessions there can be would fit into what is usual.
TEST(ReapingAway, MoreThanTheRingHolds) {
  Stack stack({.daemon_arguments = {"--exit-ring", "4K"}});
  const auto watcher = stack.attach("watcher");
  if (status_of(*watcher)["exit_watcher"]["mechanism"] == "pidfd") GTEST_SKIP() << "no exit program may be loaded";
  constexpr std::size_t kVictims = 150;
  const Victim survivor(holding(stack, 7));
  std::vector<Victim> victims;
  std::vector<pid_t> pids;
  for (std::size_t i = 0; i < kVictims; ++i) {
    victims.emplace_back(holding(stack, 2));
    ASSERT_TRUE(victims.back().is_ready());
    pids.push_back(victims.back().pid());
  }
  EXPECT_EQ(allocations_of(*watcher)["records"], 7 + 2 * kVictims);
  {
    const StoppedWorker stopped(*watcher);
    victims.clear();
    EXPECT_EQ(watcher->living_sessions(), 2U) << "by the kernel's own page, which has room for all";
  }
  ASSERT_TRUE(eventually([&] { return status_of(*watcher)["sessions"] == 2; })) << stack.daemon_log();
  EXPECT_EQ(allocations_of(*watcher)["records"], 7);
  const nlohmann::json exits = status_of(*watcher)["exit_watcher"];
  EXPECT_EQ(exits["marked"], kVictims);
  EXPECT_GE(exits["rescans"], 1);
  EXPECT_GT(exits["dropped_events"], 0);
  EXPECT_LT(exits["dropped_events"], kVictims);
  EXPECT_GE(exits["not_by_hook"], exits["dropped_events"]);
  Process status = stack.run("warden", {"status"});
  EXPECT_EQ(status.wait(), 0) << status.output();
  EXPECT_NE(status.out().find(fmt::format("{} events dropped", exits["dropped_events"].dump())), std::string::npos)
      << status.out();
  const std::string log = stack.daemon_log();
  for (const pid_t pid : pids) {
    const std::string line = removed_line(2, pid);
    const std::size_t first = log.find(line + '\n');
    ASSERT_NE(first, std::string::npos) << line;
    ASSERT_EQ(log.find(line + '\n', first + 1), std::string::npos) << "twice: " << line;
  }
}

// The number of a dead client belongs to another one before wardend has looked: the dead one's records go, the other's
// stay.
TEST(ReapingAway, TheNumberIsUsedAgain) {
  Stack stack;
  const auto watcher = stack.attach("watcher");
  auto first = std::make_unique<Victim>(holding(stack, 3));
  ASSERT_TRUE(first->is_ready());
  const pid_t number = first->pid();
  int go[2];
  ASSERT_EQ(::pipe2(go, O_CLOEXEC), 0);
  std::optional<Victim> second;
  {
    const StoppedWorker stopped(*watcher);
    first.reset();
    for (int attempt = 0; attempt < 1000 && (!second || second->pid() != number); ++attempt) {
      second.reset();
      std::ofstream last("/proc/sys/kernel/ns_last_pid");
      last << number - 1 << std::flush;
      if (!last) GTEST_SKIP() << "ns_last_pid can't be written: " << std::strerror(errno);
      second.emplace([&] {
        std::thread([&] {
          char sign = 0;
          if (::read(go[0], &sign, 1) == 1) (void)holding(stack, 5)();
        }).detach();
        return true;
      });
    }
    ASSERT_EQ(second->pid(), number);
  }
  EXPECT_TRUE(log_says(stack, removed_line(3, number))) << stack.daemon_log();
  EXPECT_EQ(allocations_of(*watcher)["records"], 0);
  ASSERT_EQ(::write(go[1], "x", 1), 1);
  ASSERT_TRUE(eventually([&] { return allocations_of(*watcher)["records"] == 5; }));
  EXPECT_EQ(allocations_of(*watcher)["processes"].at(0)["pid"], number);
  EXPECT_EQ(stack.daemon_log().find(removed_line(5, number)), std::string::npos);
  second->kill();
  EXPECT_TRUE(log_says(stack, removed_line(5, number))) << stack.daemon_log();
  ::close(go[0]);
  ::close(go[1]);
}

// Whoever stands still keeps what it holds, and keeps nobody from working, dying and being reaped.
TEST(ReapingAway, AStoppedClientIsInNobodysWay) {
  Stack stack;
  const auto watcher = stack.attach("watcher");
  Victim still(holding(stack, 7));
  ASSERT_TRUE(still.is_ready());
  still.signal(SIGSTOP);
  for (int round = 0; round < 3; ++round) {
    Victim victim(holding(stack, 2));
    ASSERT_TRUE(victim.is_ready());
    EXPECT_EQ(allocations_of(*watcher)["records"], 9);
    const pid_t pid = victim.pid();
    victim.kill();
    EXPECT_TRUE(log_says(stack, removed_line(2, pid))) << stack.daemon_log();
    EXPECT_EQ(allocations_of(*watcher)["records"], 7);
  }
  const pid_t pid = still.pid();
  still.kill();  // without ever going on
  EXPECT_TRUE(log_says(stack, removed_line(7, pid))) << stack.daemon_log();
}

// The exit program tells of the bridge's clients as it does of others.
TEST(ReapingAway, BridgedClientsByTheHook) {
  const TemporaryDirectory directory;
  const std::string bridge = directory.path() + "/a.sock";
  Stack stack({.daemon_arguments = {"--allocation-server", bridge}});
  const auto watcher = stack.attach("watcher");
  const nlohmann::json before = status_of(*watcher)["exit_watcher"];
  if (before["mechanism"] == "pidfd") GTEST_SKIP() << "no exit program may be loaded";
  constexpr std::uint64_t kClients = 20;
  std::vector<Victim> clients;
  for (std::uint64_t i = 0; i < kClients; ++i) {
    clients.emplace_back([&] {
      static std::unique_ptr<AllocationPeer> peer;
      peer = std::make_unique<AllocationPeer>(bridge, 144);
      std::thread([] { ::pause(); }).detach();  // of more than one thread
      return peer->send({.type = kAlloc, .size = 1 << 20, .buffer_id = 64}) && peer->ask({.type = kQuery});
    });
    ASSERT_TRUE(clients.back().is_ready());
  }
  EXPECT_EQ(allocations_of(*watcher)["records"], kClients);
  clients.clear();
  ASSERT_TRUE(eventually([&] { return status_of(*watcher)["exit_watcher"]["marked"] == kClients; }));
  const nlohmann::json after = status_of(*watcher)["exit_watcher"];
  EXPECT_EQ(after["not_by_hook"], after["missed_runs"]) << "by their pidfds, though no exit was passed over";
  EXPECT_EQ(allocations_of(*watcher)["records"], 0);
}

bool reaps_without_rights() {
  if (::geteuid() == 0 && (::setresgid(65534, 65534, 65534) != 0 || ::setresuid(65534, 65534, 65534) != 0))
    return false;
  Stack stack;
  const auto watcher = stack.attach("watcher");
  const nlohmann::json exits = status_of(*watcher)["exit_watcher"];
  EXPECT_EQ(exits["mechanism"], "pidfd");
  EXPECT_NE(exits["reason"], "") << "why none of the better ones";
  Victim survivor(holding(stack, 7));
  Victim victim(holding(stack, 381));
  EXPECT_TRUE(survivor.is_ready() && victim.is_ready());
  EXPECT_EQ(allocations_of(*watcher)["records"], 388);
  const pid_t pid = victim.pid();
  victim.kill();
  EXPECT_TRUE(log_says(stack, removed_line(381, pid))) << stack.daemon_log();
  EXPECT_EQ(allocations_of(*watcher)["records"], 7);
  EXPECT_TRUE(eventually([&] { return status_of(*watcher)["sessions"] == 2; }));
  const auto report = warm_reset(*watcher);  // the user that wardend runs as may
  EXPECT_TRUE(report && report->result == ResetResult::kOk);
  return !testing::Test::HasFailure();
}

// wardend as a user that may load no program: by pidfds alone, and nothing is missing.
TEST(ReapingAway, WithoutAnyRights) {
  const Victim world(reaps_without_rights);  // with a wardend and clients of its own
  EXPECT_TRUE(world.is_ready()) << "its output is above";
}

}  // namespace
}  // namespace warden::test
