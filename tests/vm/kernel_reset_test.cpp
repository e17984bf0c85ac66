// SPDX-License-Identifier: Apache-2.0
// The kernel's resets: of one function, and of a bus with all that is on it.
#include <gmock/gmock.h>

#include <algorithm>

#include "driver/vfio/fault_handler.h"
#include "tests/vm/kernel_card.h"

namespace warden::vm {
namespace {

class KernelReset : public ::testing::TestWithParam<KernelInterface> {
 protected:
  static std::uint16_t config16(vfio::Device& device, std::uint64_t offset) {
    std::uint16_t value = 0;
    succeed(device.read(7, offset, std::as_writable_bytes(std::span(&value, 1))));
    return value;
  }
  static std::vector<std::string> addresses(const vfio::HotResetInfo& info) {
    std::vector<std::string> all;
    for (const auto& dependent : info.dependents) all.push_back(dependent.address);
    std::ranges::sort(all);
    return all;
  }
};
INSTANTIATE_TEST_SUITE_P(By, KernelReset, ::testing::ValuesIn(interfaces()), name_of);

// Proves that the kernel restores configuration space around a function reset, that mappings from before it are stale,
// and that DMA mappings outlive it.
TEST_P(KernelReset, OfAFunctionIsRestored) {
  ASSERT_TRUE(vfio::survive_faults());
  Edu edu("WARDEN_VM_EDU", GetParam());
  ASSERT_TRUE(edu.device().info().can_reset);
  const SharedMemory memory(4096);
  ASSERT_TRUE(edu.device().dma_map(vfio::Iova{0x10'0000}, 4096, memory.file(), 0, vfio::DmaAccess::kBoth));
  const auto reset = edu.device().reset();
  ASSERT_TRUE(reset) << reset.error().message;
  EXPECT_EQ(config16(edu.device(), 4) & 0x6, 0x6);
  EXPECT_TRUE(edu.registers().is_stale());
  EXPECT_EQ(edu.read(Edu::kId), vfio::kNothingThere);
  edu.start();
  EXPECT_EQ(edu.read(Edu::kId) & 0xFF, 0xEDU);
  memory.word(0) = 0x1234'5678;
  edu.copy_from_host(vfio::Iova{0x10'0000}, Edu::kBufferBytes);
  memory.word(0) = 0;
  edu.copy_to_host(vfio::Iova{0x10'0000}, Edu::kBufferBytes);
  EXPECT_EQ(memory.word(0), 0x1234'5678U);
}

// Proves that two functions in one slot share their group, that neither can be reset alone, and that the hot reset
// names and takes both.
TEST_P(KernelReset, OfABusTakesBothFunctions) {
  ASSERT_TRUE(vfio::survive_faults());
  Edu first("WARDEN_VM_PAIR0", GetParam());
  Edu second("WARDEN_VM_PAIR1", GetParam());
  if (!first.device().info().can_reset) {
    EXPECT_EQ(first.device().reset().error().code, Code::kUnsupported);
  }
  const auto info = value_of(first.device().hot_reset_info());
  EXPECT_THAT(addresses(info), ::testing::ElementsAre(address_of("WARDEN_VM_PAIR0"), address_of("WARDEN_VM_PAIR1"),
                                                      address_of("WARDEN_VM_SERIAL")));
  ASSERT_TRUE(info.dependents[0].group);
  EXPECT_EQ(info.dependents[0].group, info.dependents[1].group);
  EXPECT_TRUE(info.dependents[0].is_ours && info.dependents[1].is_ours);
  const std::array<vfio::Device*, 1> others{&second.device()};
  const auto reset = first.device().hot_reset(others);
  ASSERT_TRUE(reset) << reset.error().message;
  for (Edu* edu : {&first, &second}) {
    EXPECT_TRUE(edu->registers().is_stale());
    EXPECT_EQ(config16(edu->device(), 4) & 0x6, 0x6);
    edu->start();
    EXPECT_EQ(edu->read(Edu::kId) & 0xFF, 0xEDU);
  }
}

// Proves that functions of one group reach the same memory, since the IOMMU can't tell them apart.
TEST_P(KernelReset, FunctionsOfAGroupShareTheirMappings) {
  const Edu first("WARDEN_VM_PAIR0", GetParam());
  Edu second("WARDEN_VM_PAIR1", GetParam());
  const SharedMemory memory(4096);
  ASSERT_TRUE(second.device().dma_map(vfio::Iova{0x10'0000}, 4096, memory.file(), 0, vfio::DmaAccess::kBoth));
  memory.word(3) = 0xCAFE'0003;
  first.copy_from_host(vfio::Iova{0x10'0000}, Edu::kBufferBytes);
  memory.word(3) = 0;
  first.copy_to_host(vfio::Iova{0x10'0000}, Edu::kBufferBytes);
  EXPECT_EQ(memory.word(3), 0xCAFE'0003U);
}

// Proves that a device that is none of the kernel's can't go along.
TEST_P(KernelReset, OfABusTakesOnlyItsOwnKind) {
  Edu edu("WARDEN_VM_EDU", GetParam());
  const auto info = value_of(edu.device().hot_reset_info());
  EXPECT_THAT(addresses(info), ::testing::ElementsAre(address_of("WARDEN_VM_EDU")));
  const auto reset = edu.device().hot_reset({});
  EXPECT_TRUE(reset) << reset.error().message;
}

}  // namespace
}  // namespace warden::vm
