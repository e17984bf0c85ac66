// SPDX-License-Identifier: Apache-2.0
// The simulated card reaching for host memory: only what is mapped, only in the allowed direction, and never at the
// cost of the simulator.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "tests/unit/sim_card.h"

namespace warden::sim::testing {
namespace {

using vfio::DmaAccess;

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kHost = 0x800000000;  // IOVA 0 on the PCIe tile

UniqueFd memory_file(std::uint64_t size_bytes) {
  UniqueFd file(::memfd_create("sim-test", MFD_CLOEXEC));
  EXPECT_EQ(::ftruncate(file.get(), static_cast<off_t>(size_bytes)), 0);
  return file;
}

std::uint32_t file32(const UniqueFd& file, off_t offset) {
  std::uint32_t value = 0;
  EXPECT_EQ(::pread(file.get(), &value, sizeof(value), offset), 4);
  return value;
}

// Proves that the card reads and writes what a client mapped, at the mapping's offset into its file.
TEST(SimHostMemory, IsReachedThroughThePcieTile) {
  Card card;
  const UniqueFd file = memory_file(4 * kPage);
  ASSERT_EQ(card.chip.host().map(0x10000, 2 * kPage, UniqueFd(::dup(file.get())), kPage, DmaAccess::kBoth), 0);
  card.tile_write32(0, 3, kHost + 0x10000 + kPage + 8, 0x600DF00D);
  EXPECT_EQ(file32(file, 2 * kPage + 8), 0x600DF00DU);
  EXPECT_EQ(card.tile32(0, 3, kHost + 0x10000 + kPage + 8), 0x600DF00DU);
}

// Proves that everything else gives all ones and is counted: nothing mapped, not in this direction, no bus master.
TEST(SimHostMemory, EverythingElseIsOutOfReach) {
  Card card;
  const UniqueFd file = memory_file(kPage);
  ASSERT_EQ(card.chip.host().map(0, kPage, UniqueFd(::dup(file.get())), 0, DmaAccess::kCardReads), 0);
  EXPECT_EQ(card.tile32(0, 3, kHost), 0U);
  EXPECT_EQ(card.tile32(0, 3, kHost + kPage), kOnes);
  card.tile_write32(0, 3, kHost, 1);
  EXPECT_EQ(file32(file, 0), 0U);
  EXPECT_EQ(card.errors(Access::kUnmappedIova), 2U);
  EXPECT_FALSE(card.config_write(kCommand, 2));
  EXPECT_EQ(card.tile32(0, 3, kHost), kOnes);
  EXPECT_EQ(card.errors(Access::kUnmappedIova), 3U);
}

// Proves that a client that shrinks its file under the card only makes the card's access fail.
TEST(SimHostMemory, AShrunkFileDoesNoHarm) {
  Card card;
  const UniqueFd file = memory_file(kPage);
  ASSERT_EQ(card.chip.host().map(0, kPage, UniqueFd(::dup(file.get())), 0, DmaAccess::kCardReads), 0);
  ASSERT_EQ(::ftruncate(file.get(), 0), 0);
  EXPECT_EQ(card.tile32(0, 3, kHost), kOnes);
}

// Proves the rules of the map: no overlap, whole mappings only, no descriptor that is not a file.
TEST(SimHostMemory, MapKeepsItsRules) {
  HostMemory host;
  const UniqueFd file = memory_file(8 * kPage);
  const auto map = [&](std::uint64_t page, std::uint64_t pages) {
    return host.map(page * kPage, pages * kPage, UniqueFd(::dup(file.get())), 0, DmaAccess::kBoth);
  };
  EXPECT_EQ(map(2, 2), 0);
  EXPECT_EQ(map(3, 1), EEXIST);
  EXPECT_EQ(map(1, 2), EEXIST);
  EXPECT_EQ(map(0, 8), EEXIST);
  EXPECT_EQ(map(4, 1), 0);
  EXPECT_EQ(host.unmap(2 * kPage, kPage), EINVAL);
  EXPECT_EQ(host.unmap(3 * kPage, kPage), EINVAL);
  EXPECT_EQ(host.unmap(0, kPage), ENOENT);
  EXPECT_EQ(host.unmap(2 * kPage, 3 * kPage), 0);
  EXPECT_EQ(map(2, 2), 0) << "free again";
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  EXPECT_EQ(host.map(64 * kPage, kPage, UniqueFd(ends[0]), 0, DmaAccess::kBoth), EINVAL);
  ::close(ends[1]);
}

// Proves that an outbound translation region turns NoC offsets into bus addresses.
TEST(SimHostMemory, OutboundTranslationApplies) {
  Card card;
  const UniqueFd file = memory_file(kPage);
  ASSERT_EQ(card.chip.host().map(0x200000000, kPage, UniqueFd(::dup(file.get())), 0, DmaAccess::kBoth), 0);
  card.bar_write(0x1208, 0x40000000U, 1);                 // base
  card.bar_write(0x1210, 0x40000FFFU, 1);                 // limit
  card.bar_write(0x1214, std::uint64_t{0x200000000}, 1);  // target
  card.bar_write(0x1204, 0x80000000U, 1);                 // enable
  card.tile_write32(0, 3, kHost + 0x40000010, 77);
  EXPECT_EQ(file32(file, 0x10), 77U);
}

}  // namespace
}  // namespace warden::sim::testing
