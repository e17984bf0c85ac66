// SPDX-License-Identifier: Apache-2.0
// DMA by the kernel's VFIO: both ways through the IOMMU, and nowhere else; the limits, and how they are told.
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <fstream>

#include "driver/chip/chip.h"
#include "tests/support/host_counter.h"
#include "tests/vm/kernel_card.h"

namespace warden::vm {
namespace {

using ::testing::HasSubstr;
using vfio::DmaAccess;
using vfio::Iova;

constexpr std::uint64_t kPage = 4096;
constexpr Iova kHere{0x10'0000};
constexpr Iova kThere{0x20'0000};
constexpr std::uint32_t kSecret = 0x5EC2'E700;

class KernelDma : public ::testing::TestWithParam<KernelInterface> {
 protected:
  static void fill(const SharedMemory& memory, std::uint32_t first) {
    for (std::size_t i = 0; i < memory.size_bytes() / 4; ++i) memory.word(i) = first + static_cast<std::uint32_t>(i);
  }
  static bool holds(const SharedMemory& memory, std::uint32_t first, std::size_t words) {
    for (std::size_t i = 0; i < words; ++i) {
      if (memory.word(i) != first + i) return false;
    }
    return true;
  }
};
INSTANTIATE_TEST_SUITE_P(By, KernelDma, ::testing::ValuesIn(interfaces()), name_of);

constexpr std::size_t kWords = Edu::kBufferBytes / 4;

// Proves that a card reads and writes exactly the memory that was mapped for it, at its address of it.
TEST_P(KernelDma, GoesBothWays) {
  Edu edu("WARDEN_VM_EDU", GetParam());
  const SharedMemory source(2 * kPage);
  const SharedMemory target(kPage);
  fill(source, kSecret);
  fill(target, 0);
  ASSERT_TRUE(edu.device().dma_map(kHere, kPage, source.file(), kPage, DmaAccess::kCardReads));
  ASSERT_TRUE(edu.device().dma_map(kThere, kPage, target.file(), 0, DmaAccess::kCardWrites));
  edu.copy_from_host(kHere, Edu::kBufferBytes);
  edu.copy_to_host(kThere, Edu::kBufferBytes);
  EXPECT_TRUE(holds(target, kSecret + kPage / 4, kWords)) << target.word(0);
  EXPECT_EQ(target.word(kWords), kWords) << "more than was copied";
}

// Proves that the IOMMU lets a card neither read nor write what is not mapped, not mapped any more, or mapped for the
// other direction, and that the card goes on to work.
TEST_P(KernelDma, IsBlockedElsewhere) {
  Edu edu("WARDEN_VM_EDU", GetParam());
  const SharedMemory secret(kPage);
  const SharedMemory target(kPage);
  fill(secret, kSecret);
  fill(target, 0);
  ASSERT_TRUE(edu.device().dma_map(kThere, kPage, target.file(), 0, DmaAccess::kBoth));
  ASSERT_TRUE(edu.device().dma_map(kHere, kPage, secret.file(), 0, DmaAccess::kCardReads));
  edu.copy_from_host(kThere, Edu::kBufferBytes);  // from now on its buffer counts from 0
  edu.copy_to_host(kHere, Edu::kBufferBytes);
  EXPECT_TRUE(holds(secret, kSecret, kWords)) << "written, though mapped for reading alone";
  ASSERT_TRUE(edu.device().dma_unmap(kHere, kPage));
  edu.copy_to_host(kHere, Edu::kBufferBytes);
  EXPECT_TRUE(holds(secret, kSecret, kWords)) << "written, though unmapped";
  edu.copy_from_host(kHere, Edu::kBufferBytes);
  edu.copy_to_host(kThere, Edu::kBufferBytes);
  EXPECT_NE(target.word(0), kSecret) << "read, though unmapped";
  fill(target, 7);
  edu.copy_from_host(kThere, Edu::kBufferBytes);
  fill(target, 0);
  edu.copy_to_host(kThere, Edu::kBufferBytes);
  EXPECT_TRUE(holds(target, 7, kWords));
}

// Proves that a core on the simulated card writes to the host until the memory is unmapped, and not one word after:
// from dma_unmap()'s return on, whatever the core goes on to do.
TEST_P(KernelDma, OfTheCardsCoresEndsWithTheMapping) {
  auto chip =
      value_of(chip::open(value_of(vfio::open(address_of("WARDEN_VM_CARD"), {.kernel_interface = GetParam()}))));
  const SharedMemory memory(kPage);
  const chip::HostReach reach = chip->host_reach();
  const Iova iova{reach.first.value + 0x10'0000};
  ASSERT_TRUE(chip->device().dma_map(iova, kPage, memory.file(), 0, DmaAccess::kBoth));
  const auto card = chip->handle();
  const chip::Tile tile{1, 1};
  constexpr chip::CardAddress kSoftReset{0xFFB121B0};
  const auto program = test::counting_to_host(reach.address.value + iova.value);
  ASSERT_TRUE(card.write32(tile, kSoftReset, 0x47800));
  ASSERT_TRUE(card.write(tile, chip::CardAddress{0}, std::as_bytes(std::span(program))));
  ASSERT_TRUE(card.write32(tile, kSoftReset, 0x47000));
  const auto counted = [&] { return card.read32(tile, chip::CardAddress{test::kHostCounter}).value(); };
  ASSERT_TRUE(test::eventually([&] { return memory.word(0) > 100; })) << counted();
  ASSERT_TRUE(chip->device().dma_unmap(iova, kPage));
  const std::uint32_t last = memory.word(0);
  const std::uint32_t then = counted();
  ASSERT_TRUE(test::eventually([&] { return counted() > then + 100; })) << "nothing would write any more";
  EXPECT_EQ(memory.word(0), last);
  ASSERT_TRUE(card.write32(tile, kSoftReset, 0x47800));
}

// Proves that reserved addresses are told beforehand, refused by name, and that what is told can be mapped up to its
// very ends.
TEST_P(KernelDma, HonoursReservedRegions) {
  auto device = value_of(vfio::open(address_of("WARDEN_VM_EDU"), {.kernel_interface = GetParam()}));
  const SharedMemory memory(2 * kPage);
  const auto limits = value_of(device->dma_limits());
  ASSERT_GE(limits.usable.size(), 2U);
  EXPECT_EQ(limits.usable[0].last, Iova{0xFEDF'FFFF});
  EXPECT_EQ(limits.usable[1].first, Iova{0xFEF0'0000});
  const auto across = device->dma_map(Iova{0xFEDF'F000}, 2 * kPage, memory.file(), 0, DmaAccess::kBoth);
  ASSERT_FALSE(across);
  EXPECT_EQ(across.error().code, Code::kInvalidArgument);
  EXPECT_THAT(across.error().message, HasSubstr("0xfee00000 to 0xfeefffff are reserved (msi)"));
  const auto beyond = device->dma_map(Iova{1ULL << 60}, kPage, memory.file(), 0, DmaAccess::kBoth);
  ASSERT_FALSE(beyond);
  EXPECT_THAT(beyond.error().message, HasSubstr("the last is"));
  for (const auto& range : limits.usable) {
    for (const std::uint64_t at : {range.first.value, range.last.value - kPage + 1}) {
      const auto mapped = device->dma_map(Iova{at}, kPage, memory.file(), 0, DmaAccess::kBoth);
      EXPECT_TRUE(mapped) << mapped.error().message;
    }
  }
}

// Proves that memory that the kernel can't hold on to, and addresses that are taken, are refused with the reason.
TEST_P(KernelDma, RefusesWhatCannotBe) {
  auto device = value_of(vfio::open(address_of("WARDEN_VM_EDU"), {.kernel_interface = GetParam()}));
  const SharedMemory memory(kPage);
  const auto beyond = device->dma_map(kHere, 2 * kPage, memory.file(), 0, DmaAccess::kBoth);
  ASSERT_FALSE(beyond);
  EXPECT_THAT(beyond.error().message, HasSubstr("inside of its size"));
  ASSERT_TRUE(device->dma_map(kHere, kPage, memory.file(), 0, DmaAccess::kBoth));
  const auto twice = device->dma_map(kHere, kPage, memory.file(), 0, DmaAccess::kBoth);
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().code, Code::kBusy);
  EXPECT_EQ(device->dma_unmap(kThere, kPage).error().code, Code::kNotFound);
}

// Proves that the kernel's limit on the number of mappings is counted down, explained when it is met, and that an
// unmapping makes room.
TEST(KernelDmaLimit, OfEntriesIsExplained) {
  constexpr const char* kParameter = "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit";
  if (::access(kParameter, W_OK) != 0) GTEST_SKIP() << "this kernel has no such limit to set";
  std::ofstream(kParameter) << "3\n";  // of containers made from now on
  auto device = value_of(vfio::open(address_of("WARDEN_VM_EDU"), {.kernel_interface = KernelInterface::kGroup}));
  const SharedMemory memory(kPage);
  const auto map = [&](std::uint64_t at) {
    return device->dma_map(Iova{at * kPage}, kPage, memory.file(), 0, DmaAccess::kBoth);
  };
  EXPECT_EQ(value_of(device->dma_limits()).mappings_left, 3U);
  for (const std::uint64_t at : {1U, 2U, 3U}) ASSERT_TRUE(map(at));
  EXPECT_EQ(value_of(device->dma_limits()).mappings_left, 0U);
  const auto fourth = map(4);
  ASSERT_FALSE(fourth);
  EXPECT_EQ(fourth.error().code, Code::kBusy);
  EXPECT_THAT(fourth.error().message, HasSubstr("allows 3 mappings"));
  ASSERT_TRUE(device->dma_unmap(Iova{kPage}, kPage));
  EXPECT_TRUE(map(4));
  std::ofstream(kParameter) << "65535\n";
}

// Proves that the limit on locked memory is named with its value, to a user whom it binds.
TEST_P(KernelDma, LockedMemoryIsExplained) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto device = vfio::open(address_of("WARDEN_VM_EDU"), {.kernel_interface = GetParam()});
    if (!device) ::_exit(2);
    const SharedMemory memory(64 * kPage);
    const rlimit few{16 * kPage, 16 * kPage};
    if (::setrlimit(RLIMIT_MEMLOCK, &few) != 0 || ::setresuid(65534, 65534, 65534) != 0) ::_exit(3);
    auto mapped = (*device)->dma_map(kHere, 64 * kPage, memory.file(), 0, DmaAccess::kBoth);
    ::_exit(!mapped && mapped.error().message.contains("RLIMIT_MEMLOCK: 65536 bytes") ? 0 : 4);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace warden::vm
