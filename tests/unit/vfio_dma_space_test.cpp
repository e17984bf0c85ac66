// SPDX-License-Identifier: Apache-2.0
// A group's address space in front of a kernel that is made up: what stays mapped for it, what its refusals are told
// as, and who shares it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "driver/vfio/dma_space.h"
#include "tests/support/pci_tree.h"

namespace warden::vfio {
namespace {

using test::PciTree;
using ::testing::HasSubstr;

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kLastIova = 0xFF'FFFF'FFFF;

// Answers as it was told to.
class MadeUpSpace final : public DmaSpace {
 public:
  MadeUpSpace(std::uint32_t group, const pci::Sysfs& sysfs) : DmaSpace(group, sysfs) {}
  ~MadeUpSpace() override {
    if (closed != nullptr) *closed = true;
  }
  Result<UniqueFd> open_device(const pci::Address&) override { return UniqueFd(); }
  std::vector<int> descriptors() const override { return {}; }
  int hot_reset_proof() const noexcept override { return -1; }

  int answer = 0;
  const void* memory = nullptr;
  std::uint64_t unmaps_bytes = ~std::uint64_t{0};  // at most
  bool* closed = nullptr;

 private:
  int map_pages(Iova, std::uint64_t, const void* at, DmaAccess) override {
    memory = at;
    return answer;
  }
  int unmap_pages(Iova, std::uint64_t size_bytes, std::uint64_t& unmapped_bytes) override {
    unmapped_bytes = std::min(size_bytes, unmaps_bytes);
    return answer;
  }
  Result<DmaLimits> ask_limits() override {
    return DmaLimits{.usable = {{Iova{0}, Iova{0xFEDF'FFFF}}, {Iova{0xFEF0'0000}, Iova{kLastIova}}},
                     .page_sizes = kPage | 2 << 20};
  }
};

class VfioDmaSpace : public ::testing::Test {
 protected:
  VfioDmaSpace() {
    if (::ftruncate(file_.get(), 4 * kPage) != 0) throw std::runtime_error("ftruncate");
    tree_.put("/sys/kernel/iommu_groups/7/reserved_regions",
              "0x00000000000a0000 0x00000000000bffff direct-relaxable\n"
              "0x00000000fee00000 0x00000000feefffff msi\n");
    tree_.put("/sys/module/vfio_iommu_type1/parameters/dma_entry_limit", "65535\n");
  }
  Error refusal(std::uint64_t iova, int answer, std::uint64_t size_bytes = kPage) {
    space_.answer = answer;
    auto done = space_.map(Iova{iova}, size_bytes, file_.get(), 0, DmaAccess::kBoth);
    if (done) throw std::runtime_error("it was mapped");
    return done.error();
  }
  static bool is_mapped(const void* page) {
    unsigned char resident = 0;
    return ::mincore(const_cast<void*>(page), kPage, &resident) == 0;
  }

