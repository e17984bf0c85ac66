// SPDX-License-Identifier: Apache-2.0
// What a session holds of a card besides its handle: windows kept aimed, and memory mapped for the card's DMA; and
// these as the keeper keeps them, one entry each.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <warden/result.h>

#include "driver/chip/chip.h"
#include "shm/memory.h"
#include "tools/wardend/keeper_link.h"

namespace warden::daemon {

// The number is the client's choice.
struct HoldingKey {
  std::uint64_t session_id = 0;
  std::uint64_t number = 0;
  auto operator<=>(const HoldingKey&) const = default;
};

struct HeldWindow {
  std::uint32_t device_index = 0;
  std::uint64_t epoch = 0;
  chip::WindowRequest request;
  std::optional<chip::Window> window;  // none: not aimed yet
  bool quarantined = false;            // until the epoch is over
};

struct HeldBuffer {
  std::uint32_t device_index = 0;
  vfio::Iova iova;
  std::uint64_t size_bytes = 0;
  std::optional<shm::Memory> memory;               // none: not made yet
  bool mapped = false;                             // the card may reach it
  std::optional<std::uint64_t> quarantined_epoch;  // nobody else may have it before this epoch of the card is over
};

[[nodiscard]] std::string keeper_name_of_window(const HoldingKey& key);
[[nodiscard]] std::string keeper_name_of_buffer(const HoldingKey& key);
// Which holding an entry of the keeper is; nothing for the others.
[[nodiscard]] std::optional<HoldingKey> window_key(std::string_view keeper_name);
[[nodiscard]] std::optional<HoldingKey> buffer_key(std::string_view keeper_name);

[[nodiscard]] std::string blob_of(const HeldWindow& window);
[[nodiscard]] std::string blob_of(const HeldBuffer& buffer);
// kProtocol for what is none.
[[nodiscard]] Result<HeldWindow> window_from(const Kept& kept);
[[nodiscard]] Result<HeldBuffer> buffer_from(Kept kept);

}  // namespace warden::daemon
