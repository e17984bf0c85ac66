// SPDX-License-Identifier: Apache-2.0
// Who holds which windows and which DMA memory of the cards: handing out within quotas, taking back when a session
// ends, going on after a worker's death. Cards are touched on their own threads alone.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include <warden/result.h>

#include "shm/message.h"
#include "tools/wardend/devices.h"
#include "tools/wardend/dma_spaces.h"
#include "tools/wardend/holdings.h"
#include "tools/wardend/keeper_link.h"
#include "tools/wardend/session_table.h"

namespace warden::daemon {

// For each session.
struct BrokerLimits {
  std::uint32_t windows = 16;
  std::uint64_t dma_bytes = std::uint64_t{1} << 30;
};
// Each buffer costs the keeper and the worker a descriptor.
inline constexpr std::size_t kMaxBuffersPerSession = 32;

// Threads: as said; whatever is said of a card's thread is called with that card.
class Broker {
 public:
  struct Parts {
    Devices& devices;
    KeeperLink& keeper;
    BrokerLimits limits;
  };
  explicit Broker(Parts parts) : parts_(parts), spaces_(parts.devices) {}

  // Before anybody is served: what the sessions of a dead worker held is theirs again, what was others' is taken back.
  void restore(KeptTable& kept, const SessionTable& sessions);

  // On the card's thread. The same number again means the same window, or buffer.
  [[nodiscard]] Status reserve_window(chip::Chip& chip, const Session& session, const shm::ReserveWindow& wanted);
  struct MappedBuffer {
    shm::DmaMapped where{};
    UniqueFd memory;
  };
  [[nodiscard]] Result<MappedBuffer> map_dma(chip::Chip& chip, const Session& session, const shm::MapDma& wanted);
  void release_window(chip::Chip& chip, const HoldingKey& key) { drop_window(&chip, key); }
  [[nodiscard]] Status unmap_dma(chip::Chip& chip, const HoldingKey& key) { return drop_buffer(&chip, key); }
  // On which device that is; any thread.
  [[nodiscard]] std::optional<std::uint32_t> device_of_window(const HoldingKey& key) const;
  [[nodiscard]] std::optional<std::uint32_t> device_of_buffer(const HoldingKey& key) const;

  // Any thread. kNotFound: this session has no such window there.
  [[nodiscard]] Result<HeldWindow> window(const HoldingKey& key, std::uint32_t device_index) const;
  // Any thread. kPermission when the access would come to host memory that is no mapped buffer of this session.
  [[nodiscard]] Status check_host_access(const chip::Chip& chip, std::uint64_t session_id, std::uint32_t device_index,
                                         chip::Tile tile, chip::CardAddress address, std::uint64_t size_bytes) const;

  // Any thread. For listings.
  struct Sum {
    std::size_t windows = 0;
    std::size_t buffers = 0;
    std::uint64_t dma_bytes = 0;
  };
  [[nodiscard]] Sum held_by(std::uint64_t session_id, std::uint32_t device_index) const;

  // Any thread: whether anybody has windows of this device.
  [[nodiscard]] bool has_windows(std::uint32_t device_index) const;

  // The death of a session. On the card's thread, when the session's traffic has been seen to end: its DMA is unmapped;
  // memory and IOVAs stay taken.
  void unmap(chip::Chip& chip, std::uint32_t device_index, std::uint64_t session_id);
  // Main loop, when its process is gone: what it held may be handed out again, except what is in quarantine. What is
  // still mapped is unmapped first, by the card's thread.
  void release(std::uint64_t session_id);
  // Any thread: what it holds there could not be quiesced. Mapping, IOVA, memory and windows stay taken until that
  // card's next reset, also over a worker's death.
  void quarantine(std::uint32_t device_index, std::uint64_t session_id);
  // Any thread, after a reset: windows from before it are void, and so are quarantines. DMA of living sessions stays.
  void forget_device(std::uint32_t device_index);
  // On the card's thread, before anybody reaches the card by its new connection, which knows neither of DMA nor of
  // windows: the former is mapped where it was, the latter are void.
  void map_again(chip::Chip& chip, std::uint32_t device_index);

 private:
  using Windows = std::map<HoldingKey, HeldWindow>;
  using Buffers = std::map<HoldingKey, HeldBuffer>;

  // With mutex_ held: the entry that keeps place for what is being made, or the refusal.
  [[nodiscard]] Status check_alive(const Session& session) const;
  [[nodiscard]] Status check_window_quota(std::uint64_t session_id) const;
  [[nodiscard]] Status check_dma_quota(std::uint64_t session_id, std::uint64_t size_bytes) const;
  [[nodiscard]] Result<vfio::IovaAllocator*> iovas_of(std::uint32_t device_index, chip::Chip& chip);

  // On the card's thread, or without a chip where there is none.
  void drop_window(chip::Chip* chip, const HoldingKey& key);
  [[nodiscard]] Status drop_buffer(chip::Chip* chip, const HoldingKey& key);
  [[nodiscard]] Status make_buffer(chip::Chip& chip, const HoldingKey& key);
  [[nodiscard]] Status unmap_one(chip::Chip* chip, const HoldingKey& key);
  void forget_buffer(const HoldingKey& key);
  // With mutex_ held: windows from before this epoch are void.
  void forget_windows(std::uint32_t device_index, std::uint64_t epoch);
  void map_all(chip::Chip& chip, std::uint32_t device_index);
  [[nodiscard]] Status map_one(chip::Chip& chip, const HoldingKey& key);
  [[nodiscard]] std::vector<HoldingKey> buffers_on(std::uint32_t device_index) const;
  void aim_all(chip::Chip& chip, std::uint32_t device_index);

  void drop_all(std::uint32_t device_index, std::vector<HoldingKey> windows, std::vector<HoldingKey> buffers);
  void restore_entries(KeptTable& kept);
  [[nodiscard]] Result<MappedBuffer> as_reply(const chip::Chip& chip, const HeldBuffer& buffer) const;

  Parts parts_;
  mutable std::mutex mutex_;
  Windows windows_;
  Buffers buffers_;
  DmaSpaces spaces_;
};

}  // namespace warden::daemon
