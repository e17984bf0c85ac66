// SPDX-License-Identifier: Apache-2.0
// What only a program in the kernel can do, and what happens when it fails to: the liveness page, a full ring, a full
// map, an exit that it was not shown, and a successor that goes on with it.
#include <bpf/bpf.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "bpf/exit_watch.h"
#include "bpf/pidfd_set.h"
#include "shm/liveness_page.h"
#include "tests/fault/exit_watcher_fixture.h"
#include "tools/wardend/keeper_link.h"

namespace warden::test {

namespace {

using Times = std::map<std::uint64_t, int>;

void count(Times& told, const std::vector<bpf::Death>& deaths) {
  for (const auto& death : deaths) ++told[death.id];
}

Times each_once(std::uint64_t last_id) {
  Times told;
  for (std::uint64_t id = 1; id <= last_id; ++id) told[id] = 1;
  return told;
}

// As wardend's keeper does. False: the worker hung up before.
bool await_kept(int socket, daemon::KeptTable& table, const std::string& name) {
  pollfd ready{.fd = socket, .events = POLLIN, .revents = 0};
  while (!table.contains(name)) {
    if (::poll(&ready, 1, 60'000) <= 0 || !daemon::drain_keeper_link(socket, table)) return table.contains(name);
  }
  return true;
}

class ExitHookTest : public ExitWatcherTest {
 protected:
  // The map of watched processes, to meddle with.
  [[nodiscard]] int watched_map() const { return watcher_->descriptors().fds.at(3); }
  [[nodiscard]] bpf::ExitKey key_of(pid_t pid) const {
    bpf::ExitKey key{};
    bpf::ExitKey next{};
    for (const bpf::ExitKey* from = nullptr; bpf_map_get_next_key(watched_map(), from, &next) == 0; from = &key) {
      key = next;
      if (key.tgid == static_cast<__u32>(pid)) return key;
    }
    ADD_FAILURE() << "process " << pid << " is not in the map";
    return {};
  }
};

// Holds so much memory that it is long dead before its pidfd says so.
Victim slow_to_die() {
  Gate touched;
  Victim victim([&] {
    const std::vector<char> memory(std::size_t{1} << 28, 'x');
    touched.open();
    sleep_for_ever();
  });
  touched.wait();
  return victim;
}

INSTANTIATE_TEST_SUITE_P(With, ExitHookTest,
                         testing::Values(bpf::Mechanism::kTpBtf, bpf::Mechanism::kFentry, bpf::Mechanism::kTracepoint),
                         [](const auto& with) { return std::string(to_string(with.param)); });

// Nobody calls take(): it is the kernel that writes.
TEST_P(ExitHookTest, TheLivenessPageSaysSoByItself) {
  const auto page = shm::LivenessPage::map(watcher_->liveness_fd(), watcher_->liveness_slots());
  ASSERT_TRUE(page) << page.error().message;
  const Victim victim(sleep_for_ever);
  const Victim other(sleep_for_ever);
  const UniqueFd second(static_cast<int>(::syscall(SYS_pidfd_open, victim.pid(), 0)));
  watch(70, victim.pidfd(), 3);
  watch(71, second.get(), watcher_->liveness_slots() - 1);
  watch(72, other.pidfd(), 4);
  EXPECT_FALSE(page->is_dead(3, 70));
  victim.kill();
  victim.await_end();
  if (watcher_->counters().missed_runs > 0) GTEST_SKIP() << "the kernel did not show this exit to the program";
  EXPECT_TRUE(page->is_dead(3, 70));
  EXPECT_TRUE(page->is_dead(watcher_->liveness_slots() - 1, 71));
  EXPECT_FALSE(page->is_dead(3, 71)) << "the slot's next session";
  EXPECT_FALSE(page->is_dead(4, 72));
  EXPECT_FALSE(page->is_dead(watcher_->liveness_slots(), 0)) << "outside";
}

// By nobody but the kernel.
TEST_P(ExitHookTest, TheLivenessPageCannotBeWritten) {
  const int fd = watcher_->liveness_fd();
  EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
  void* page = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd, 0);
  ASSERT_NE(page, MAP_FAILED);
  EXPECT_NE(::mprotect(page, 4096, PROT_READ | PROT_WRITE), 0);
  ::munmap(page, 4096);
  const std::uint32_t slot = 0;
  const std::uint64_t id = 1;
  EXPECT_NE(::bpf_map_update_elem(fd, &slot, &id, BPF_ANY), 0);
}

TEST_P(ExitHookTest, ASlotMustBeOfThePage) {
  const Victim victim(sleep_for_ever);
  EXPECT_FALSE(watcher_->watch({.id = 7, .slot = watcher_->liveness_slots(), .pidfd = victim.pidfd()}));
}

// More deaths than the ring has room for, and nobody reads meanwhile.
TEST_P(ExitHookTest, AFullRingIsRepaired) {
  constexpr std::uint64_t kCount = 300;
  open({.ring_bytes = 4096});
  Gate gate;
  std::vector<Victim> victims;
  for (std::uint64_t id = 1; id <= kCount; ++id) {
    victims.emplace_back([&] { gate.wait(); });
    watch(id, victims.back().pidfd(), static_cast<std::uint32_t>(id));
  }
  gate.open();
  for (const Victim& victim : victims) victim.await_end();
  Times told;
  auto deaths = take();  // what is in the ring is not kept waiting
  const auto repaired = take();
  deaths.insert(deaths.end(), repaired.begin(), repaired.end());
  count(told, deaths);
  EXPECT_EQ(told, each_once(kCount)) << "all the others, by one look";
  const auto counters = watcher_->counters();
  const auto by_hook = static_cast<std::uint64_t>(std::ranges::count_if(deaths, &bpf::Death::by_hook));
  EXPECT_GT(by_hook, 0U);
  EXPECT_GT(counters.dropped_events, 0U);
  EXPECT_EQ(counters.rescans, 1U);
  EXPECT_EQ(counters.dropped_events + counters.missed_runs + by_hook, kCount);
  EXPECT_EQ(counters.not_by_hook, kCount - by_hook);
  EXPECT_TRUE(take().empty());
}

// A dropped event is repaired before the process has gone: its key is missing from the map.
TEST_P(ExitHookTest, WhoseEventFoundNoRoomIsToldAtOnce) {
  open({.ring_bytes = 4096});
  Gate gate;
  std::vector<Victim> victims;
  for (std::uint64_t id = 1; id <= 200; ++id) {
    victims.emplace_back([&] { gate.wait(); });
    watch(id, victims.back().pidfd());
  }
  const Victim alive(sleep_for_ever);
  watch(1000, alive.pidfd());
  // As if the program had deleted it while the process is still on its way out.
  const bpf::ExitKey key = key_of(alive.pid());
  ASSERT_EQ(bpf_map_delete_elem(watched_map(), &key), 0);
  gate.open();
  for (const Victim& victim : victims) victim.await_end();
  Times told;
  count(told, take());
  EXPECT_FALSE(told.contains(1000));
  EXPECT_TRUE(bpf::is_readable(watcher_->fd())) << "there is more to say";
  count(told, take());
  Times wanted = each_once(200);
  wanted[1000] = 1;
  EXPECT_EQ(told, wanted);
}

// The authority says it.
TEST_P(ExitHookTest, AnExitThatTheProgramDoesNotSee) {
  const Victim victim(sleep_for_ever);
  watch(7, victim.pidfd(), 1);
  const bpf::ExitKey key = key_of(victim.pid());
  ASSERT_EQ(bpf_map_delete_elem(watched_map(), &key), 0);
  victim.kill();
  const bpf::Death death = expect_death(7);
  EXPECT_FALSE(death.by_hook);
  EXPECT_EQ(watcher_->counters().not_by_hook, 1U);
}

// The number alone does not make it the same process.
TEST_P(ExitHookTest, AStaleKeyOfTheSameNumber) {
  const auto page = shm::LivenessPage::map(watcher_->liveness_fd(), watcher_->liveness_slots());
  ASSERT_TRUE(page) << page.error().message;
  const Victim victim(sleep_for_ever);
  watch(7, victim.pidfd(), 1);
  bpf::ExitKey key = key_of(victim.pid());
  ASSERT_EQ(bpf_map_delete_elem(watched_map(), &key), 0);
  const Victim later(sleep_for_ever);
  watch(8, later.pidfd());
  EXPECT_LT(key.start_ns, key_of(later.pid()).start_ns);
  key.start_ns -= 1;  // an earlier process whose exit the program has missed
  const bpf::WatchedProcess stale{.words = {{.id = 6, .slot_and_tgid = std::uint64_t{key.tgid} << 32 | 1}}};
  ASSERT_EQ(bpf_map_update_elem(watched_map(), &key, &stale, BPF_ANY), 0);
  victim.kill();
  EXPECT_FALSE(expect_death(7).by_hook);
  EXPECT_FALSE(page->is_dead(1, 6));
}

// Behind the hook, and far from having given back its memory: nothing but its threads' number says so.
TEST_P(ExitHookTest, WatchedAfterItHasBegunToDie) {
  const Victim victim = slow_to_die();
  const UniqueFd again(static_cast<int>(::syscall(SYS_pidfd_open, victim.pid(), 0)));
  watch(7, victim.pidfd());
  victim.kill();
  EXPECT_EQ(await(1).front().id, 7U);
  watch(8, again.get());
  EXPECT_TRUE(bpf::is_readable(watcher_->fd()));
  const auto deaths = take();
  ASSERT_EQ(deaths.size(), 1U) << "now, not when its pidfd says so";
  EXPECT_EQ(deaths.front().id, 8U);
}

// While map updates are under way on its processor the kernel may pass a program over, and counts that.
TEST_P(ExitHookTest, ExitsThatTheKernelPassesOver) {
  const UniqueFd map(bpf_map_create(BPF_MAP_TYPE_HASH, "hammered", 4, 4, 16, nullptr));
  ASSERT_TRUE(map);
  std::atomic<bool> stop{false};
  const auto hammer = [&] {
    for (std::uint32_t key = 0; !stop.load(); key = (key + 1) % 16) {
      bpf_map_update_elem(map.get(), &key, &key, BPF_ANY);
    }
  };
  constexpr std::uint64_t kCount = 500;
  Gate gate;
  std::vector<Victim> victims;
  for (std::uint64_t id = 1; id <= kCount; ++id) {
    victims.emplace_back([&] { gate.wait(); });
    watch(id, victims.back().pidfd(), static_cast<std::uint32_t>(id));
  }
  {
    const std::jthread first(hammer);
    const std::jthread second(hammer);
    gate.open();
    Times told;
    count(told, await(kCount));
    EXPECT_EQ(told, each_once(kCount));
    stop = true;
  }
  const auto counters = watcher_->counters();
  RecordProperty("missed_runs", std::to_string(counters.missed_runs));
  EXPECT_EQ(counters.rescans > 0, counters.missed_runs > 0);
  EXPECT_TRUE(take().empty());
}

TEST_P(ExitHookTest, BeyondTheCapacityPidfdsServe) {
  open({.capacity = 2});
  std::vector<Victim> victims;
  for (std::uint64_t id = 1; id <= 5; ++id) {
    victims.emplace_back(sleep_for_ever);
    watch(id, victims.back().pidfd());
  }
  EXPECT_EQ(watcher_->counters().unknown_to_hook, 3U);
  for (const Victim& victim : victims) victim.kill();
  Times told;
  count(told, await(5));
  EXPECT_EQ(told, each_once(5));
  EXPECT_EQ(watcher_->counters().unknown_to_hook, 0U);
}

// A slot is free at once when its process lives, and when it dies only with its pidfd.
TEST_P(ExitHookTest, ADeadSessionsSlotIsFreeWithItsPidfd) {
  const Victim victim = slow_to_die();
  watch(7, victim.pidfd(), 1);
  victim.kill();
  EXPECT_TRUE(await(1).front().by_hook || watcher_->counters().missed_runs > 0);
  const bool free = watcher_->forget(7);
  EXPECT_TRUE(!free || bpf::is_readable(victim.pidfd()));
  victim.await_end();
  EXPECT_TRUE(watcher_->forget(7)) << "forgotten already";
}

// The first owner is killed with deaths in the ring, some taken and never acted upon, some still to come.
TEST_P(ExitHookTest, ASuccessorGoesOn) {
  constexpr std::uint64_t kCount = 40;
  std::vector<Victim> victims;
  for (std::uint64_t id = 1; id <= kCount; ++id) victims.emplace_back(sleep_for_ever);
  auto link = daemon::make_keeper_link();
  ASSERT_TRUE(link) << link.error().message;
  watcher_.reset();
  Gate die_first;
  const Victim owner([&] {
    daemon::KeeperLink keeper(std::move(link->worker));
    open({});
    for (std::uint64_t id = 1; id <= kCount; ++id) {
      watch(id, victims[id - 1].pidfd(), static_cast<std::uint32_t>(id));
    }
    const bpf::Descriptors kept = watcher_->descriptors();
    if (!keeper.keep("exit watcher", kept.blob, kept.fds)) return;
    die_first.wait();
    static_cast<void>(await(10));
    static_cast<void>(keeper.keep("ten were taken", ""));
    sleep_for_ever();
  });
  link->worker.reset();
  daemon::KeptTable kept;
  ASSERT_TRUE(await_kept(link->keeper.get(), kept, "exit watcher"));
  for (std::uint64_t id = 1; id <= 10; ++id) victims[id - 1].kill();
  die_first.open();
  ASSERT_TRUE(await_kept(link->keeper.get(), kept, "ten were taken"));
  for (std::uint64_t id = 11; id <= 20; ++id) victims[id - 1].kill();
  owner.kill();
  owner.await_end();
  for (std::uint64_t id = 21; id <= 30; ++id) victims[id - 1].kill();

  auto& handed = kept["exit watcher"];
  auto adopted = bpf::ExitWatcher::adopt(handed.blob, std::move(handed.fds));
  ASSERT_TRUE(adopted) << adopted.error().message;
  watcher_ = std::move(*adopted);
  EXPECT_EQ(watcher_->mechanism(), GetParam());
  for (std::uint64_t id = 1; id <= kCount; ++id) watch(id, victims[id - 1].pidfd(), static_cast<std::uint32_t>(id));
  Times told;
  count(told, await(30));
  EXPECT_EQ(told, each_once(30));
  for (std::uint64_t id = 31; id <= kCount; ++id) victims[id - 1].kill();
  const auto rest = await(10);
  count(told, rest);
  EXPECT_EQ(told, each_once(kCount));
  EXPECT_TRUE(watcher_->counters().missed_runs > 0 || std::ranges::all_of(rest, &bpf::Death::by_hook));
  for (const Victim& victim : victims) {
    if (victim.state() != 'Z') victim.await_end();
  }
  EXPECT_TRUE(take().empty());
}

TEST_P(ExitHookTest, WhatIsNotOursIsNotAdopted) {
  const auto adopted = bpf::ExitWatcher::adopt("exit programs 0 tp_btf", {});
  ASSERT_FALSE(adopted);
  EXPECT_EQ(adopted.error().code, Code::kInvalidArgument);
  EXPECT_FALSE(bpf::ExitWatcher::adopt(watcher_->descriptors().blob, {}));
}

}  // namespace

}  // namespace warden::test
