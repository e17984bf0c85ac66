// SPDX-License-Identifier: Apache-2.0
// Clients that die in every way there is: what they held goes, exactly, and nobody waits for them.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <warden/reset.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <future>
#include <random>
#include <thread>
#include <vector>

#include "tests/fault/reaping_victim.h"

namespace warden::test {
namespace {

constexpr std::uint64_t kRecords = 381;
constexpr std::uint64_t kBytesEach = 1 << 20;

std::string removed_line(std::uint64_t records, std::uint64_t bytes, pid_t pid) {
  return fmt::format("✓ Removed {} buffers ({:.2f} MB) from PID {}", records, static_cast<double>(bytes) / (1 << 20),
                     pid);
}

bool log_says(Stack& stack, const std::string& text) {
  return eventually([&] { return stack.daemon_log().find(text) != std::string::npos; });
}

bool is_attached(Session& session, pid_t pid) {
  const auto list = nlohmann::json::parse(*session.sessions_json());
  return std::ranges::any_of(list, [&](const auto& entry) { return entry["pid"] == pid; });
}

class Reaping : public ::testing::TestWithParam<const char*> {
 protected:
  [[nodiscard]] static Stack::Options options() { return {.daemon_arguments = {"--exit-watcher", GetParam()}}; }
};
INSTANTIATE_TEST_SUITE_P(By, Reaping, ::testing::Values("auto", "pidfd"),
                         [](const auto& mechanism) { return std::string(mechanism.param); });

// The three lines with exact figures; the figures of the living are untouched.
TEST_P(Reaping, Killed) {
  Stack stack(options());
  const auto watcher = stack.attach("watcher");
  Victim survivor([&] {
    static Holder held;
    return (held = hold(stack.socket_path(), 7, 512)).ledger != nullptr;
  });
  Victim victim([&] {
    static Holder held;
    return (held = hold(stack.socket_path(), kRecords, kBytesEach)).ledger != nullptr;
  });
  ASSERT_TRUE(survivor.is_ready() && victim.is_ready());
  const pid_t pid = victim.pid();
  EXPECT_EQ(allocations_of(*watcher)["records"], kRecords + 7);
  EXPECT_EQ(allocations_of(*watcher, {.pid = pid})["bytes"], kRecords * kBytesEach);
  victim.kill();
  ASSERT_TRUE(log_says(stack, removed_line(kRecords, kRecords * kBytesEach, pid))) << stack.daemon_log();
  EXPECT_NE(stack.daemon_log().find("⚠️  Detected dead processes"), std::string::npos);
  EXPECT_NE(stack.daemon_log().find(fmt::format("PID {} is dead, removing its buffers... (victim)", pid)),
            std::string::npos);
  EXPECT_EQ(allocations_of(*watcher)["records"], 7U);
  EXPECT_EQ(status_of(*watcher)["allocations"]["bytes"], 7U * 512);
  ASSERT_TRUE(eventually([&] { return !is_attached(*watcher, pid); })) << *watcher->sessions_json();
  EXPECT_TRUE(is_attached(*watcher, survivor.pid()));
}

// A zombie whose parent never waits holds nothing.
TEST_P(Reaping, Zombie) {
  Stack stack(options());
  const auto watcher = stack.attach("watcher");
  Victim victim([&] {
    static Holder held;
    return (held = hold(stack.socket_path(), 3, 64)).ledger != nullptr;
  });
  ASSERT_TRUE(victim.is_ready());
  victim.signal(SIGKILL);
  EXPECT_TRUE(log_says(stack, removed_line(3, 192, victim.pid()))) << stack.daemon_log();
  EXPECT_TRUE(eventually([&] { return !is_attached(*watcher, victim.pid()); })) << *watcher->sessions_json();
  EXPECT_EQ(::kill(victim.pid(), 0), 0) << "still a zombie";
}

// The process goes on as another program: its session and records are gone, and nobody calls it dead.
TEST_P(Reaping, Exec) {
  Stack stack(options());
  const auto watcher = stack.attach("watcher");
  int go[2];
  ASSERT_EQ(::pipe2(go, O_CLOEXEC), 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    const Holder held = hold(stack.socket_path(), 5, 100);
    char sign = 0;
    (void)!::read(go[0], &sign, 1);
    ::execl("/bin/sleep", "sleep", "1000", nullptr);
    ::_exit(1);
  }
  ASSERT_TRUE(eventually([&] { return allocations_of(*watcher)["records"] == 5; }));
  ASSERT_EQ(::write(go[1], "x", 1), 1);
  EXPECT_TRUE(log_says(stack, fmt::format("PID {} has left without dying", pid))) << stack.daemon_log();
  EXPECT_TRUE(log_says(stack, removed_line(5, 500, pid)));
  EXPECT_EQ(allocations_of(*watcher)["records"], 0);
  EXPECT_EQ(stack.daemon_log().find("is dead"), std::string::npos) << stack.daemon_log();
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  ::close(go[0]);
  ::close(go[1]);
}

// In a PID namespace of its own it is known by both numbers.
TEST_P(Reaping, OtherPidNamespace) {
  if (::geteuid() != 0) GTEST_SKIP() << "a PID namespace can be made by root alone";
  Stack stack(options());
  const auto watcher = stack.attach("watcher");
  Victim outer([&] {
    if (::unshare(CLONE_NEWPID) != 0) return false;
    static Victim* const kInner = new Victim([&] {
      static Holder held;
      return (held = hold(stack.socket_path(), 2, 32)).ledger != nullptr;
    });
    return kInner->is_ready();
  });
  ASSERT_TRUE(outer.is_ready());
  const nlohmann::json process = allocations_of(*watcher)["processes"].at(0);
  EXPECT_EQ(process["pid_in_namespace"], 1);
  const pid_t pid = process["pid"];
  EXPECT_NE(pid, 1);
  ASSERT_EQ(::kill(pid, SIGKILL), 0);
  EXPECT_TRUE(log_says(stack, fmt::format("PID {} is dead, removing its buffers... (victim, 1 to itself)", pid)))
      << stack.daemon_log();
  EXPECT_TRUE(log_says(stack, removed_line(2, 64, pid)));
}

// Killed anywhere in a loop of record and release: the log's figures are one of the two states there are.
TEST_P(Reaping, KilledWhileRecording) {
  Stack stack(options());
  const auto watcher = stack.attach("watcher");
  std::mt19937 random(11);
  for (int round = 0; round < 100; ++round) {
    Victim victim([&] {
      static Holder held;
      held = hold(stack.socket_path(), 10, 1 << 20);
      if (!held.ledger) return false;
      std::thread([] {
        for (;;) (void)held.ledger->release(*held.ledger->record(0, AllocationKind::kL1, 0, 4 << 20, 0));
      }).detach();
      return true;
    });
    ASSERT_TRUE(victim.is_ready());
    const pid_t pid = victim.pid();
    ::usleep(static_cast<useconds_t>(random() % 2000));
    victim.kill();
    ASSERT_TRUE(log_says(stack, fmt::format(" MB) from PID {}", pid))) << stack.daemon_log();
    const std::string log = stack.daemon_log();
    EXPECT_TRUE(log.find(removed_line(10, 10U << 20, pid)) != std::string::npos ||
                log.find(removed_line(11, 14U << 20, pid)) != std::string::npos)
        << log;
  }
  EXPECT_EQ(allocations_of(*watcher)["records"], 0);
  ASSERT_TRUE(eventually([&] { return status_of(*watcher)["sessions"] == 1; }));
}

// What the listener below shares with the test.
struct Shared {
  std::atomic<pid_t> other_thread{0};
};

// Listens, and sees to it that nothing but the exit program can tell of its death: its socket stays open in a child,
// and it has a second thread, which the test traces.
bool listen_and_be_hard_to_bury(const std::string& socket_path, Shared& shared) {
  static RawClient* const kClient = new RawClient(socket_path);
  const shm::Listen everything{~std::uint64_t{0}};
  if (!kClient->greet() || !shm::send_packet(kClient->socket(), shm::request_header(shm::MessageKind::kListen, 2),
                                             std::as_bytes(std::span(&everything, 1)))) {
    return false;
  }
  if (!shm::receive_packet(kClient->socket(), kDeadline)) return false;
  const pid_t parent = ::getpid();
  if (::fork() == 0) {
    const UniqueFd whole(static_cast<int>(::syscall(SYS_pidfd_open, parent, 0)));
    pollfd gone{.fd = whole.get(), .events = POLLIN, .revents = 0};
    while (::poll(&gone, 1, -1) < 0) {
    }
    ::_exit(0);
  }
  std::thread([&shared] {
    shared.other_thread.store(::gettid());
    for (;;) ::pause();
  }).detach();
  return test::eventually([&shared] { return shared.other_thread.load() != 0; });
}

// A listener that has begun to die is not waited for: its thread is traced and so its pidfd stays silent, its socket is
// open elsewhere, and still the reset counts it dead and goes on.
TEST(ReapingOrder, ResetGoesOnBeforeTheProcessIsGone) {
  Stack stack;
  const auto watcher = stack.attach("watcher");
  if (status_of(*watcher)["exit_watcher"]["mechanism"] == "pidfd") GTEST_SKIP() << "no exit program may be loaded";
  RawClient reader(stack.socket_path());
  ASSERT_TRUE(reader.greet());
  void* const page = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(page, MAP_FAILED);
  auto& shared = *new (page) Shared;
  Victim victim([&] { return listen_and_be_hard_to_bury(stack.socket_path(), shared); });
  ASSERT_TRUE(victim.is_ready());
  const pid_t traced = shared.other_thread.load();
  ASSERT_EQ(::ptrace(PTRACE_SEIZE, traced, nullptr, nullptr), 0) << std::strerror(errno);
  auto report = std::async(std::launch::async, [&] {
    WarmResetOptions options;
    options.timeout = std::chrono::seconds(30);  // then it would be `timed_out`
    return warm_reset(*stack.attach("resetter"), {}, options);
  });
  ASSERT_TRUE(eventually([&] { return reader.directory().header().active_reset_id.load() != 0; }));
  victim.signal(SIGKILL);
  const auto result = report.get();
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->result, ResetResult::kOk) << result->json;
  ASSERT_EQ(result->listeners.size(), 1U);
  EXPECT_EQ(result->listeners[0].outcome, "died");
  bool closed = false;
  for (std::uint64_t number = 0; number < reader.directory().event_count(); ++number) {
    const auto event = reader.directory().event(number);
    closed = closed ||
             (event && *event && (*event)->pid == victim.pid() && (*event)->kind == shm::EventKind::kSessionClosed);
  }
  EXPECT_FALSE(closed) << "its session ends with its pidfd, not before";
  EXPECT_EQ(::waitpid(traced, nullptr, __WALL), traced);
  EXPECT_TRUE(eventually([&] { return status_of(*watcher)["sessions"] == 2; }));  // the watcher and the reader
  ::munmap(page, sizeof(Shared));
}

// Without descriptors to spare, who comes is told so in one line, and who is there notices nothing.
TEST(ReapingLimits, OutOfDescriptors) {
  Stack stack;
  const auto watcher = stack.attach("watcher");
  const nlohmann::json status = status_of(*watcher);
  const rlimit limit{72, 72};
  ASSERT_EQ(::prlimit(status["worker_pid"].get<pid_t>(), RLIMIT_NOFILE, &limit, nullptr), 0);
  std::vector<std::shared_ptr<Session>> sessions;
  std::string refusal;
  for (int i = 0; i < 72 && refusal.empty(); ++i) {
    auto session = Session::attach({.socket_path = stack.socket_path(), .timeout = std::chrono::seconds(20)});
    if (session) {
      sessions.push_back(std::move(*session));
    } else {
      refusal = session.error().message;
    }
  }
  EXPECT_NE(refusal.find("limit of open files"), std::string::npos) << refusal << stack.daemon_log();
  EXPECT_GT(sessions.size(), 2U);
  EXPECT_TRUE(watcher->devices_json());
  for (const auto& session : sessions) EXPECT_TRUE(session->status_json());
  sessions.clear();
  EXPECT_TRUE(eventually([&] { return Session::attach({.socket_path = stack.socket_path()}).has_value(); }))
      << stack.daemon_log();
}

}  // namespace
}  // namespace warden::test
