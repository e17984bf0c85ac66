// SPDX-License-Identifier: Apache-2.0
// VFIO's mode without an IOMMU, in a guest that has none: for those alone who ask for it, and without DMA.
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/eventfd.h>

#include "tests/vm/kernel_card.h"

namespace warden::vm {
namespace {

using ::testing::HasSubstr;

// Proves that a card which could write anywhere is not opened by accident.
TEST(NoIommu, IsRefused) {
  const auto refused = vfio::open(address_of("WARDEN_VM_CARD"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kUnsupported);
  EXPECT_THAT(refused.error().message, HasSubstr("it could write to all memory of the host"));
  EXPECT_EQ(refused.error().message.find('\n'), std::string::npos);
}

// Proves that whoever asks for it gets registers and interrupts, but can't give the card memory: nothing would make its
// addresses those of the memory.
TEST(NoIommu, IsGivenWhenAskedFor) {
  Edu edu(value_of(vfio::open(address_of("WARDEN_VM_EDU"), {.allow_no_iommu = true})));
  edu.write(Edu::kLiveness, 0x1234'5678);
  EXPECT_EQ(edu.read(Edu::kLiveness), ~0x1234'5678U);
  const UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  const std::array fds{event.get()};
  ASSERT_TRUE(edu.device().set_irq_eventfds(vfio::kMsiIrq, 0, fds));
  edu.write(Edu::kRaise, 1);
  pollfd wanted{event.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&wanted, 1, 60'000), 1);
  edu.write(Edu::kAcknowledge, 1);

  const SharedMemory memory(4096);
  const auto mapped = edu.device().dma_map(vfio::Iova{0x10'0000}, 4096, memory.file(), 0, vfio::DmaAccess::kBoth);
  ASSERT_FALSE(mapped);
  EXPECT_EQ(mapped.error().code, Code::kUnsupported) << mapped.error().message;
  EXPECT_THAT(mapped.error().message, HasSubstr("without an IOMMU"));
  const auto limits = edu.device().dma_limits();
  ASSERT_FALSE(limits);
  EXPECT_THAT(limits.error().message, HasSubstr("without an IOMMU"));
}

}  // namespace
}  // namespace warden::vm
