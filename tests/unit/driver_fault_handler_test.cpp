// SPDX-License-Identifier: Apache-2.0
// Stale mappings and the handler that outlives accesses to them, with real faults of the kernel's.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <atomic>
#include <csetjmp>
#include <csignal>
#include <cstdlib>
#include <thread>
#include <vector>

#include <warden/unique_fd.h>

#include "driver/chip/block_copy.h"
#include "driver/vfio/fault_handler.h"
#include "driver/vfio/mapping.h"

namespace warden::vfio {
namespace {

constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kBytes = 16 * kPageBytes;

void* shared_memory() {
  const UniqueFd memory(::memfd_create("bar", MFD_CLOEXEC));
  if (::ftruncate(memory.get(), kBytes) != 0) return nullptr;
  return ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
}

// Longer than its file: every access raises SIGBUS, as a card's memory does that is switched off.
void* memory_without_a_file() {
  const UniqueFd memory(::memfd_create("bar", MFD_CLOEXEC));
  return ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
}

class FaultHandler : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!WARDEN_SURVIVABLE_ACCESSES) GTEST_SKIP() << "x86-64 only";
    ASSERT_TRUE(survive_faults());
  }
  MappingList mappings_;
};

// Proves that a mapping reads and writes until its device revokes it, and then neither, while a new one does.
TEST_F(FaultHandler, ARevokedMappingReachesNothing) {
  const Mapping old = mappings_.add(shared_memory(), kBytes);
  EXPECT_TRUE(old.write32(0x10, 0x1234'5678));
  EXPECT_EQ(old.read32(0x10), 0x1234'5678U);
  EXPECT_FALSE(old.is_stale());
  mappings_.revoke_all();
  EXPECT_TRUE(old.is_stale());
  EXPECT_EQ(old.read32(0x10), kNothingThere);
  EXPECT_FALSE(old.write32(0x10, 1));
  const Mapping fresh = mappings_.add(shared_memory(), kBytes);
  EXPECT_TRUE(fresh.write32(0x10, 2));
  EXPECT_EQ(fresh.read32(0x10), 2U);
  EXPECT_FALSE(fresh.is_stale());
}

// Proves that memory that is switched off (SIGBUS) reads as the bus does, although nobody has revoked it.
TEST_F(FaultHandler, MemoryThatIsSwitchedOffReadsAllOnes) {
  const Mapping off = mappings_.add(memory_without_a_file(), kBytes);
  EXPECT_EQ(off.read32(0), kNothingThere);
  EXPECT_FALSE(off.write32(kBytes - 4, 1));
  EXPECT_FALSE(off.is_stale());
}

// Proves that the registers around a mended access hold what they held: the sum of many is right.
TEST_F(FaultHandler, OnlyTheLoadedRegisterChanges) {
  const Mapping good = mappings_.add(shared_memory(), kBytes);
  const Mapping off = mappings_.add(memory_without_a_file(), kBytes);
  std::uint64_t sum = 0;
  int lost = 0;
  for (std::uint32_t i = 0; i < 1000; ++i) {
    ASSERT_TRUE(good.write32(i * 4, i));
    if (!off.write32(i * 4, i)) ++lost;
    sum += std::uint64_t{good.read32(i * 4)} + off.read32(i * 4);
  }
  EXPECT_EQ(lost, 1000);
  EXPECT_EQ(sum, 999U * 1000 / 2 + 1000 * std::uint64_t{kNothingThere});
}

// Proves that a copy ends where its range faults, at every size and from every thread, and that the next one works.
TEST_F(FaultHandler, CopiesEndAtAFault) {
  const Mapping off = mappings_.add(memory_without_a_file(), kBytes);
  const Mapping good = mappings_.add(shared_memory(), kBytes);
  const auto copy_all = [&] {
    std::vector<std::byte> host(kBytes);
    for (const std::size_t size : {1UL, 3UL, 4UL, 31UL, 4096UL, kBytes}) {
      const std::span piece = std::span(host).first(size);
      const CopyGuard lost(off.base(), off.size_bytes());
      EXPECT_FALSE(lost.run([&] { chip::copy_from_card(piece, off.base()); })) << size;
      EXPECT_FALSE(lost.run([&] { chip::copy_to_card(off.base(), piece); })) << size;
      const CopyGuard held(good.base(), good.size_bytes());
      EXPECT_TRUE(held.run([&] { chip::copy_from_card(piece, good.base()); })) << size;
    }
  };
  copy_all();
  std::thread(copy_all).join();
}

// Proves that no access is lost or torn when mappings are revoked under threads that use them: each reads its own value
// until it reads nothing.
TEST_F(FaultHandler, RevokedUnderItsUsers) {
  for (int round = 0; round < 50; ++round) {
    const Mapping mapping = mappings_.add(shared_memory(), kBytes);
    for (std::size_t at = 0; at < kBytes; at += 4) mapping.write32(at, 7);
    std::atomic<int> begun{0};
    std::atomic<int> wrong{0};
    const auto use = [&] {
      bool first = true;
      for (std::size_t at = 0;; at = (at + 4) % kBytes) {
        const std::uint32_t seen = mapping.read32(at);
        if (first) begun.fetch_add(1);
        first = false;
        if (seen == kNothingThere) break;
        if (seen != 7) wrong.fetch_add(1);
      }
      if (!mapping.is_stale()) wrong.fetch_add(1);
    };
    std::thread one(use);
    std::thread other(use);
    while (begun.load() < 2) std::this_thread::yield();
    mappings_.revoke_all();
    one.join();
    other.join();
    ASSERT_EQ(wrong.load(), 0) << "round " << round;
  }
}

using FaultHandlerDeathTest = FaultHandler;

// Proves that everybody else's faults kill as if there were no handler, also on the same memory.
TEST_F(FaultHandlerDeathTest, OtherFaultsAreNotMended) {
  const Mapping off = mappings_.add(memory_without_a_file(), kBytes);
  EXPECT_DEATH(*static_cast<volatile std::uint32_t*>(off.base()) = 1, "");
  EXPECT_DEATH(::raise(SIGSEGV), "");
}

sigjmp_buf g_back;

// In a process image of its own, where nobody has installed ours yet. 0: all as it should be.
int chain_to_a_former_handler() {
  struct sigaction former{};
  former.sa_handler = [](int) { ::siglongjmp(g_back, 1); };
  ::sigaction(SIGBUS, &former, nullptr);
  if (!survive_faults()) return 1;
  const Mapping off(memory_without_a_file(), kBytes);
  if (off.read32(0) != kNothingThere) return 2;
  if (sigsetjmp(g_back, 1) == 0) {
    *static_cast<volatile std::uint32_t*>(off.base()) = 1;
    return 3;
  }
  return 0;
}

// Proves that a handler that was there before still gets what is not ours, and nothing of what is.
TEST(FaultHandlerChainDeathTest, FormerHandlerGetsTheRest) {
  if (!WARDEN_SURVIVABLE_ACCESSES) GTEST_SKIP() << "x86-64 only";
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(std::exit(chain_to_a_former_handler()), ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace warden::vfio
