// SPDX-License-Identifier: Apache-2.0
// Opening and taking over cards.
#include "tools/wardend/devices.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "driver/vfio/device.h"

namespace warden::daemon {

namespace {

std::string keeper_name(std::uint32_t index) { return fmt::format("card/{}", index); }

Result<OpenedCard> as_it_is(Result<std::unique_ptr<chip::Chip>> chip, std::string complaint = {}) {
  if (!chip) return std::unexpected(std::move(chip).error());
  return OpenedCard{std::move(*chip), std::move(complaint)};
}

Result<std::unique_ptr<chip::Chip>> adopt_chip(const std::string& name, std::vector<UniqueFd> fds,
                                               std::uint64_t epoch) {
  Result<std::unique_ptr<vfio::Device>> device = vfio::adopt(name, std::move(fds));
  if (!device) return std::unexpected(std::move(device).error());
  return chip::adopt(std::move(*device), epoch);
}

Result<OpenedCard> adopt_card(const std::string& name, std::vector<UniqueFd> fds, std::uint64_t epoch,
                              bool had_failed) {
  return as_it_is(adopt_chip(name, std::move(fds), epoch),
                  had_failed ? "since before wardend's worker was restarted" : "");
}

Result<std::vector<UniqueFd>> copies_of(std::span<const int> fds) {
  std::vector<UniqueFd> copies;
  for (const int fd : fds) {
    copies.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (!copies.back()) return fail_errno("keep a card open");
  }
  return copies;
}

// The keeper holds the descriptors before the first access: from then on no death of ours lets go of the card.
Result<OpenedCard> open_card(std::uint32_t index, const std::string& name, KeeperLink& keeper) {
  Result<std::unique_ptr<vfio::Device>> device = vfio::open(name);
  if (!device) return std::unexpected(std::move(device).error());
  if (Status kept = keeper.keep(keeper_name(index), name, (*device)->descriptors()); !kept) {
    return std::unexpected(kept.error());
  }
  Result<std::vector<UniqueFd>> fds = copies_of((*device)->descriptors());
  if (!fds) return std::unexpected(std::move(fds).error());
  Result<std::unique_ptr<chip::Chip>> chip = chip::open(std::move(*device));
  if (chip) return OpenedCard{std::move(*chip), {}};
  const bool is_on_bus = chip.error().code == Code::kTimeout || chip.error().code == Code::kFailed;
  if (is_on_bus) {  // its firmware hangs: a reset may help, and takes the card as it is
    auto asleep = as_it_is(adopt_chip(name, std::move(*fds), 1), chip.error().message);
    if (asleep) return asleep;
  }
  (void)keeper.drop(keeper_name(index));
  return wrap(std::move(chip).error(), name);
}

// None where there is no bus to reset: a card on a root bus, or one that is simulated on a socket.
std::vector<std::string> dependents_of(vfio::Device& device) {
  std::vector<std::string> addresses;
  const auto info = device.hot_reset_info();
  if (!info) return addresses;
  for (const vfio::HotResetDependent& each : info->dependents) addresses.push_back(each.address);
  return addresses;
}

// No card will ever answer to this name.
bool is_mistake(Code code) { return code == Code::kInvalidArgument || code == Code::kUnsupported; }

// The card is there again after its transport was gone. Its firmware runs, or this is not the time to take it.
Result<std::unique_ptr<chip::Chip>> reopen_chip(std::uint32_t index, const std::string& name, KeeperLink& keeper,
                                                std::uint64_t epoch) {
  (void)keeper.drop(keeper_name(index));  // a card takes one client at a time, and the keeper holds the old one
  Result<std::unique_ptr<vfio::Device>> device = vfio::open(name);
  if (!device) return std::unexpected(std::move(device).error());
  Result<std::unique_ptr<chip::Chip>> chip = chip::adopt(std::move(*device), epoch);
  if (!chip) return chip;
  if (Result<chip::Telemetry> telemetry = (*chip)->telemetry(); !telemetry) {
    return std::unexpected(std::move(telemetry).error());
  }
  if (Status kept = keeper.keep(keeper_name(index), name, (*chip)->device().descriptors()); !kept) {
    return std::unexpected(kept.error());
  }
  return chip;
}

// Whether the last worker died while this card was in the hands of a reset, which will be gone on with.
bool is_in_reset(std::uint32_t index, const std::optional<ResetRecord>& unfinished) {
  if (!unfinished) return false;
  if (unfinished->phase != shm::ResetPhase::kResetting && unfinished->phase != shm::ResetPhase::kVerified) return false;
  return std::ranges::any_of(unfinished->devices, [index](const ResetDevice& device) { return device.index == index; });
}

// The epoch that clients know, one further when a reset was tried and its end was not told yet.
std::uint64_t epoch_to_go_on_with(std::uint64_t known, std::uint32_t index,
                                  const std::optional<ResetRecord>& unfinished) {
  if (!unfinished || unfinished->result == shm::ResetResult::kNone) return known;
  if (unfinished->phase != shm::ResetPhase::kResetting && unfinished->phase != shm::ResetPhase::kVerified) return known;
  for (const ResetDevice& device : unfinished->devices) {
    if (device.index == index) return std::max(known, device.epoch + 1);
  }
  return known;
}

}  // namespace

Result<Devices> Devices::open(const std::vector<std::string>& names, KeptTable& kept, KeeperLink& keeper,
                              shm::DirectoryWriter& directory, const std::optional<ResetRecord>& unfinished) {
  Devices devices(directory);
  std::optional<Error> unreachable;
  bool is_any_known = names.empty();
  for (std::uint32_t index = 0; index < names.size(); ++index) {
    const std::string& name = names[index];
    const shm::DeviceRecord& row = directory.device(index);
    const auto entry = kept.find(keeper_name(index));
    // A row without state: the last worker died before it had opened this card, so nobody has used it yet.
    const bool is_first_time = row.state.load() == 0;
    const bool had_failed = row.state.load() == static_cast<std::uint32_t>(shm::DeviceState::kFailed);
    if (is_first_time && entry != kept.end()) entry->second.fds.clear();
    const std::uint64_t epoch = epoch_to_go_on_with(row.epoch.load(), index, unfinished);
    // Lost already, and nothing kept of it: it may be back, or come back later.
    auto card = is_first_time         ? open_card(index, name, keeper)
                : entry != kept.end() ? adopt_card(name, std::move(entry->second.fds), epoch, had_failed)
                                      : as_it_is(reopen_chip(index, name, keeper, epoch + 1));
    if (!card && is_first_time && is_mistake(card.error().code)) return std::unexpected(std::move(card).error());
    is_any_known = is_any_known || card || !is_first_time;
    if (!card && !unreachable) unreachable = card.error();
    devices.add(name, std::move(card), epoch);
    if (is_in_reset(index, unfinished)) devices.threads_.back()->close_for(unfinished->id);
    devices.publish_row(index);
  }
  if (!is_any_known) return std::unexpected(std::move(*unreachable));
  devices.log_complaints();
  return devices;
}

void Devices::add(const std::string& name, Result<OpenedCard> card, std::uint64_t epoch) {
  dependents_.push_back(card ? dependents_of(card->chip->device()) : std::vector<std::string>());
  const std::string complaint = card ? card->complaint : card.error().message;
  threads_.push_back(std::make_unique<DeviceThread>(name, card ? std::move(card->chip) : nullptr, epoch, complaint));
  if (card && !complaint.empty()) (void)threads_.back()->release(true, complaint);
}

void Devices::log_complaints() const {
  for (const auto& thread : threads_) {
    const DeviceView view = thread->view();
    if (view.state == shm::DeviceState::kLost) spdlog::error("{} is lost: {}", view.name, view.reason);
    if (view.state == shm::DeviceState::kFailed)
      spdlog::error("{} does not work: {}; reset it", view.name, view.reason);
  }
}

void Devices::reopen_lost(KeeperLink& keeper, const Reopening& reopening) const {
  for (std::uint32_t index = 0; index < count(); ++index) {
    const auto open = [index, &keeper, name = threads_[index]->name(),
                       prepare = reopening.prepare](std::uint64_t epoch) {
      auto chip = reopen_chip(index, name, keeper, epoch);
      if (chip) prepare(index, **chip);
      return chip;
    };
    threads_[index]->reopen_if_lost(open, [index, done = reopening.done] { done(index); });
  }
}

Result<std::uint32_t> Devices::find(std::string_view name) const {
  for (std::uint32_t index = 0; index < count(); ++index) {
    if (threads_[index]->name() == name) return index;
  }
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error == std::errc() && end == name.data() + name.size() && number < count()) return number;
  return fail(Code::kNotFound, fmt::format("no device '{}'; wardend has {}", name, names_text()));
}

