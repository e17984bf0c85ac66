// SPDX-License-Identifier: Apache-2.0
// Killed at any moment: the client while it registers and removes, and wardend's worker while it does what was
// registered. WARDEN_KILLS (default 150) says how many clients are killed.
#include <sys/mman.h>

#include <cstdlib>
#include <deque>
#include <random>

#include "tests/fault/death_victim.h"

namespace warden::test {
namespace {

constexpr std::uint32_t kVictims = 4;
constexpr std::uint32_t kActions = 300;

// Registers words for places of its own, and the reset of a tile of its own.
bool register_part(Registrar& mine, std::uint32_t number, std::uint32_t base) {
  const Tile tile{static_cast<std::uint8_t>(number + 1), 2};
  bool done = mine.device->write32(tile, kSoftResetRegister, kBriscRuns).has_value() &&
              mine.actions->reset_cores(*mine.device, tile, kTensixCores).has_value();
  for (std::uint32_t i = number * kActions; i < (number + 1) * kActions && done; ++i) {
    done = mine.on_death(0x1000 + i * 4, base + i);
  }
  return done;
}

void expect_all_done(const std::shared_ptr<Session>& onlooker, std::uint32_t base) {
  auto device = Device::open(onlooker, "0");
  ASSERT_TRUE(device);
  std::vector<std::uint32_t> words(kVictims * kActions);
  ASSERT_TRUE(device->read(kWorkTile, {0x1000}, std::as_writable_bytes(std::span(words))));
  for (std::uint32_t i = 0; i < words.size(); ++i) ASSERT_EQ(words[i], base + i);
  for (std::uint8_t x = 1; x <= kVictims; ++x) {
    EXPECT_EQ(word_at(onlooker, kSoftResetRegister.value, {x, 2}), kAllHeld);
  }
}

// The worker dies again and again while the card is cleaned of a few clients: it ends, with everything done.
TEST(DeathKilled, TheWorkerWhileItCleans) {
  std::mt19937 random(11);
  std::optional<Stack> stack;
  int killed_while_cleaning = 0;
  for (std::uint32_t round = 0; round < 15; ++round) {
    if (round % 3 == 0) stack.emplace();  // wardend gives up when its workers die too often
    const auto onlooker = stack->attach("onlooker");
    const std::uint32_t base = round * 10'000;
    std::vector<Victim> victims;
    for (std::uint32_t number = 0; number < kVictims; ++number) {
      victims.emplace_back([&] {
        Registrar& mine = registrar_of_process();
        return mine.open(stack->socket_path()) && register_part(mine, number, base);
      });
      ASSERT_TRUE(victims.back().is_ready());
    }
    for (Victim& victim : victims) victim.signal(SIGKILL);
    for (int kills = 0; kills < 3; ++kills) {
      const nlohmann::json before = status_of(*onlooker);
      ::usleep(static_cast<useconds_t>(random() % 20'000));
      ASSERT_EQ(::kill(before["worker_pid"].get<pid_t>(), SIGKILL), 0);
      ASSERT_TRUE(eventually([&] { return status_of(*onlooker)["worker_starts"] > before["worker_starts"]; }));
      if (status_of(*onlooker)["sessions"] != 1) ++killed_while_cleaning;
    }
    ASSERT_TRUE(eventually([&] { return status_of(*onlooker)["sessions"] == 1; })) << *onlooker->sessions_json();
    EXPECT_EQ(status_of(*onlooker)["cleaning"], 0);
    EXPECT_TRUE(status_of(*onlooker)["quarantine"].empty());
    ASSERT_NO_FATAL_FAILURE(expect_all_done(onlooker, base)) << "round " << round;
  }
  EXPECT_GT(killed_while_cleaning, 0) << "no kill was in time";
}

// What a client that is killed has said of itself, in memory that outlives it.
struct Progress {
  std::atomic<std::uint64_t> added;     // actions up to this one were registered
  std::atomic<std::uint64_t> removing;  // up to this one, removal was begun
  std::atomic<std::uint64_t> removed;
};

constexpr std::uint64_t kPlaces = 512;
constexpr std::uint64_t kKept = 200;
constexpr std::uint64_t kBase = 0x8000;
using Place = std::array<std::uint64_t, kMaxDeathWriteBytes / sizeof(std::uint64_t)>;

// Registers one action after the other, each for a place of its own, and keeps the newest.
void register_for_ever(const Registrar& mine, Progress& progress) {
  std::deque<DeathActionHandle> kept;
  for (std::uint64_t number = 1;; ++number) {
    Place words;
    words.fill(number);
    const auto handle = mine.actions->write(*mine.device, kWorkTile, {kBase + number % kPlaces * sizeof(Place)},
                                            std::as_bytes(std::span(words)));
    if (!handle) ::_exit(1);
    kept.push_back(*handle);
    progress.added = number;
    if (kept.size() < kKept) continue;
    progress.removing = number - kKept + 1;
    if (!mine.actions->remove(kept.front())) ::_exit(1);
    kept.pop_front();
    progress.removed = number - kKept + 1;
  }
}

// Every action that was registered and not removed is done; none that was removed; none half.
TEST(DeathKilled, TheClientWhileItRegisters) {
  const char* wanted = std::getenv("WARDEN_KILLS");
  const long kills = wanted == nullptr ? 150 : std::strtol(wanted, nullptr, 10);
  auto* progress = static_cast<Progress*>(
      ::mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(progress, MAP_FAILED);
  Stack stack;
  const auto onlooker = stack.attach("onlooker");
  auto device = Device::open(onlooker, "0");
  ASSERT_TRUE(device);
  std::mt19937 random(5);
  std::uint64_t all = 0;
  for (long kill = 0; kill < kills; ++kill) {
    std::vector<Place> places(kPlaces);
    ASSERT_TRUE(device->write(kWorkTile, {kBase}, std::as_bytes(std::span(places))));
    progress->added = progress->removing = progress->removed = 0;
    const pid_t pid = ::fork();
    if (pid == 0) {
      Registrar mine;
      if (!mine.open(stack.socket_path())) ::_exit(1);
      register_for_ever(mine, *progress);
    }
    // By what it has done, however slow it is, and then at any moment.
    const std::uint64_t enough = 1 + random() % (4 * kKept);
    ASSERT_TRUE(eventually([&] { return progress->added >= enough; }));
    ::usleep(static_cast<useconds_t>(random() % 2000));
    ::kill(pid, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    ASSERT_TRUE(WIFSIGNALED(status));
    ASSERT_TRUE(is_freed(*onlooker, pid));
    ASSERT_TRUE(device->read(kWorkTile, {kBase}, std::as_writable_bytes(std::span(places))));
    for (const Place& place : places) {
      ASSERT_TRUE(std::ranges::all_of(place, [&](std::uint64_t word) { return word == place[0]; })) << "half an action";
    }
    const std::uint64_t added = progress->added;
    for (std::uint64_t number = added < kPlaces ? 1 : added - kPlaces + 3; number <= added; ++number) {
      const std::uint64_t found = places[number % kPlaces][0];
      if (number > progress->removing) {
        ASSERT_EQ(found, number);
      } else if (number <= progress->removed) {
        ASSERT_EQ(found, 0U) << "number " << number << " was removed";
      }
    }
    all += added;
  }
  EXPECT_GT(all, static_cast<std::uint64_t>(kills) * kKept) << "hardly anything was registered";
  ::munmap(progress, sizeof(Progress));
}

}  // namespace
}  // namespace warden::test