  PciTree tree_;
  UniqueFd file_{::memfd_create("dma", MFD_CLOEXEC)};
  MadeUpSpace space_{7, tree_.sysfs()};
};

// Proves that the kernel finds the file's bytes in this process from the mapping until the unmapping.
TEST_F(VfioDmaSpace, KeepsTheMemoryInPlace) {
  constexpr std::uint64_t kBytes = 8 << 20;
  ASSERT_EQ(::ftruncate(file_.get(), kBytes + kPage), 0);
  const std::uint64_t word = 0x0123'4567'89AB'CDEF;
  ASSERT_EQ(::pwrite(file_.get(), &word, sizeof(word), kPage), 8);
  ASSERT_TRUE(space_.map(Iova{kPage}, kBytes, file_.get(), kPage, DmaAccess::kCardReads));
  EXPECT_EQ(std::memcmp(space_.memory, &word, sizeof(word)), 0);
  EXPECT_TRUE(is_mapped(space_.memory));
  ASSERT_TRUE(space_.unmap(Iova{kPage}, kBytes));
  EXPECT_FALSE(is_mapped(space_.memory));
}

// Proves that a small piece that comes again finds its place here still, that another piece, file or direction does
// not get it, and that only one is kept.
TEST_F(VfioDmaSpace, RemembersTheLastPiece) {
  const UniqueFd other(::memfd_create("other", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(other.get(), 4 * kPage), 0);
  const auto place_of = [&](const UniqueFd& file, std::uint64_t offset, DmaAccess access) {
    if (!space_.map(Iova{0}, kPage, file.get(), offset, access)) throw std::runtime_error("not mapped");
    return space_.memory;
  };
  const void* first = place_of(file_, 0, DmaAccess::kBoth);
  ASSERT_TRUE(space_.unmap(Iova{0}, kPage));
  EXPECT_TRUE(is_mapped(first));
  EXPECT_EQ(place_of(file_, 0, DmaAccess::kBoth), first);
  ASSERT_TRUE(space_.unmap(Iova{0}, kPage));
  EXPECT_NE(place_of(file_, 0, DmaAccess::kCardReads), first);
  EXPECT_NE(place_of(file_, kPage, DmaAccess::kBoth), first);
  EXPECT_NE(place_of(other, 0, DmaAccess::kBoth), first);
  ASSERT_TRUE(space_.unmap(Iova{0}, kPage));
  EXPECT_FALSE(is_mapped(first));
}

// Proves that a refused mapping leaves nothing mapped here either, and that a partial unmapping is no success.
TEST_F(VfioDmaSpace, LeavesNothingBehind) {
  EXPECT_EQ(refusal(kPage, EEXIST).code, Code::kBusy);
  EXPECT_FALSE(is_mapped(space_.memory));
  space_.answer = 0;
  space_.unmaps_bytes = kPage;
  EXPECT_EQ(space_.unmap(Iova{0}, 2 * kPage).error().code, Code::kNotFound);
  space_.answer = ENOENT;
  space_.unmaps_bytes = 0;
  EXPECT_EQ(space_.unmap(Iova{0}, kPage).error().code, Code::kNotFound);
}

// Proves that a refused address is traced to the reserved region, the page size or the end of the IOMMU's addresses,
// and that a region that the kernel lets go is not blamed.
TEST_F(VfioDmaSpace, NamesTheReservedRegion) {
  const Error reserved = refusal(0xFEDF'F000, EINVAL, 2 * kPage);
  EXPECT_EQ(reserved.code, Code::kInvalidArgument);
  EXPECT_THAT(reserved.message, HasSubstr("0xfee00000 to 0xfeefffff are reserved (msi)"));
  EXPECT_THAT(refusal(kLastIova + 1, EINVAL).message, HasSubstr("the last is 0xffffffffff"));
  EXPECT_THAT(refusal(0x1000'0800, EINVAL).message, HasSubstr("whole pages of 4096 bytes"));
  EXPECT_THAT(refusal(0xA'0000, EINVAL).message, HasSubstr("Invalid argument"));
}

// Proves that each of the kernel's limits is told with its value and how to raise it.
TEST_F(VfioDmaSpace, ExplainsTheLimits) {
  const Error entries = refusal(kPage, ENOSPC);
  EXPECT_EQ(entries.code, Code::kBusy);
  EXPECT_THAT(entries.message, HasSubstr("65535 mappings"));
  EXPECT_THAT(entries.message, HasSubstr("dma_entry_limit"));
  const Error locked = refusal(kPage, ENOMEM);
  EXPECT_EQ(locked.code, Code::kPermission);
  EXPECT_THAT(locked.message, HasSubstr("RLIMIT_MEMLOCK"));
  EXPECT_EQ(refusal(kPage, ENOTTY).code, Code::kUnsupported);  // VFIO's no-IOMMU mode
}

// Proves that functions of one group share its space, that a function has it once, and that it is closed when the last
// one has left.
TEST_F(VfioDmaSpace, IsSharedByAGroup) {
  DmaSpaces spaces;
  bool closed = false;
  int made = 0;
  const auto make = [&]() -> Result<std::shared_ptr<DmaSpace>> {
    ++made;
    auto space = std::make_shared<MadeUpSpace>(7, tree_.sysfs());
    space->closed = &closed;
    return space;
  };
  const pci::Address first{.bus = 1};
  const pci::Address second{.bus = 1, .function = 1};
  auto one = spaces.join(7, first, make);
  auto two = spaces.join(7, second, make);
  ASSERT_TRUE(one && two);
  EXPECT_EQ(*one, *two);
  EXPECT_EQ(made, 1);
  EXPECT_EQ(spaces.join(7, first, make).error().code, Code::kBusy);
  spaces.leave(std::move(*one), first);
  EXPECT_TRUE(spaces.has(7));
  EXPECT_FALSE(closed);
  spaces.leave(std::move(*two), second);
  EXPECT_FALSE(spaces.has(7));
  EXPECT_TRUE(closed);
}

}  // namespace
}  // namespace warden::vfio