Result<std::vector<ResetDevice>> Devices::select(const std::vector<std::string>& names) const {
  std::vector<ResetDevice> selected;
  const auto add = [&](std::uint32_t index) {
    selected.push_back({index, threads_[index]->name(), threads_[index]->epoch()});
  };
  if (names.empty()) {
    for (std::uint32_t index = 0; index < count(); ++index) add(index);
  }
  for (const std::string& name : names) {
    const Result<std::uint32_t> index = find(name);
    if (!index) return std::unexpected(index.error());
    if (std::ranges::any_of(selected, [&](const ResetDevice& device) { return device.index == *index; })) {
      return fail(Code::kInvalidArgument, fmt::format("device '{}' is named twice; name each once", name));
    }
    add(*index);
  }
  for (std::size_t i = 0; i < selected.size(); ++i) {  // grows: who comes along may bring others
    for (std::uint32_t index = 0; index < count(); ++index) {
      const bool is_new = std::ranges::none_of(selected, [&](const auto& device) { return device.index == index; });
      if (is_new && goes_along(index, selected[i].index)) add(index);
    }
  }
  if (selected.empty()) return fail(Code::kNotFound, "wardend has no device; start it with --device");
  return selected;
}

bool Devices::goes_along(std::uint32_t index, std::uint32_t with) const {
  return std::ranges::find(dependents_[with], threads_[index]->name()) != dependents_[with].end();
}

std::string Devices::names_text() const {
  std::string text;
  for (const auto& thread : threads_) text += (text.empty() ? "" : ", ") + thread->name();
  return text.empty() ? "none" : text;
}

void Devices::publish_row(std::uint32_t index) const {
  const DeviceView view = threads_[index]->view();
  shm::DeviceRecord& row = directory_->device(index);
  if (row.state.load() == static_cast<std::uint32_t>(shm::DeviceState::kAbsent)) {
    row.index = index;
    std::memcpy(row.name, view.name.data(), std::min(view.name.size(), sizeof(row.name) - 1));
  }
  row.epoch.store(view.epoch);
  row.state.store(static_cast<std::uint32_t>(view.state));
}

void Devices::publish_change(std::uint32_t index, EventBoard& board) const {
  const DeviceView view = threads_[index]->view();
  shm::EventDraft event;
  event.kind = shm::EventKind::kDevice;
  event.device_mask = std::uint64_t{1} << index;
  event.value = static_cast<std::uint64_t>(view.state);
  event.text = view.name;
  board.publish(event);
}

}  // namespace warden::daemon
