// SPDX-License-Identifier: Apache-2.0
// The table: quotas, questions, and who gets back what when a session, a worker or a reset ends.
#include "tools/wardend/broker.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

namespace warden::daemon {

namespace {

// Entries of one session lie next to each other.
template <typename Map>
auto of_session(Map& map, std::uint64_t session_id) {
  return std::ranges::subrange(map.lower_bound({session_id, 0}), map.upper_bound({session_id, ~std::uint64_t{0}}));
}

template <typename Map>
std::optional<std::uint32_t> device_of(const Map& map, const HoldingKey& key) {
  const auto found = map.find(key);
  return found == map.end() ? std::nullopt : std::optional(found->second.device_index);
}

}  // namespace

std::optional<std::uint32_t> Broker::device_of_window(const HoldingKey& key) const {
  const std::scoped_lock lock(mutex_);
  return device_of(windows_, key);
}

std::optional<std::uint32_t> Broker::device_of_buffer(const HoldingKey& key) const {
  const std::scoped_lock lock(mutex_);
  return device_of(buffers_, key);
}

Result<HeldWindow> Broker::window(const HoldingKey& key, std::uint32_t device_index) const {
  const std::scoped_lock lock(mutex_);
  const auto found = windows_.find(key);
  if (found != windows_.end() && found->second.device_index == device_index && found->second.window) {
    return found->second;
  }
  return fail(Code::kNotFound, "this session has no such window; reserve it");
}

Status Broker::check_host_access(const chip::Chip& chip, std::uint64_t session_id, std::uint32_t device_index,
                                 chip::Tile tile, chip::CardAddress address, std::uint64_t size_bytes) const {
  const auto iova = chip.iova_of(tile, address);
  if (!iova) return {};
  const std::scoped_lock lock(mutex_);
  for (const auto& [key, buffer] : of_session(buffers_, session_id)) {
    if (buffer.device_index != device_index || !buffer.mapped || *iova < buffer.iova) continue;
    const std::uint64_t offset = iova->value - buffer.iova.value;
    if (offset <= buffer.size_bytes && size_bytes <= buffer.size_bytes - offset) return {};
  }
  return fail(Code::kPermission, fmt::format("{:#x}+{:#x} of tile ({},{}) is host memory, and no DMA buffer of this "
                                             "session",
                                             address.value, size_bytes, tile.x, tile.y));
}

Broker::Sum Broker::held_by(std::uint64_t session_id, std::uint32_t device_index) const {
  const std::scoped_lock lock(mutex_);
  Sum sum;
  for (const auto& [key, window] : of_session(windows_, session_id)) {
    if (window.device_index == device_index) ++sum.windows;
  }
  for (const auto& [key, buffer] : of_session(buffers_, session_id)) {
    if (buffer.device_index != device_index) continue;
    ++sum.buffers;
    sum.dma_bytes += buffer.size_bytes;
  }
  return sum;
}

bool Broker::has_windows(std::uint32_t device_index) const {
  const std::scoped_lock lock(mutex_);
  return std::ranges::any_of(windows_, [&](const auto& entry) { return entry.second.device_index == device_index; });
}

// Seen under the lock with which an entry is made: whoever ends the session afterwards finds the entry.
Status Broker::check_alive(const Session& session) const {
  if (!session.ended.load() && !session.peer_gone.load()) return {};
  return fail(Code::kStale, "the session has ended");
}

Status Broker::check_window_quota(std::uint64_t session_id) const {
  const auto count = static_cast<std::size_t>(std::ranges::distance(of_session(windows_, session_id)));
  if (count < parts_.limits.windows) return {};
  return fail(Code::kBusy, fmt::format("this session has {} windows, and wardend gives no more (--max-windows); "
                                       "release one",
                                       count));
}

Status Broker::check_dma_quota(std::uint64_t session_id, std::uint64_t size_bytes) const {
  std::uint64_t bytes = 0;
  std::size_t count = 0;
  for (const auto& [key, buffer] : of_session(buffers_, session_id)) {
    bytes += buffer.size_bytes;
    ++count;
  }
  if (count >= kMaxBuffersPerSession) {
    return fail(Code::kBusy, fmt::format("this session has {} DMA buffers, and wardend gives no more; unmap one, or "
                                         "map fewer and larger ones",
                                         count));
  }
  const std::uint64_t limit = parts_.limits.dma_bytes;
  if (size_bytes <= limit && bytes <= limit - size_bytes) return {};
  return fail(Code::kBusy, fmt::format("this session has {} bytes of DMA memory; {} more are over the limit of {} "
                                       "(--max-dma); unmap some",
                                       bytes, size_bytes, limit));
}

// Made when the chip is first seen. What is held already was handed out by a predecessor.
Result<vfio::IovaAllocator*> Broker::iovas_of(std::uint32_t device_index, chip::Chip& chip) {
  if (vfio::IovaAllocator* known = spaces_.find(device_index)) return known;
  auto made = spaces_.make(device_index, chip);
  if (!made) return made;
  for (const auto& [key, buffer] : buffers_) {
    if (spaces_.share(buffer.device_index, device_index)) (void)(*made)->claim(buffer.iova, buffer.size_bytes);
  }
  return made;
}

void Broker::release(std::uint64_t session_id) {
  for (std::uint32_t index = 0; index < parts_.devices.count(); ++index) {
    std::vector<HoldingKey> windows;
    std::vector<HoldingKey> buffers;
    {
      const std::scoped_lock lock(mutex_);
      for (const auto& [key, window] : of_session(windows_, session_id)) {
        if (window.device_index == index && !window.quarantined) windows.push_back(key);
      }
      for (const auto& [key, buffer] : of_session(buffers_, session_id)) {
        if (buffer.device_index == index && !buffer.quarantined_epoch) buffers.push_back(key);
      }
    }
    drop_all(index, std::move(windows), std::move(buffers));
  }
}

void Broker::quarantine(std::uint32_t device_index, std::uint64_t session_id) {
  const std::uint64_t epoch = parts_.devices.at(device_index).epoch();
  const std::scoped_lock lock(mutex_);
  for (auto& [key, window] : of_session(windows_, session_id)) {
    if (window.device_index != device_index) continue;
    window.quarantined = true;
    (void)parts_.keeper.keep(keeper_name_of_window(key), blob_of(window));
  }
  for (auto& [key, buffer] : of_session(buffers_, session_id)) {
    if (buffer.device_index != device_index) continue;
    buffer.quarantined_epoch = epoch;
    (void)parts_.keeper.keep(keeper_name_of_buffer(key), blob_of(buffer));
  }
}

void Broker::forget_device(std::uint32_t device_index) {
  const std::uint64_t epoch = parts_.devices.at(device_index).epoch();
  // A reset that failed proves nothing about what still runs on the card.
  const bool is_proven = parts_.devices.at(device_index).view().state == shm::DeviceState::kReady;
  std::vector<HoldingKey> freed;
  {
    const std::scoped_lock lock(mutex_);
    forget_windows(device_index, epoch);
    for (const auto& [key, buffer] : buffers_) {
      if (!is_proven || buffer.device_index != device_index || !buffer.quarantined_epoch) continue;
      if (*buffer.quarantined_epoch < epoch) freed.push_back(key);
    }
  }
  drop_all(device_index, {}, std::move(freed));
}

void Broker::forget_windows(std::uint32_t device_index, std::uint64_t epoch) {
  std::erase_if(windows_, [&](const auto& entry) {
    if (entry.second.device_index != device_index || entry.second.epoch >= epoch) return false;
    (void)parts_.keeper.drop(keeper_name_of_window(entry.first));
    return true;
  });
}

void Broker::map_again(chip::Chip& chip, std::uint32_t device_index) {
  {
    const std::scoped_lock lock(mutex_);
    forget_windows(device_index, chip.epoch());
  }
  map_all(chip, device_index);
}

void Broker::drop_all(std::uint32_t device_index, std::vector<HoldingKey> windows, std::vector<HoldingKey> buffers) {
  if (windows.empty() && buffers.empty()) return;
  const auto drop = [this, windows = std::move(windows), buffers = std::move(buffers)](chip::Chip* chip) {
    for (const HoldingKey& key : windows) drop_window(chip, key);
    for (const HoldingKey& key : buffers) {
      if (Status dropped = drop_buffer(chip, key); !dropped) {
        spdlog::error("session {}: its DMA memory stays in quarantine: {}", key.session_id, dropped.error().message);
      }
    }
  };
  if (!parts_.devices.at(device_index).post([drop](chip::Chip& chip) { drop(&chip); })) drop(nullptr);
}

void Broker::restore(KeptTable& kept, const SessionTable& sessions) {
  restore_entries(kept);
  std::vector<std::uint64_t> gone;
  {
    const std::scoped_lock lock(mutex_);
    for (const auto& [key, window] : windows_) gone.push_back(key.session_id);
    for (const auto& [key, buffer] : buffers_) gone.push_back(key.session_id);
  }
  std::ranges::sort(gone);
  const auto repeated = std::ranges::unique(gone);
  gone.erase(repeated.begin(), repeated.end());
  std::erase_if(gone, [&](std::uint64_t session_id) { return sessions.find(session_id) != nullptr; });
  for (std::uint32_t index = 0; index < parts_.devices.count(); ++index) {
    forget_device(index);  // a reset may have ended since
    (void)parts_.devices.at(index).post([this, index](chip::Chip& chip) {
      map_all(chip, index);
      aim_all(chip, index);
    });
  }
  for (const std::uint64_t session_id : gone) release(session_id);
}

void Broker::restore_entries(KeptTable& kept) {
  const std::scoped_lock lock(mutex_);
  for (auto& [name, entry] : kept) {
    if (const auto key = window_key(name)) {
      Result<HeldWindow> window = window_from(entry);
      if (window && window->device_index < parts_.devices.count()) windows_.emplace(*key, *window);
    } else if (const auto number = buffer_key(name)) {
      Result<HeldBuffer> buffer = buffer_from(std::move(entry));
      if (!buffer) spdlog::error("{} is lost: {}", name, buffer.error().message);
      if (buffer && buffer->device_index < parts_.devices.count()) buffers_.emplace(*number, std::move(*buffer));
    }
  }
}

}  // namespace warden::daemon
