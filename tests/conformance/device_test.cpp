// SPDX-License-Identifier: Apache-2.0
// What every vfio::Device promises, run against the fake (mapped and trapped) and a simulated card over vfio-user; or
// against the card at $WARDEN_TEST_DEVICE, and edu (QEMU's docs/specs/edu.rst) at $WARDEN_TEST_EDU, by each interface
// that the kernel has to them.
#include <gtest/gtest.h>
#include <linux/vfio.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>

#include "driver/vfio/device.h"
#include "driver/vfio/fault_handler.h"
#include "tests/conformance/fake_device.h"
#include "tests/conformance/simulator.h"

namespace warden {
namespace {

using testing::FakeDevice;
using testing::Simulator;

// Where a card's window 0 is set; a reset sets it to 0.
constexpr std::uint64_t kWindow = 0x1FC0'0000;

struct Subject {
  std::unique_ptr<Simulator> simulator;
  std::unique_ptr<vfio::Device> device;
  // An MSI; whether it reached anybody, where the card can tell. Throws when it can't be raised.
  std::function<std::optional<bool>()> raise_interrupt;
  std::uint32_t identity = 0x401E'1E52;  // device, vendor
  std::uint64_t bar0_bytes = 512U << 20;
  std::uint16_t kept_command = 0x46;  // bits of the command register that can be set
  std::uint64_t words = 0x40;         // two words of BAR0 that keep what is written, 8 bytes apart
  std::size_t slow_bytes = 100'000;   // the most that a test may move at once, and often
  bool has_windows = true;            // behind the first of them is memory
};

constexpr std::uint32_t kConfig = VFIO_PCI_CONFIG_REGION_INDEX;
constexpr std::uint32_t kBar0 = VFIO_PCI_BAR0_REGION_INDEX;
constexpr std::uint64_t kScratchBytes = 1 << 20;
constexpr vfio::OpenOptions kPatient{.request_timeout_ms = 60'000};

template <typename T>
Status put(vfio::Device& device, std::uint32_t region, std::uint64_t offset, T value) {
  return device.write(region, offset, std::as_bytes(std::span(&value, 1)));
}

template <typename T>
T get(vfio::Device& device, std::uint32_t region, std::uint64_t offset) {
  T value{};
  auto done = device.read(region, offset, std::as_writable_bytes(std::span(&value, 1)));
  if (!done) throw std::runtime_error(done.error().message);
  return value;
}

Subject make_fake(bool mappable) {
  auto device = FakeDevice::create({.mappable = mappable});
  FakeDevice* fake = device.get();
  return {nullptr, std::move(device), [fake] { return fake->raise(VFIO_PCI_MSI_IRQ_INDEX, 0); }};
}

Subject make_simulated(vfio::KernelInterface kernel_interface = vfio::KernelInterface::kAutomatic) {
  Subject subject;
  subject.simulator = std::make_unique<Simulator>();
  auto device = vfio::open(subject.simulator->device_name(),
                           {.request_timeout_ms = kPatient.request_timeout_ms, .kernel_interface = kernel_interface});
  if (!device) throw std::runtime_error(device.error().message);
  subject.device = std::move(*device);
  Simulator* simulator = subject.simulator.get();
  subject.raise_interrupt = [simulator] {
    try {
      simulator->ctl({"interrupt", "0"});
      return true;
    } catch (const std::runtime_error&) {  // it says that nobody was reached
      return false;
    }
  };
  return subject;
}

struct Kind {
  const char* name;
  Subject (*make)();
};
void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.name; }

class DeviceConformance : public ::testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    subject_ = GetParam().make();
    ASSERT_TRUE(put<std::uint16_t>(device(), kConfig, 4, 0x6));  // memory on
    if (!subject_.has_windows) return;
    // To L1 of tile (1,1), strict. Plain memory takes it as well.
    ASSERT_TRUE(put<std::uint32_t>(device(), kBar0, kWindow, 0x0041'0000));
    ASSERT_TRUE(put<std::uint32_t>(device(), kBar0, kWindow + 4, 0x0000'0400));
  }
  void expect_reset() {
    if (!subject_.has_windows) return;
    EXPECT_EQ(get<std::uint32_t>(device(), kBar0, kWindow), 0U);
  }
  vfio::Device& device() { return *subject_.device; }
  Subject subject_;
};

// Of those with memory at the beginning of BAR0.
class MemoryConformance : public DeviceConformance {};

// The kernel passes a long access on word by word, and behind each word is a machine that is emulated.
Subject make_kernels(vfio::KernelInterface kernel_interface) {
  Subject subject = make_simulated(kernel_interface);
  subject.slow_bytes = 40;
  return subject;
}

// Registers only, which take one word at a time.
Subject make_edu(vfio::KernelInterface kernel_interface) {
  constexpr std::uint64_t kRaise = 0x60;
  constexpr std::uint64_t kAcknowledge = 0x64;
  constexpr std::uint64_t kDmaFrom = 0x80;
  auto opened = vfio::open(std::getenv("WARDEN_TEST_EDU"), {.kernel_interface = kernel_interface});
  if (!opened) throw std::runtime_error(opened.error().message);
  vfio::Device* device = opened->get();
  const auto raise = [device]() -> std::optional<bool> {
    if (!put<std::uint32_t>(*device, kBar0, kRaise, 1) || !put<std::uint32_t>(*device, kBar0, kAcknowledge, 1)) {
      throw std::runtime_error("edu takes no words");
    }
    (void)get<std::uint32_t>(*device, kBar0, 0);  // which comes after them
    return std::nullopt;
  };
  return {.simulator = nullptr,
          .device = std::move(*opened),
          .raise_interrupt = raise,
          .identity = 0x11E8'1234,
          .bar0_bytes = 1 << 20,
          .kept_command = 0x106,
          .words = kDmaFrom,
          .has_windows = false};
}

std::vector<Kind> kinds_with_memory() {
  if (Simulator::attached_device().empty()) {
    return {{"FakeMapped", [] { return make_fake(true); }},
            {"FakeTrapped", [] { return make_fake(false); }},
            {"Simulator", [] { return make_simulated(); }}};
  }
  std::vector<Kind> kinds{{"KernelGroup", [] { return make_kernels(vfio::KernelInterface::kGroup); }}};
  if (::access("/dev/iommu", F_OK) == 0) {
    kinds.push_back({"KernelNode", [] { return make_kernels(vfio::KernelInterface::kCharacterDevice); }});
  }
  return kinds;
}

std::vector<Kind> kinds() {
  std::vector<Kind> kinds = kinds_with_memory();
  if (std::getenv("WARDEN_TEST_EDU") == nullptr) return kinds;
  kinds.push_back({"EduGroup", [] { return make_edu(vfio::KernelInterface::kGroup); }});
  if (::access("/dev/iommu", F_OK) == 0) {
    kinds.push_back({"EduNode", [] { return make_edu(vfio::KernelInterface::kCharacterDevice); }});
  }
  return kinds;
}

std::string name_of(const ::testing::TestParamInfo<Kind>& kind) { return kind.param.name; }
INSTANTIATE_TEST_SUITE_P(Backends, DeviceConformance, ::testing::ValuesIn(kinds()), name_of);
INSTANTIATE_TEST_SUITE_P(Backends, MemoryConformance, ::testing::ValuesIn(kinds_with_memory()), name_of);

// Proves that regions and interrupts are described, and that an index beyond them is refused.
TEST_P(DeviceConformance, DescribesItself) {
  EXPECT_FALSE(device().name().empty());
  EXPECT_GT(device().info().region_count, kConfig);
  EXPECT_EQ(device().region(kBar0)->size_bytes, subject_.bar0_bytes);
  EXPECT_GE(device().region(kConfig)->size_bytes, 256U);
  EXPECT_EQ(device().irq(VFIO_PCI_MSI_IRQ_INDEX)->count, 1U);
  EXPECT_EQ(device().region(1000).error().code, Code::kInvalidArgument);
  EXPECT_EQ(device().irq(1000).error().code, Code::kInvalidArgument);
}

// Proves that configuration space can be read in every width.
TEST_P(DeviceConformance, ReadsConfigurationSpace) {
  EXPECT_EQ(get<std::uint32_t>(device(), kConfig, 0), subject_.identity);
  EXPECT_EQ(get<std::uint16_t>(device(), kConfig, 2), subject_.identity >> 16);
  EXPECT_EQ(get<std::uint8_t>(device(), kConfig, 1), (subject_.identity >> 8) & 0xFF);
}

// Proves that every length and alignment reads back as written and leaves its neighbours alone, chunk borders included.
TEST_P(MemoryConformance, WritesAndReadsAnyRange) {
  const std::vector<std::byte> blank(subject_.slow_bytes + 100, std::byte{0xEE});
  for (const std::size_t size : {1U, 2U, 3U, 4U, 5U, 7U, 8U, 31U, 4096U, 32767U, 32768U, 32769U, 100'000U}) {
    if (size > subject_.slow_bytes) continue;
    for (const std::uint64_t offset : {64U, 65U, 66U, 67U, 68U, 71U}) {
      ASSERT_TRUE(device().write(kBar0, 0, blank));
      std::vector<std::byte> data(size);
      for (std::size_t i = 0; i < size; ++i) data[i] = static_cast<std::byte>(i * 7 + size + offset);
      ASSERT_TRUE(device().write(kBar0, offset, data));
      std::vector<std::byte> back(size + 2);
      ASSERT_TRUE(device().read(kBar0, offset - 1, back));
      EXPECT_EQ(back.front(), std::byte{0xEE});
      EXPECT_EQ(back.back(), std::byte{0xEE});
      EXPECT_TRUE(std::equal(data.begin(), data.end(), back.begin() + 1)) << size << " at " << offset;
    }
  }
}

// Proves that ranges that leave a region are refused, however they overflow.
TEST_P(DeviceConformance, RefusesRangesOutside) {
  std::array<std::byte, 8> data{};
  const std::uint64_t end = device().region(kBar0)->size_bytes;
  for (const std::uint64_t offset : {end, end - 7, end + 1, ~std::uint64_t{0}, ~std::uint64_t{0} - 3}) {
    EXPECT_EQ(device().read(kBar0, offset, data).error().code, Code::kInvalidArgument) << offset;
    EXPECT_EQ(device().write(kBar0, offset, data).error().code, Code::kInvalidArgument) << offset;
  }
  EXPECT_EQ(device().read(1000, 0, data).error().code, Code::kInvalidArgument);
}

// Proves that a mapping shows what trapped accesses show; or that a device without one says so.
TEST_P(DeviceConformance, MappingAgreesWithTrappedAccess) {
  auto mapping = device().map(kBar0, 0, kScratchBytes);
  if (!device().region(kBar0)->mappable) {
    ASSERT_FALSE(mapping);
    EXPECT_EQ(mapping.error().code, Code::kUnsupported);
    return;
  }
  ASSERT_TRUE(mapping) << mapping.error().message;
  mapping->write32(subject_.words, 0x1234'5678);
  EXPECT_EQ(get<std::uint32_t>(device(), kBar0, subject_.words), 0x1234'5678U);
  ASSERT_TRUE(put<std::uint32_t>(device(), kBar0, subject_.words + 8, 0x9ABC'DEF0));
  EXPECT_EQ(mapping->read32(subject_.words + 8), 0x9ABC'DEF0U);
}

// Proves that an interrupt reaches the eventfd that was set, and none that was taken away.
TEST_P(DeviceConformance, InterruptsReachTheirEventfd) {
  const UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  const std::array fds{event.get()};
  ASSERT_TRUE(device().set_irq_eventfds(VFIO_PCI_MSI_IRQ_INDEX, 0, fds));
  ASSERT_NE(subject_.raise_interrupt(), false);
  pollfd wanted{event.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&wanted, 1, 60'000), 1);
  eventfd_t count = 0;
  EXPECT_EQ(::eventfd_read(event.get(), &count), 0);
  ASSERT_TRUE(device().disable_irqs(VFIO_PCI_MSI_IRQ_INDEX));
  EXPECT_NE(subject_.raise_interrupt(), true);
  EXPECT_NE(::eventfd_read(event.get(), &count), 0);
  EXPECT_FALSE(device().set_irq_eventfds(VFIO_PCI_MSI_IRQ_INDEX, 1, fds));
  EXPECT_FALSE(device().set_irq_eventfds(1000, 0, fds));
}

// Proves that only an interrupt that masks itself can be unmasked.
TEST_P(DeviceConformance, UnmasksOnlyWhatMasksItself) {
  ASSERT_FALSE(device().irq(vfio::kMsiIrq)->automasked);
  EXPECT_EQ(device().unmask_irq(vfio::kMsiIrq).error().code, Code::kUnsupported);
}

// Proves that the addresses for DMA are told in order, none twice, in whole pages.
TEST_P(DeviceConformance, SaysWhichAddressesDmaMayUse) {
  auto limits = device().dma_limits();
  ASSERT_TRUE(limits) << limits.error().message;
  const std::uint64_t page_bytes = limits->page_sizes & -limits->page_sizes;
  ASSERT_GE(page_bytes, 4096U);
  ASSERT_FALSE(limits->usable.empty());
  for (std::size_t i = 0; i < limits->usable.size(); ++i) {
    const vfio::IovaRange& range = limits->usable[i];
    EXPECT_LT(range.first, range.last);
    EXPECT_EQ(range.first.value % page_bytes, 0U);
    EXPECT_EQ(range.last.value % page_bytes, page_bytes - 1);
    EXPECT_TRUE(i == 0 || limits->usable[i - 1].last < range.first);
  }
}

// Proves that memory can be given to the card and taken back, and that overlaps and strangers are refused.
TEST_P(DeviceConformance, MapsMemoryForDma) {
  const UniqueFd memory(::memfd_create("dma", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(memory.get(), 1 << 20), 0);
  const vfio::Iova iova{0x1000'0000};
  ASSERT_TRUE(device().dma_map(iova, 1 << 20, memory.get(), 0, vfio::DmaAccess::kBoth));
  EXPECT_FALSE(device().dma_map(vfio::Iova{0x1000'1000}, 0x1000, memory.get(), 0, vfio::DmaAccess::kBoth));
  EXPECT_FALSE(device().dma_unmap(vfio::Iova{0x7000'0000}, 0x1000));
  ASSERT_TRUE(device().dma_unmap(iova, 1 << 20));
  ASSERT_TRUE(device().dma_map(iova, 1 << 20, memory.get(), 0, vfio::DmaAccess::kCardReads));
}

// Proves that a function reset leaves configuration space as it was: the kernel restores it, and so must every backend.
TEST_P(DeviceConformance, FunctionResetRestoresConfigurationSpace) {
  ASSERT_TRUE(device().info().can_reset);
  ASSERT_TRUE(put<std::uint16_t>(device(), kConfig, 4, subject_.kept_command));
  ASSERT_TRUE(device().reset());
  EXPECT_EQ(get<std::uint16_t>(device(), kConfig, 4) & subject_.kept_command, subject_.kept_command);
  expect_reset();
}

// Proves that a mapping from before a reset reaches the new card neither way, and that one made after it does.
TEST_P(DeviceConformance, ResetMakesMappingsStale) {
  if (!device().region(kBar0)->mappable) GTEST_SKIP() << "nothing of this device can be mapped";
  ASSERT_TRUE(vfio::survive_faults());
  auto before = device().map(kBar0, 0, kScratchBytes);
  ASSERT_TRUE(before) << before.error().message;
  ASSERT_TRUE(device().reset());
  EXPECT_TRUE(before->is_stale());
  EXPECT_FALSE(before->write32(subject_.words, 0x0BAD'0BAD));
  EXPECT_EQ(before->read32(subject_.words), vfio::kNothingThere);
  ASSERT_TRUE(put<std::uint16_t>(device(), kConfig, 4, 0x6));
  auto after = device().map(kBar0, 0, kScratchBytes);
  ASSERT_TRUE(after) << after.error().message;
  EXPECT_NE(after->read32(subject_.words), 0x0BAD'0BADU);
  EXPECT_FALSE(after->is_stale());
}

// Proves that a hot reset names whom it takes along and then takes the windows, but not configuration space; and that
// a transport that has none says so instead of doing it by halves.
TEST_P(DeviceConformance, HotResetIsKnownOrRefused) {
  auto info = device().hot_reset_info();
  if (!info) {
    EXPECT_EQ(info.error().code, Code::kUnsupported);
    EXPECT_EQ(device().hot_reset().error().code, Code::kUnsupported);
    return;
  }
  EXPECT_TRUE(std::ranges::any_of(info->dependents, [&](const vfio::HotResetDependent& dependent) {
    return dependent.address == device().name() && dependent.is_ours && dependent.group;
  }));
  const auto done = device().hot_reset();
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(get<std::uint16_t>(device(), kConfig, 4) & 0x6, 0x6);
  expect_reset();
}

// Proves that one card has one user: a second is told so at once.
TEST(SimulatedCard, SecondClientIsRefused) {
  const Simulator simulator;
  auto first = vfio::open(simulator.device_name(), kPatient);
  ASSERT_TRUE(first) << first.error().message;
  auto second = vfio::open(simulator.device_name(), kPatient);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kBusy);
}

}  // namespace
}  // namespace warden
