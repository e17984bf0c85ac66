// SPDX-License-Identifier: Apache-2.0
// An eventfd for each word about each card.
#include "tools/wardend/bus_watch.h"

#include <fmt/format.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <string>
#include <utility>

namespace warden::daemon {

namespace {

constexpr std::size_t kWords = 2;

std::string keeper_name_of(std::uint32_t device_index) { return fmt::format("bus/{}", device_index); }

Result<std::vector<UniqueFd>> make_events() {
  std::vector<UniqueFd> events;
  for (std::size_t word = 0; word < kWords; ++word) {
    events.emplace_back(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!events.back()) return fail_errno("eventfd");
  }
  return events;
}

}  // namespace

Result<BusWatch> BusWatch::create(const Devices& devices, KeptTable& kept, KeeperLink& keeper) {
  BusWatch watch;
  for (std::uint32_t index = 0; index < devices.count(); ++index) {
    const std::string name = keeper_name_of(index);
    const auto entry = kept.find(name);
    const bool is_kept = entry != kept.end() && entry->second.fds.size() == kWords;
    auto events = is_kept ? Result<std::vector<UniqueFd>>(std::move(entry->second.fds)) : make_events();
    if (!events) return std::unexpected(std::move(events).error());
    if (!is_kept) {
      const std::array fds{(*events)[0].get(), (*events)[1].get()};
      if (Status held = keeper.keep(name, {}, fds); !held) return std::unexpected(held.error());
    }
    std::ranges::move(*events, std::back_inserter(watch.events_));
  }
  return watch;
}

Status BusWatch::arm(std::uint32_t device_index, vfio::Device& device) const {
  constexpr std::array kIrqs{std::pair{BusWord::kWantedBack, vfio::kRequestIrq},
                             std::pair{BusWord::kError, vfio::kErrorIrq}};
  for (const auto& [word, irq] : kIrqs) {
    const auto known = device.irq(irq);
    if (!known || known->count == 0 || !known->eventfd) continue;
    const int event = events_[kWords * device_index + static_cast<std::size_t>(word)].get();
    if (auto set = device.set_irq_eventfds(irq, 0, {&event, 1}); !set) return set;
  }
  return {};
}

std::optional<BusWord> BusWatch::take(std::uint64_t number) const {
  eventfd_t count = 0;
  if (::eventfd_read(events_[number].get(), &count) != 0) return std::nullopt;
  return static_cast<BusWord>(number % kWords);
}

}  // namespace warden::daemon
