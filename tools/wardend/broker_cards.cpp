// SPDX-License-Identifier: Apache-2.0
// The broker's work on a card's thread: aiming windows, making, mapping and unmapping DMA memory.
#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <utility>

#include "tools/wardend/broker.h"

namespace warden::daemon {

namespace {

constexpr int kMemorySeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

// What the card's words mean, as the driver says it; the numbers were checked when the message came.
chip::WindowRequest request_of(const shm::ReserveWindow& wanted) {
  return {.size = static_cast<chip::WindowSize>(wanted.size),
          .tiles = {{wanted.x, wanted.y}, {wanted.last_x, wanted.last_y}},
          .multicast = wanted.multicast != 0,
          .noc = wanted.noc,
          .ordering = static_cast<chip::Ordering>(wanted.ordering),
          .base = wanted.base};
}

// Where there is no transport any more, the card can reach nothing by it.
bool is_unmapped(const Status& unmapped) {
  return unmapped || unmapped.error().code == Code::kNotFound || unmapped.error().code == Code::kDisconnected;
}

Result<UniqueFd> copy_of(int fd) {
  UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy) return fail_errno("copy a descriptor");
  return copy;
}

}  // namespace

Status Broker::reserve_window(chip::Chip& chip, const Session& session, const shm::ReserveWindow& wanted) {
  const HoldingKey key{session.identity.id, wanted.number};
  HeldWindow window{
      .device_index = wanted.device_index, .epoch = wanted.epoch, .request = request_of(wanted), .window = {}};
  {
    const std::scoped_lock lock(mutex_);
    if (Status alive = check_alive(session); !alive) return alive;
    if (const auto known = windows_.find(key); known != windows_.end()) {
      const HeldWindow& held = known->second;
      if (held.device_index == window.device_index && held.epoch == window.epoch && held.request == window.request &&
          held.window) {
        return {};
      }
      return fail(Code::kInvalidArgument, "this window's number stands for another one; take a new number");
    }
    if (Status allowed = check_window_quota(key.session_id); !allowed) return allowed;
    windows_.emplace(key, window);
  }
  const auto aimed = chip::Handle(chip, window.epoch).reserve_window(window.request);
  Status kept;
  if (aimed) {
    kept = parts_.keeper.keep(keeper_name_of_window(key), blob_of(window));
  } else {
    kept = std::unexpected(aimed.error());
  }
  const std::scoped_lock lock(mutex_);
  if (kept) {
    windows_.at(key).window = *aimed;
  } else {
    windows_.erase(key);
  }
  return kept;
}

void Broker::drop_window(chip::Chip* chip, const HoldingKey& key) {
  std::optional<chip::Window> window;
  {
    const std::scoped_lock lock(mutex_);
    const auto found = windows_.find(key);
    if (found == windows_.end()) return;
    window = found->second.window;
    windows_.erase(found);
  }
  if (chip != nullptr && window) window->release(*chip);
  (void)parts_.keeper.drop(keeper_name_of_window(key));
}

Result<Broker::MappedBuffer> Broker::map_dma(chip::Chip& chip, const Session& session, const shm::MapDma& wanted) {
  const HoldingKey key{session.identity.id, wanted.number};
  {
    const std::scoped_lock lock(mutex_);
    if (Status alive = check_alive(session); !alive) return std::unexpected(alive.error());
    if (const auto known = buffers_.find(key); known != buffers_.end()) {
      const HeldBuffer& held = known->second;
      if (held.device_index == wanted.device_index && held.size_bytes == wanted.size_bytes && held.mapped) {
        return as_reply(chip, held);
      }
      return fail(Code::kInvalidArgument, "this buffer's number stands for another one; take a new number");
    }
    if (Status allowed = check_dma_quota(key.session_id, wanted.size_bytes); !allowed) {
      return std::unexpected(allowed.error());
    }
    const auto iovas = iovas_of(wanted.device_index, chip);
    if (!iovas) return std::unexpected(iovas.error());
    auto iova = (*iovas)->allocate(wanted.size_bytes);
    if (!iova) return std::unexpected(std::move(iova).error());
    buffers_.emplace(key, HeldBuffer{.device_index = wanted.device_index,
                                     .iova = *iova,
                                     .size_bytes = wanted.size_bytes,
                                     .memory = {},
                                     .quarantined_epoch = {}});
  }
  if (Status made = make_buffer(chip, key); !made) {
    (void)drop_buffer(&chip, key);
    return std::unexpected(made.error());
  }
  const std::scoped_lock lock(mutex_);
  return as_reply(chip, buffers_.at(key));
}

// Kept before it is mapped: whatever is mapped, a successor knows of. Only this thread changes what it works on.
Status Broker::make_buffer(chip::Chip& chip, const HoldingKey& key) {
  HeldBuffer* buffer = nullptr;
  {
    const std::scoped_lock lock(mutex_);
    buffer = &buffers_.at(key);
  }
  auto memory = shm::Memory::create("warden-dma", buffer->size_bytes);
  if (!memory) return std::unexpected(std::move(memory).error());
  if (Status sealed = memory->seal(kMemorySeals); !sealed) return sealed;
  const int fd = memory->fd();
  if (Status kept = parts_.keeper.keep(keeper_name_of_buffer(key), blob_of(*buffer), {&fd, 1}); !kept) return kept;
  // Even one that fails may have been mapped: an answer that came too late says nothing.
  Status mapped = chip.device().dma_map(buffer->iova, buffer->size_bytes, fd, 0, vfio::DmaAccess::kBoth);
  const std::scoped_lock lock(mutex_);
  buffer->memory = std::move(*memory);
  buffer->mapped = true;
  return mapped;
}

