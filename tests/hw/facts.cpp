// SPDX-License-Identifier: Apache-2.0
// See facts.h. Wormhole's registers; on another chip a fact about them stays open.
#include "tests/hw/facts.h"

#include <fmt/format.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <thread>

#include "driver/chip/wormhole_layout.h"

namespace warden::hw {
namespace {

namespace wormhole = chip::wormhole;

constexpr std::uint64_t kExpectedCapability = 0x70;
constexpr std::uint32_t kFunctionLevelReset = 1U << 28;
// The two places where the PCIe tile's own network interface is said to be, and its number there: (0,3).
constexpr std::uint64_t kNodeIdByManual = 0x1FD2'002C;
constexpr std::uint64_t kNodeIdByDriver = 0x1FD0'202C;
constexpr std::uint32_t kPcieTilePlace = 3U << 6;
// Blackhole's registers of the reset by configuration space.
constexpr std::uint64_t kInterfaceTimer = 0x930;

template <typename Word>
Result<Word> config(const Card& card, std::uint64_t offset) {
  std::array<std::byte, sizeof(Word)> bytes{};
  if (auto read = card.device.read(VFIO_PCI_CONFIG_REGION_INDEX, offset, bytes); !read) {
    return std::unexpected(std::move(read).error());
  }
  Word word = 0;
  std::memcpy(&word, bytes.data(), sizeof word);
  return word;
}

Result<bool> is_wormhole(const Card& card) {
  const auto id = config<std::uint16_t>(card, PCI_DEVICE_ID);
  if (!id) return std::unexpected(id.error());
  return *id == wormhole::kDevice;
}

Answer not_this_chip() { return {Verdict::kOpen, "another chip"}; }

// Where the capability begins; 0: there is none.
Result<std::uint64_t> express_capability(const Card& card) {
  constexpr int kMostCapabilities = 48;  // what fits; a list that is longer runs in a circle
  auto at = config<std::uint8_t>(card, PCI_CAPABILITY_LIST);
  for (int count = 0; at && *at != 0 && count < kMostCapabilities; ++count) {
    const auto id = config<std::uint8_t>(card, *at);
    if (!id) return std::unexpected(id.error());
    if (*id == PCI_CAP_ID_EXP) return *at;
    at = config<std::uint8_t>(card, *at + 1U);
  }
  if (!at) return std::unexpected(at.error());
  return 0;
}

Result<Answer> capability(const Card& card) {
  const auto at = express_capability(card);
  if (!at) return std::unexpected(at.error());
  if (*at == 0) return Answer{Verdict::kDiffers, "there is none"};
  return Answer{*at == kExpectedCapability ? Verdict::kAsAssumed : Verdict::kDiffers, fmt::format("at {:#x}", *at)};
}

Result<Answer> function_reset(const Card& card) {
  const auto at = express_capability(card);
  if (!at) return std::unexpected(at.error());
  const auto capabilities = config<std::uint32_t>(card, *at + PCI_EXP_DEVCAP);
  if (!capabilities) return std::unexpected(capabilities.error());
  const bool has = *at != 0 && (*capabilities & kFunctionLevelReset) != 0;
  std::string found = has ? "the card has it" : "the card has none";
  if (const auto address = pci::Address::parse(card.device.name())) {
    const auto methods = pci::Sysfs::read_or_empty(card.sysfs.function_path(*address) + "/reset_method");
    found += fmt::format("; the kernel resets by: {}", methods.empty() ? "nothing" : methods);
  }
  return Answer{has ? Verdict::kDiffers : Verdict::kAsAssumed, found};
}

Result<Answer> pcie_interface(const Card& card) {
  const auto wanted = is_wormhole(card);
  if (!wanted) return std::unexpected(wanted.error());
  if (!*wanted) return not_this_chip();
  const auto manual = card.bar0.read32(kNodeIdByManual);
  if (!manual) return std::unexpected(manual.error());
  const auto driver = card.bar0.read32(kNodeIdByDriver);
  if (!driver) return std::unexpected(driver.error());
  const auto fits = [](std::uint32_t id) { return (id & wormhole::kNodeIdPlaceMask) == kPcieTilePlace; };
  const std::string found =
      fmt::format("{:#x} reads {:#010x}, {:#x} reads {:#010x}", kNodeIdByManual, *manual, kNodeIdByDriver, *driver);
  if (fits(*manual) == fits(*driver)) return Answer{Verdict::kOpen, found};
  return Answer{fits(*driver) ? Verdict::kAsAssumed : Verdict::kDiffers, found};
}

Result<std::uint64_t> reference_clock(const Card& card) {
  for (;;) {
    const auto high = card.bar0.read32(wormhole::kRefclkHigh);
    const auto low = high ? card.bar0.read32(wormhole::kRefclkLow) : high;
    const auto again = low ? card.bar0.read32(wormhole::kRefclkHigh) : low;
    if (!again) return std::unexpected(again.error());
    if (*high == *again) return std::uint64_t{*high} << 32 | *low;
  }
}

Result<Answer> clock_rate(const Card& card) {
  constexpr std::chrono::milliseconds kWhile{500};
  constexpr double kTolerance = 0.02;
  const auto before = reference_clock(card);
  if (!before) return std::unexpected(before.error());
  const auto began = std::chrono::steady_clock::now();
  std::this_thread::sleep_for(kWhile);
  const auto after = reference_clock(card);
  if (!after) return std::unexpected(after.error());
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - began;
  const double rate_hz = static_cast<double>(*after - *before) / passed.count();
  const bool fits = std::abs(rate_hz / wormhole::kRefclkHz - 1) < kTolerance;
  return Answer{fits ? Verdict::kAsAssumed : Verdict::kDiffers, fmt::format("{:.2f} MHz", rate_hz / 1e6)};
}

Result<Answer> timer_registers(const Card& card) {
  const auto wanted = is_wormhole(card);
  if (!wanted) return std::unexpected(wanted.error());
  if (*wanted) return not_this_chip();
  const auto control = config<std::uint32_t>(card, kInterfaceTimer);
  if (!control) return std::unexpected(control.error());
  return Answer{*control == ~0U ? Verdict::kDiffers : Verdict::kAsAssumed, fmt::format("reads {:#010x}", *control)};
}

Result<Answer> write_combining(const Card& card) {
  const auto address = pci::Address::parse(card.device.name());
  if (!address) return Answer{Verdict::kOpen, "a card on a socket"};
  const bool there = pci::Sysfs::exists(card.sysfs.function_path(*address) + "/resource0_wc");
  return Answer{there ? Verdict::kDiffers : Verdict::kAsAssumed, there ? "the kernel offers resource0_wc" : "none"};
}

Result<Answer> hot_reset_scope(const Card& card) {
  const auto info = card.device.hot_reset_info();
  if (!info && info.error().code == Code::kUnsupported) return Answer{Verdict::kDiffers, "no hot reset at all"};
  if (!info) return std::unexpected(info.error());
  std::string others;
  for (const vfio::HotResetDependent& dependent : info->dependents) {
    if (dependent.address != card.device.name()) others += " " + dependent.address;
  }
  return Answer{others.empty() ? Verdict::kAsAssumed : Verdict::kDiffers,
                others.empty() ? "nobody else" : "goes along:" + others};
}

// The clock of the chip runs on through a reset of its PCI function alone.
Result<Answer> function_reset_scope(const Card& card) {
  const auto before = reference_clock(card);
  if (!before) return std::unexpected(before.error());
  if (auto reset = card.device.reset(); !reset) return std::unexpected(std::move(reset).error());
  const auto after = reference_clock(card);
  if (!after) return std::unexpected(after.error());
  return Answer{*after > *before ? Verdict::kAsAssumed : Verdict::kDiffers,
                fmt::format("the reference clock read {} before and {} after", *before, *after)};
}

constexpr std::array kFacts = {
    Fact{"PCI Express capability", "at 0x70 of configuration space", false, capability},
    Fact{"function-level reset", "the card has none", false, function_reset},
    Fact{"network interface of the PCIe tile", "at 0x1fd02000, as tt-kmd has it", false, pcie_interface},
    Fact{"reference clock", "27 MHz", false, clock_rate},
    Fact{"reset registers of Blackhole", "0x930 of configuration space can be read", false, timer_registers},
    Fact{"write combining", "not to be had", false, write_combining},
    Fact{"hot reset", "takes nobody along", false, hot_reset_scope},
    Fact{"function reset", "leaves the chip itself alone", true, function_reset_scope},
};

}  // namespace

std::span<const Fact> facts() { return kFacts; }

}  // namespace warden::hw
