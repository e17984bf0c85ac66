// SPDX-License-Identifier: Apache-2.0
// An eventfd for each word about each card.
#include "tools/wardend/bus_watch.h"

#include <sys/eventfd.h>

#include <array>
#include <utility>

namespace warden::daemon {

Result<BusWatch> BusWatch::create(std::size_t device_count) {
  BusWatch watch;
  for (std::size_t i = 0; i < 2 * device_count; ++i) {
    watch.events_.emplace_back(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!watch.events_.back()) return fail_errno("eventfd");
  }
  return watch;
}

Status BusWatch::arm(std::uint32_t device_index, vfio::Device& device) const {
  constexpr std::array kWords{std::pair{BusWord::kWantedBack, vfio::kRequestIrq},
                              std::pair{BusWord::kError, vfio::kErrorIrq}};
  for (const auto& [word, irq] : kWords) {
    const auto known = device.irq(irq);
    if (!known || known->count == 0 || !known->eventfd) continue;
    const int event = events_[2 * std::size_t{device_index} + static_cast<std::size_t>(word)].get();
    if (auto set = device.set_irq_eventfds(irq, 0, {&event, 1}); !set) return set;
  }
  return {};
}

std::optional<BusWord> BusWatch::take(std::uint64_t number) const {
  eventfd_t count = 0;
  if (::eventfd_read(events_[number].get(), &count) != 0) return std::nullopt;
  return static_cast<BusWord>(number % 2);
}

}  // namespace warden::daemon
