// SPDX-License-Identifier: Apache-2.0
// What a client wanted done to the card when it dies is done, in order, however it ends; and nothing else is.
#include <fcntl.h>

#include <atomic>
#include <thread>

#include <warden/reset.h>

#include "tests/fault/death_victim.h"

namespace warden::test {
namespace {

class DeathActionsOf : public ::testing::TestWithParam<const char*> {
 protected:
  Stack stack_{{.daemon_arguments = {"--exit-watcher", GetParam()}}};
  std::shared_ptr<Session> onlooker_ = stack_.attach("onlooker");
  [[nodiscard]] std::uint32_t word(std::uint64_t address) const { return word_at(onlooker_, address); }
};
INSTANTIATE_TEST_SUITE_P(By, DeathActionsOf, ::testing::Values("auto", "pidfd"),
                         [](const auto& mechanism) { return std::string(mechanism.param); });

// Writes in the order of registration, not of the table: the second one stands in the place of one that was removed.
// The cores go into reset after all of them, though that was said first: a death write lets a core run.
TEST_P(DeathActionsOf, TheKilledInOrder) {
  Victim victim([&] {
    Registrar& mine = registrar_of_process();
    if (!mine.open(stack_.socket_path())) return false;
    if (!mine.device->write32(kWorkTile, kSoftResetRegister, kBriscRuns)) return false;
    const auto removed = mine.actions->write32(*mine.device, kWorkTile, {0x1000}, 99);
    if (!mine.actions->reset_cores(*mine.device, kWorkTile, kBrisc | kNcrisc) || !mine.on_death(0x2000, 1))
      return false;
    if (!removed || !mine.actions->remove(*removed) || mine.actions->remove(*removed)) return false;
    std::array<std::byte, kMaxDeathWriteBytes> bytes{};
    bytes.fill(std::byte{0xAB});
    return mine.on_death(0x2000, 2) && mine.on_death(kSoftResetRegister.value, 0) &&
           mine.actions->write(*mine.device, kWorkTile, {0x3001}, bytes).has_value() &&
           mine.actions->teardown(*mine.device, {2, 1}, {0x400}).has_value();
  });
  ASSERT_TRUE(victim.is_ready());
  EXPECT_EQ(word(0x2000), 0U);
  EXPECT_EQ(word(kSoftResetRegister.value), kBriscRuns);
  const auto list = nlohmann::json::parse(*onlooker_->sessions_json());
  EXPECT_TRUE(std::ranges::any_of(list, [](const auto& entry) { return entry["death_actions"] == 6; })) << list;
  victim.signal(SIGKILL);
  ASSERT_TRUE(is_freed(*onlooker_, victim.pid()));
  EXPECT_EQ(word(0x1000), 0U) << "it was removed";
  EXPECT_EQ(word(0x2000), 2U);
  EXPECT_EQ(word(0x3000), 0xABABAB00U);
  EXPECT_EQ(word(0x3020), 0xABU);
  EXPECT_EQ(word_at(onlooker_, 0x400, {2, 1}), kWorkerTeardown);
  EXPECT_EQ(word(kSoftResetRegister.value), 0x40800U) << "BRISC and NCRISC are held, the others as the write left them";
}

TEST_P(DeathActionsOf, OneOfEightThreads) {
  Victim victim([&] {
    Registrar& mine = registrar_of_process();
    if (!mine.open(stack_.socket_path())) return false;
    static std::array<std::atomic<int>, 8> done{};
    for (std::uint32_t thread = 0; thread < done.size(); ++thread) {
      std::thread([&mine, thread] {
        bool all = true;
        for (std::uint32_t i = 0; i < 3000; ++i) {  // all of them at the same table
          const auto passing = mine.actions->write32(*mine.device, kWorkTile, {0x100}, 1);
          all = passing && mine.actions->remove(*passing) && all;
        }
        for (std::uint32_t i = 0; i < 50; ++i) {
          all = mine.on_death(0x4000 + (thread * 50 + i) * 4, thread * 50 + i + 1) && all;
        }
        done[thread] = all ? 1 : 2;
        for (;;) ::pause();
      }).detach();
    }
    if (!eventually([&] { return std::ranges::none_of(done, [](const auto& word) { return word == 0; }); }))
      return false;
    return std::ranges::all_of(done, [](const auto& word) { return word == 1; });
  });
  ASSERT_TRUE(victim.is_ready());
  victim.signal(SIGKILL);
  ASSERT_TRUE(is_freed(*onlooker_, victim.pid()));
  for (std::uint32_t i = 0; i < 400; ++i) ASSERT_EQ(word(0x4000 + i * 4), i + 1);
  EXPECT_EQ(word(0x100), 0U);
}

// A core that was let run runs until then, and no longer.
TEST_P(DeathActionsOf, TheirCoresStop) {
  constexpr std::uint64_t kCounter = 0x100;
  // addi x1, x1, 1; sw x1, 0x100(x0); jal x0, -8
  constexpr std::array<std::uint32_t, 3> kProgram{0x00108093, 0x10102023, 0xFF9FF06F};
  Victim victim([&] {
    Registrar& mine = registrar_of_process();
    return mine.open(stack_.socket_path()) &&
           mine.device->write(kWorkTile, {0}, std::as_bytes(std::span(kProgram))).has_value() &&
           mine.actions->reset_cores(*mine.device, kWorkTile, kBrisc).has_value() &&
           mine.device->write32(kWorkTile, kSoftResetRegister, kBriscRuns).has_value();
  });
  ASSERT_TRUE(victim.is_ready());
  const auto moves = [this] { return word(kCounter) != word(kCounter); };
  ASSERT_TRUE(eventually(moves));
  victim.signal(SIGKILL);
  ASSERT_TRUE(is_freed(*onlooker_, victim.pid()));
  EXPECT_EQ(word(kSoftResetRegister.value), kAllHeld);
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(moves());
}

// A child that ends is not the session, whatever it tries.
TEST_P(DeathActionsOf, NotOfAForkedChild) {
  Victim victim([&] {
    Registrar& mine = registrar_of_process();
    if (!mine.open(stack_.socket_path()) || !mine.on_death(0x1000, 5)) return false;
    const pid_t child = ::fork();
    if (child == 0) ::_exit(mine.on_death(0x1004, 6) ? 1 : 0);
    int status = -1;
    return ::waitpid(child, &status, 0) == child && status == 0;
  });
  ASSERT_TRUE(victim.is_ready());
  ASSERT_TRUE(has_session_of(*onlooker_, victim.pid()));
  EXPECT_EQ(word(0x1000), 0U);
  victim.signal(SIGKILL);
  ASSERT_TRUE(is_freed(*onlooker_, victim.pid()));
  EXPECT_EQ(word(0x1000), 5U);
  EXPECT_EQ(word(0x1004), 0U);
}

TEST_P(DeathActionsOf, OneThatRunsAnotherProgram) {
  int go[2];
  ASSERT_EQ(::pipe2(go, O_CLOEXEC), 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    Registrar& mine = registrar_of_process();
    char sign = 0;
    if (mine.open(stack_.socket_path()) && mine.on_death(0x1000, 5)) (void)!::read(go[0], &sign, 1);
    ::execl("/bin/sleep", "sleep", "1000", nullptr);
    ::_exit(1);
  }
  ASSERT_TRUE(eventually([&] { return has_session_of(*onlooker_, pid); }));
  ASSERT_EQ(::write(go[1], "x", 1), 1);
  ASSERT_TRUE(is_freed(*onlooker_, pid));
  EXPECT_EQ(::kill(pid, 0), 0);
  EXPECT_EQ(word(0x1000), 5U);
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  ::close(go[0]);
  ::close(go[1]);
}

// Leaving is an end as well, though the process lives; its place is free at once.
TEST_P(DeathActionsOf, OneThatLeaves) {
  Registrar mine;
  ASSERT_TRUE(mine.open(stack_.socket_path()));
  ASSERT_TRUE(mine.on_death(0x1000, 5));
  const auto removed = mine.actions->write32(*mine.device, kWorkTile, {0x1004}, 6);
  ASSERT_TRUE(removed && mine.actions->remove(*removed));
  EXPECT_EQ(mine.actions->remove(*removed).error().code, Code::kStale);
  mine = {};
  ASSERT_TRUE(eventually([&] { return status_of(*onlooker_)["sessions"] == 1; }));
  EXPECT_EQ(word(0x1000), 5U);
  EXPECT_EQ(word(0x1004), 0U);
}

// The card was reset since: it is another one, and what was started on it is gone.
TEST_P(DeathActionsOf, NotAfterAReset) {
  Victim victim([&] {
    Registrar& mine = registrar_of_process();
    return mine.open(stack_.socket_path()) && mine.on_death(0x1000, 5);
  });
  ASSERT_TRUE(victim.is_ready());
  const auto report = warm_reset(*onlooker_, {}, {});
  ASSERT_TRUE(report && report->result == ResetResult::kOk);
  victim.signal(SIGKILL);
  ASSERT_TRUE(is_freed(*onlooker_, victim.pid()));
  EXPECT_EQ(word(0x1000), 0U);
  EXPECT_NE(stack_.daemon_log().find("1 death action(s) from before a reset are not done"), std::string::npos)
      << stack_.daemon_log();
}

// Refused when they are registered; the table has room again for each one that is removed.
TEST(DeathActionsTable, IsFull) {
  Stack stack;
  Registrar mine;
  ASSERT_TRUE(mine.open(stack.socket_path()));
  std::vector<DeathActionHandle> handles;
  for (std::uint32_t i = 0; i < kMaxDeathActions; ++i) {
    const auto handle = mine.actions->write32(*mine.device, kWorkTile, {0x1000 + i * 4}, i + 1);
    ASSERT_TRUE(handle);
    handles.push_back(*handle);
  }
  EXPECT_EQ(mine.actions->write32(*mine.device, kWorkTile, {0x1000}, 1).error().code, Code::kBusy);
  ASSERT_TRUE(mine.actions->remove(handles[500]));
  ASSERT_TRUE(mine.actions->write32(*mine.device, kWorkTile, {0x1000}, 77));
  EXPECT_EQ(mine.actions->write32(*mine.device, kWorkTile, {0x1000}, 1).error().code, Code::kBusy);
  const auto onlooker = stack.attach("onlooker");
  mine = {};
  ASSERT_TRUE(eventually([&] { return status_of(*onlooker)["sessions"] == 1; }));
  EXPECT_EQ(word_at(onlooker, 0x1000), 77U);
  EXPECT_EQ(word_at(onlooker, 0x1000 + 500 * 4), 0U);
  EXPECT_EQ(word_at(onlooker, 0x1000 + 1023 * 4), 1024U);
}

TEST(DeathActionsTable, RefusesWhatCantBe) {
  Stack stack;
  Registrar mine;
  Registrar other;
  ASSERT_TRUE(mine.open(stack.socket_path()) && other.open(stack.socket_path()));
  const std::array<std::byte, kMaxDeathWriteBytes + 1> bytes{};
  const auto code_of = [](const auto& result) { return result ? Code{} : result.error().code; };
  const std::span<const std::byte> all(bytes);
  EXPECT_EQ(code_of(mine.actions->write(*mine.device, kWorkTile, {0}, all)), Code::kInvalidArgument);
  EXPECT_EQ(code_of(mine.actions->write(*mine.device, kWorkTile, {0}, all.first(0))), Code::kInvalidArgument);
  EXPECT_EQ(code_of(mine.actions->write32(*mine.device, kWorkTile, {2}, 0)), Code::kInvalidArgument);
  EXPECT_EQ(code_of(mine.actions->reset_cores(*mine.device, kWorkTile, {})), Code::kInvalidArgument);
  EXPECT_EQ(code_of(mine.actions->reset_cores(*mine.device, kWorkTile, {1U << 6})), Code::kInvalidArgument);
  EXPECT_EQ(code_of(mine.actions->write32(*other.device, kWorkTile, {0}, 0)), Code::kInvalidArgument);
}

}  // namespace
}  // namespace warden::test
