// SPDX-License-Identifier: Apache-2.0
// From vfio-user requests to the chip. Indices are those of <linux/vfio.h>.
#include "tools/sim/chip_function.h"

#include <linux/vfio.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>

namespace warden::sim {

namespace {

constexpr std::uint64_t kInstructionsAtOnce = 20'000;  // about 50 us, as long as a client's request may wait

std::optional<std::size_t> bar_of(std::uint32_t region) noexcept {
  if (region > VFIO_PCI_BAR5_REGION_INDEX || region % 2 != 0) return std::nullopt;
  return region / 2;  // 64-bit BARs take two registers each
}

// Never blocks, even if the client passed something else than an eventfd or let it fill up.
bool signal(const UniqueFd& event) {
  if (!event) return false;
  pollfd writable{.fd = event.get(), .events = POLLOUT, .revents = 0};
  if (::poll(&writable, 1, 0) != 1 || (writable.revents & POLLOUT) == 0) return false;
  constexpr std::uint64_t kOne = 1;
  return ::write(event.get(), &kOne, sizeof(kOne)) == sizeof(kOne);
}

vfio::Reply<void> from_errno(int error_number) {
  if (error_number != 0) return std::unexpected(error_number);
  return {};
}

}  // namespace

void ChipFunction::client_opened() {
  const std::scoped_lock lock(mutex_);
  chip_.client_opened();
}

void ChipFunction::client_closed() {
  const std::scoped_lock lock(mutex_);
  for (UniqueFd* event : {&vector_, &error_, &request_}) event->reset();
  vector_held_ = false;
  chip_.client_closed();
}

std::optional<TimePoint> ChipFunction::run_cores() {
  mutex_.lock_when_unwanted();
  const std::unique_lock lock(mutex_, std::adopt_lock);
  return chip_.run_cores(kInstructionsAtOnce);
}

std::optional<TimePoint> ChipFunction::run_step() {
  const std::scoped_lock lock(mutex_);
  return chip_.run_cores(1, Lockstep::kStepInstructions);
}

Lockstep::Hold ChipFunction::begin_access() {
  return lockstep_ != nullptr ? lockstep_->step_and_hold() : Lockstep::Hold();
}

void ChipFunction::stop() {
  const std::scoped_lock lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
}

vfio::DeviceInfo ChipFunction::info() {
  return {.region_count = VFIO_PCI_NUM_REGIONS, .irq_count = VFIO_PCI_NUM_IRQS, .can_reset = true};
}

vfio::RegionInfo ChipFunction::region(std::uint32_t index) {
  std::uint64_t size_bytes = 0;
  if (const auto bar = bar_of(index)) size_bytes = kBarSizes[*bar];
  if (index == VFIO_PCI_CONFIG_REGION_INDEX) size_bytes = kConfigBytes;
  const bool there = size_bytes > 0;
  return {.index = index, .size_bytes = size_bytes, .readable = there, .writable = there, .mappable = false};
}

vfio::IrqInfo ChipFunction::irq(std::uint32_t index) {
  const bool there = index == VFIO_PCI_MSI_IRQ_INDEX || word_event(index) != nullptr;
  return {.index = index, .count = there ? 1U : 0U, .eventfd = there};
}

UniqueFd* ChipFunction::word_event(std::uint32_t irq) noexcept {
  switch (irq) {
    case vfio::kErrorIrq: return &error_;
    case vfio::kRequestIrq: return &request_;
    default: return nullptr;
  }
}

vfio::Reply<void> ChipFunction::read(std::uint32_t region, std::uint64_t offset, std::span<std::byte> into) {
  const Lockstep::Hold held = begin_access();
  const std::scoped_lock lock(mutex_);
  if (const auto bar = bar_of(region)) {
    chip_.read_bar(*bar, offset, into);
  } else {
    chip_.read_config(static_cast<std::uint32_t>(offset), into);
  }
  return {};
}

vfio::Reply<void> ChipFunction::write(std::uint32_t region, std::uint64_t offset, std::span<const std::byte> from) {
  Lockstep::Hold held = begin_access();
  std::unique_lock lock(mutex_);
  if (const auto bar = bar_of(region)) {
    chip_.write_bar(*bar, offset, from);
    return {};
  }
  const bool reset_began = chip_.write_config(static_cast<std::uint32_t>(offset), from);
  // The kernel carries out such a reset before the write returns.
  return reset_began ? wait_for_reset(lock, held) : vfio::Reply<void>{};
}

vfio::Reply<void> ChipFunction::dma_map(vfio::Iova iova, std::uint64_t size_bytes, UniqueFd memory,
                                        std::uint64_t offset, vfio::DmaAccess access) {
  const std::scoped_lock lock(mutex_);
  return from_errno(chip_.host().map(iova.value, size_bytes, std::move(memory), offset, access));
}

vfio::Reply<void> ChipFunction::dma_unmap(vfio::Iova iova, std::uint64_t size_bytes) {
  const std::scoped_lock lock(mutex_);
  return from_errno(chip_.host().unmap(iova.value, size_bytes));
}

void ChipFunction::dma_unmap_all() {
  const std::scoped_lock lock(mutex_);
  chip_.host().unmap_all();
}

// As in the kernel: the first eventfd makes it set the card's MSI capability up, later ones only take its place.
// That is why a card that lost its capability in a reset needs disable_irqs() first.
vfio::Reply<void> ChipFunction::set_irq_eventfds(std::uint32_t index, std::uint32_t, std::vector<UniqueFd> eventfds) {
  const std::scoped_lock lock(mutex_);
  if (UniqueFd* word = word_event(index)) {
    *word = std::move(eventfds.front());
    return {};
  }
  vector_ = std::move(eventfds.front());
  if (!vector_held_) chip_.set_interrupts_enabled(true);
  vector_held_ = true;
  return {};
}

vfio::Reply<void> ChipFunction::trigger_irqs(std::uint32_t index, std::uint32_t, std::uint32_t) {
  const std::scoped_lock lock(mutex_);
  if (const UniqueFd* word = word_event(index)) {
    (void)signal(*word);
    return {};
  }
  if (!vector_held_) return std::unexpected(EINVAL);
  (void)signal(vector_);  // without an eventfd the kernel does nothing either
  return {};
}

vfio::Reply<void> ChipFunction::disable_irqs(std::uint32_t index) {
  const std::scoped_lock lock(mutex_);
  if (UniqueFd* word = word_event(index)) word->reset();
  if (index != VFIO_PCI_MSI_IRQ_INDEX) return {};
  vector_.reset();
  vector_held_ = false;
  chip_.set_interrupts_enabled(false);
  return {};
}

vfio::Reply<void> ChipFunction::reset() {
  Lockstep::Hold held = begin_access();
  std::unique_lock lock(mutex_);
  const bool by_function = chip_.function_level_reset_available();
  if (!chip_.begin_reset(by_function ? ResetKind::kFunction : ResetKind::kLink)) return std::unexpected(EIO);
  return wait_for_reset(lock, held);
}

vfio::Reply<void> ChipFunction::wait_for_reset(std::unique_lock<PoliteMutex>& lock, Lockstep::Hold& held) {
  if (held) held.unlock();  // time passes meanwhile
  while (const auto end = chip_.reset_end()) {
    if (stopping_) return std::unexpected(ESHUTDOWN);
    if (lockstep_ != nullptr && *end != TimePoint::max()) {
      lock.unlock();
      lockstep_->pass_until(*end);
      lock.lock();
    } else {
      changed_.wait_until(lock, *end);
    }
  }
  return {};
}

bool ChipFunction::interrupt() {
  const std::scoped_lock lock(mutex_);
  return chip_.raise_interrupt() && signal(vector_);
}

bool ChipFunction::say(std::uint32_t irq) {
  const std::scoped_lock lock(mutex_);
  const UniqueFd* word = word_event(irq);
  return word != nullptr && signal(*word);
}

}  // namespace warden::sim
