// SPDX-License-Identifier: Apache-2.0
// A chip as the PCI function that a vfio-user client talks to, and the one place where access to it is locked: the
// client's thread and the control socket share it.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <warden/unique_fd.h>

#include "driver/vfio/vfio_user_server.h"
#include "tools/sim/chip.h"
#include "tools/sim/lockstep.h"
#include "tools/sim/polite_mutex.h"

namespace warden::sim {

class ChipFunction final : public vfio::VfioUserTarget {
 public:
  // `has_work`: run_cores() should be called soon. From any thread, also with the chip locked.
  ChipFunction(
      const ChipOptions& options, NowFunction now, std::function<void()> has_work = [] {})
      : chip_(options, std::move(now), std::move(has_work)) {}

  // Deterministic mode: each access of a client is a step of the board's. Before anybody uses it; borrowed.
  void follow(Lockstep& lockstep) noexcept { lockstep_ = &lockstep; }

  // Runs action(chip) with the chip locked. Any thread.
  template <typename Action>
  auto locked(Action&& action) {
    const Lockstep::Hold held = lockstep_ != nullptr ? lockstep_->hold() : Lockstep::Hold();
    const std::scoped_lock lock(mutex_);
    auto done = action(chip_);
    changed_.notify_all();
    return done;
  }

  void client_opened();
  void client_closed();
  // The card raises its interrupt; false if it did not get through to an eventfd. Any thread.
  [[nodiscard]] bool interrupt();
  // What a kernel says of a card of its own accord, by kErrorIrq or kRequestIrq; false if nobody listens. Any thread.
  [[nodiscard]] bool say(std::uint32_t irq);
  // As Chip::run_cores(), in pieces between which everybody else gets the chip first. Any thread.
  [[nodiscard]] std::optional<TimePoint> run_cores();
  // As Chip::run_cores(), of a step. Only for the one that is followed.
  [[nodiscard]] std::optional<TimePoint> run_step();
  // Ends whatever reset() waits for, for good. Any thread.
  void stop();

  [[nodiscard]] vfio::DeviceInfo info() override;
  [[nodiscard]] vfio::RegionInfo region(std::uint32_t index) override;
  [[nodiscard]] vfio::IrqInfo irq(std::uint32_t index) override;
  [[nodiscard]] vfio::Reply<void> read(std::uint32_t region, std::uint64_t offset, std::span<std::byte> into) override;
  [[nodiscard]] vfio::Reply<void> write(std::uint32_t region, std::uint64_t offset,
                                        std::span<const std::byte> from) override;
  [[nodiscard]] vfio::Reply<void> dma_map(vfio::Iova iova, std::uint64_t size_bytes, UniqueFd memory,
                                          std::uint64_t offset, vfio::DmaAccess access) override;
  [[nodiscard]] vfio::Reply<void> dma_unmap(vfio::Iova iova, std::uint64_t size_bytes) override;
  void dma_unmap_all() override;
  [[nodiscard]] vfio::Reply<void> set_irq_eventfds(std::uint32_t index, std::uint32_t start,
                                                   std::vector<UniqueFd> eventfds) override;
  [[nodiscard]] vfio::Reply<void> trigger_irqs(std::uint32_t index, std::uint32_t start, std::uint32_t count) override;
  [[nodiscard]] vfio::Reply<void> disable_irqs(std::uint32_t index) override;
  [[nodiscard]] vfio::Reply<void> reset() override;

 private:
  [[nodiscard]] Lockstep::Hold begin_access();
  [[nodiscard]] vfio::Reply<void> wait_for_reset(std::unique_lock<PoliteMutex>& lock, Lockstep::Hold& held);
  [[nodiscard]] UniqueFd* word_event(std::uint32_t irq) noexcept;

  Lockstep* lockstep_ = nullptr;
  PoliteMutex mutex_;
  std::condition_variable_any changed_;
  Chip chip_;
  UniqueFd vector_;           // the client's eventfd for the one MSI vector
  bool vector_held_ = false;  // the kernel has allocated it; setting an eventfd again does not touch the card
  UniqueFd error_;            // the client's eventfds for what the kernel would say
  UniqueFd request_;
  bool stopping_ = false;
};

}  // namespace warden::sim