Result<Broker::MappedBuffer> Broker::as_reply(const chip::Chip& chip, const HeldBuffer& buffer) const {
  const chip::HostReach reach = chip.host_reach();
  MappedBuffer reply;
  reply.where = {.iova = buffer.iova.value,
                 .size_bytes = buffer.size_bytes,
                 .address = reach.address.value + buffer.iova.value,
                 .x = reach.tile.x,
                 .y = reach.tile.y,
                 .reserved = {}};
  auto memory = copy_of(buffer.memory->fd());
  if (!memory) return std::unexpected(std::move(memory).error());
  reply.memory = std::move(*memory);
  return reply;
}

// Whatever fails to be unmapped is in quarantine from then on.
Status Broker::unmap_one(chip::Chip* chip, const HoldingKey& key) {
  vfio::Iova iova;
  std::uint64_t size_bytes = 0;
  std::uint64_t epoch = 0;
  {
    const std::scoped_lock lock(mutex_);
    const auto found = buffers_.find(key);
    if (found == buffers_.end() || !found->second.mapped) return {};
    found->second.mapped = false;  // no access of the session's own any more
    if (chip == nullptr) return {};
    iova = found->second.iova;
    size_bytes = found->second.size_bytes;
    epoch = parts_.devices.at(found->second.device_index).epoch();
  }
  Status unmapped = chip->device().dma_unmap(iova, size_bytes);
  if (is_unmapped(unmapped)) return {};
  const std::scoped_lock lock(mutex_);
  if (const auto found = buffers_.find(key); found != buffers_.end()) {
    found->second.mapped = true;
    found->second.quarantined_epoch = epoch;
    (void)parts_.keeper.keep(keeper_name_of_buffer(key), blob_of(found->second));
  }
  return unmapped;
}

Status Broker::drop_buffer(chip::Chip* chip, const HoldingKey& key) {
  if (Status unmapped = unmap_one(chip, key); !unmapped) return unmapped;
  forget_buffer(key);
  return {};
}

void Broker::forget_buffer(const HoldingKey& key) {
  const std::scoped_lock lock(mutex_);
  const auto found = buffers_.find(key);
  if (found == buffers_.end()) return;
  if (auto* iovas = spaces_.find(found->second.device_index)) iovas->free(found->second.iova);
  buffers_.erase(found);
  (void)parts_.keeper.drop(keeper_name_of_buffer(key));
}

std::vector<HoldingKey> Broker::buffers_on(std::uint32_t device_index) const {
  const std::scoped_lock lock(mutex_);
  std::vector<HoldingKey> keys;
  for (const auto& [key, buffer] : buffers_) {
    if (buffer.device_index == device_index) keys.push_back(key);
  }
  return keys;
}

void Broker::unmap(chip::Chip& chip, std::uint32_t device_index, std::uint64_t session_id) {
  for (const HoldingKey& key : buffers_on(device_index)) {
    if (key.session_id != session_id) continue;
    if (Status unmapped = unmap_one(&chip, key); !unmapped) {
      spdlog::error("session {}: its DMA memory stays in quarantine: {}", session_id, unmapped.error().message);
    }
  }
}

void Broker::map_all(chip::Chip& chip, std::uint32_t device_index) {
  for (const HoldingKey& key : buffers_on(device_index)) {
    if (Status mapped = map_one(chip, key); !mapped) {
      spdlog::error("session {}: its DMA memory can't be mapped again: {}", key.session_id, mapped.error().message);
    }
  }
}

Status Broker::map_one(chip::Chip& chip, const HoldingKey& key) {
  vfio::Iova iova;
  std::uint64_t size_bytes = 0;
  Result<UniqueFd> memory;
  {
    const std::scoped_lock lock(mutex_);
    const auto found = buffers_.find(key);
    if (found == buffers_.end() || !found->second.memory) return {};
    iova = found->second.iova;
    size_bytes = found->second.size_bytes;
    memory = copy_of(found->second.memory->fd());
  }
  if (!memory) return std::unexpected(std::move(memory).error());
  Status mapped = chip.device().dma_map(iova, size_bytes, memory->get(), 0, vfio::DmaAccess::kBoth);
  if (!mapped && mapped.error().code == Code::kBusy) mapped = {};  // it still is, by a predecessor
  {
    const std::scoped_lock lock(mutex_);
    if (const auto found = buffers_.find(key); found != buffers_.end()) {
      found->second.mapped = mapped.has_value();
      return mapped;
    }
  }
  // Its session ended meanwhile: while a card is being opened again nobody waits for it to forget a buffer.
  if (mapped) mapped = chip.device().dma_unmap(iova, size_bytes);
  return mapped;
}

void Broker::aim_all(chip::Chip& chip, std::uint32_t device_index) {
  const std::scoped_lock lock(mutex_);
  for (auto& [key, window] : windows_) {
    if (window.device_index != device_index || window.window) continue;
    auto aimed = chip::Handle(chip, window.epoch).reserve_window(window.request);
    if (aimed) {
      window.window = *aimed;
    } else {
      spdlog::error("session {}: a window of its: {}", key.session_id, aimed.error().message);
    }
  }
}

}  // namespace warden::daemon
