// SPDX-License-Identifier: Apache-2.0
// Interrupts of every kind by the kernel's VFIO, raised by cards that do it when told to.
#include <poll.h>
#include <sys/eventfd.h>

#include <fstream>
#include <thread>

#include "tests/vm/guest_host.h"
#include "tests/vm/kernel_card.h"

namespace warden::vm {
namespace {

class Event {
 public:
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  // Waits for as long as a test may.
  [[nodiscard]] bool came() const {
    pollfd wanted{fd_.get(), POLLIN, 0};
    return ::poll(&wanted, 1, 60'000) == 1 && take() > 0;
  }
  // How often it was signalled since the last look.
  [[nodiscard]] eventfd_t take() const {
    eventfd_t count = 0;
    return ::eventfd_read(fd_.get(), &count) == 0 ? count : 0;
  }

 private:
  UniqueFd fd_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
};

class KernelInterrupt : public ::testing::TestWithParam<KernelInterface> {};
INSTANTIATE_TEST_SUITE_P(By, KernelInterrupt, ::testing::ValuesIn(interfaces()), name_of);

Status set(vfio::Device& device, std::uint32_t index, const Event& event) {
  const std::array fds{event.fd()};
  return device.set_irq_eventfds(index, 0, fds);
}

// Proves that each MSI is one signal, through the IOMMU's remapping, and that after disable_irqs() none comes.
TEST_P(KernelInterrupt, MsiSignalsOnceEach) {
  Edu edu("WARDEN_VM_EDU", GetParam());
  const Event event;
  ASSERT_TRUE(set(edu.device(), vfio::kMsiIrq, event));
  for (int round = 0; round < 10; ++round) {
    edu.write(Edu::kRaise, 1);
    ASSERT_TRUE(event.came()) << round;
    edu.write(Edu::kAcknowledge, 1);
    EXPECT_EQ(event.take(), 0U);
  }
  const auto other = set(edu.device(), vfio::kIntxIrq, event);
  ASSERT_FALSE(other);
  EXPECT_NE(other.error().message.find("only one of INTx, MSI and MSI-X"), std::string::npos);
  ASSERT_TRUE(edu.device().disable_irqs(vfio::kMsiIrq));
  ASSERT_TRUE(edu.device().disable_irqs(vfio::kMsiIrq));  // none is left: no error
  edu.write(Edu::kRaise, 1);
  edu.write(Edu::kAcknowledge, 1);
  EXPECT_EQ(edu.read(Edu::kId) & 0xFF, 0xEDU);
  EXPECT_EQ(event.take(), 0U);
}

// Proves that INTx masks itself with its signal, comes again at the unmasking while the card's level stands, and is
// quiet once the card has taken it back.
TEST_P(KernelInterrupt, IntxWaitsToBeUnmasked) {
  Edu edu("WARDEN_VM_EDU", GetParam());
  ASSERT_TRUE(edu.device().irq(vfio::kIntxIrq)->automasked);
  const Event event;
  ASSERT_TRUE(set(edu.device(), vfio::kIntxIrq, event));
  edu.write(Edu::kRaise, 1);
  ASSERT_TRUE(event.came());
  edu.write(Edu::kRaise, 2);
  EXPECT_EQ(edu.read(Edu::kId) & 0xFF, 0xEDU);
  EXPECT_EQ(event.take(), 0U) << "it was masked";
  ASSERT_TRUE(edu.device().unmask_irq(vfio::kIntxIrq));
  ASSERT_TRUE(event.came()) << "the level stands";
  edu.write(Edu::kAcknowledge, 3);
  ASSERT_TRUE(edu.device().unmask_irq(vfio::kIntxIrq));
  EXPECT_EQ(edu.read(Edu::kId) & 0xFF, 0xEDU);
  EXPECT_EQ(event.take(), 0U);
  edu.write(Edu::kRaise, 1);
  EXPECT_TRUE(event.came());
  edu.write(Edu::kAcknowledge, 1);
  EXPECT_TRUE(edu.device().disable_irqs(vfio::kIntxIrq));
}

// The registers of the network card (Intel 82574 datasheet, section 10) by which software raises an interrupt.
constexpr std::uint32_t kNicCauseSet = 0x00C8;
constexpr std::uint32_t kNicCauses = 0x00C0;  // reading clears
constexpr std::uint32_t kNicMaskSet = 0x00D0;
constexpr std::uint32_t kNicMaskClear = 0x00D8;
constexpr std::uint32_t kNicVectors = 0x00E4;  // of each cause; "other" has bits 16 to 18, bit 19: valid
constexpr std::uint32_t kNicOther = 1U << 24;

// Proves that each vector of MSI-X reaches its own eventfd. (That it reaches no other can't be asked of this card,
// which may say the one before again at any time.)
TEST_P(KernelInterrupt, MsixVectorsReachTheirOwn) {
  for (const std::uint32_t vector : {0U, 2U, 1U}) {
    auto device = value_of(vfio::open(address_of("WARDEN_VM_NIC"), {.kernel_interface = GetParam()}));
    const std::uint32_t count = device->irq(vfio::kMsixIrq)->count;
    ASSERT_GE(count, 3U);
    const std::uint16_t command = 0x6;
    ASSERT_TRUE(device->write(7, 4, std::as_bytes(std::span(&command, 1))));
    const auto registers = value_of(device->map(0, 0, 0x4000));
    const std::array<Event, 3> events;
    const std::array fds{events[0].fd(), events[1].fd(), events[2].fd()};
    ASSERT_TRUE(device->set_irq_eventfds(vfio::kMsixIrq, 0, fds));
    EXPECT_EQ(device->set_irq_eventfds(vfio::kMsixIrq, count - 1, fds).error().code, Code::kInvalidArgument);
    registers.write32(kNicVectors, (8 | vector) << 16);
    registers.write32(kNicMaskSet, kNicOther);
    registers.write32(kNicCauseSet, kNicOther);
    ASSERT_TRUE(events.at(vector).came()) << vector;
    registers.write32(kNicMaskClear, kNicOther);
    (void)registers.read32(kNicCauses);
    EXPECT_TRUE(device->disable_irqs(vfio::kMsixIrq));
  }
}

// Proves that an error which the bus reports reaches the holder of the card behind that port, and that the card can be
// used as before once it is disabled. (Port 16 is the card's; a completion timeout is not fatal: nothing is reset.)
TEST_P(KernelInterrupt, ErrorEventTellsOfTheBus) {
  auto device = value_of(vfio::open(address_of("WARDEN_VM_CARD"), {.kernel_interface = GetParam()}));
  const Event event;
  ASSERT_EQ(device->irq(vfio::kErrorIrq)->count, 1U);
  ASSERT_TRUE(set(*device, vfio::kErrorIrq, event));
  const auto injected =
      ask_host({"qmp", "human-monitor-command", R"({"command-line":"pcie_aer_inject_error port16 COMP_TIME"})"});
  ASSERT_TRUE(injected) << injected.error().message;
  EXPECT_TRUE(event.came()) << *injected;
  EXPECT_TRUE(device->disable_irqs(vfio::kErrorIrq));
  std::uint16_t vendor = 0;
  EXPECT_TRUE(device->read(7, 0, std::as_writable_bytes(std::span(&vendor, 1))));
  EXPECT_EQ(vendor, 0x1E52);
}

// Proves that who unbinds a card's driver waits until the card is closed, that its holder is told, and that it can be
// opened again once it is bound again.
TEST_P(KernelInterrupt, RequestEventTellsOfTheUnbinding) {
  const std::string address = address_of("WARDEN_VM_NIC");
  auto device = value_of(vfio::open(address, {.kernel_interface = GetParam()}));
  const Event event;
  ASSERT_TRUE(set(*device, vfio::kRequestIrq, event));
  std::jthread unbinding([&] { std::ofstream("/sys/bus/pci/drivers/vfio-pci/unbind") << address; });
  ASSERT_TRUE(event.came());
  device.reset();
  unbinding.join();
  const auto unbound = vfio::open(address, {.kernel_interface = GetParam()});
  ASSERT_FALSE(unbound);
  EXPECT_NE(unbound.error().message.find("warden bind " + address), std::string::npos) << unbound.error().message;
  std::ofstream("/sys/bus/pci/drivers_probe") << address;
  EXPECT_TRUE(vfio::open(address, {.kernel_interface = GetParam()}));
}

// Proves that the kernel's wish to have a card back arrives, that the card works until it is closed, and that it can
// leave then. The card is gone afterwards: a run of its own.
TEST(KernelRequest, IsGrantedByClosing) {
  auto device = value_of(vfio::open(address_of("WARDEN_VM_NIC")));
  const Event event;
  ASSERT_TRUE(set(*device, vfio::kRequestIrq, event));
  ASSERT_TRUE(ask_host({"qmp", "device_del", R"({"id":"nic"})"}));
  ASSERT_TRUE(event.came());
  std::uint16_t vendor = 0;
  EXPECT_TRUE(device->read(7, 0, std::as_writable_bytes(std::span(&vendor, 1))));
  EXPECT_EQ(vendor, 0x8086);
  device.reset();
  EXPECT_TRUE(ask_host({"await", "DEVICE_DELETED", "nic"}));
  auto again = vfio::open(address_of("WARDEN_VM_NIC"));
  ASSERT_FALSE(again);
  EXPECT_TRUE(again.error().code == Code::kNotFound || again.error().code == Code::kUnsupported)
      << again.error().message;
}

}  // namespace
}  // namespace warden::vm
