// SPDX-License-Identifier: Apache-2.0
// One access of a session to a card, wherever it came from: a message of its own or a batch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <warden/result.h>

#include "driver/chip/chip.h"
#include "shm/message.h"
#include "tools/wardend/broker.h"

namespace warden::daemon {

// Who asks, and of which card.
struct OperationScope {
  chip::Chip& chip;
  const Broker& broker;
  std::uint64_t session_id;
  std::uint32_t device_index;
  std::uint64_t epoch;
};

[[nodiscard]] constexpr bool is_write(shm::BatchKind kind) noexcept {
  return kind == shm::BatchKind::kWrite || kind == shm::BatchKind::kWrite32 || kind == shm::BatchKind::kBroadcast ||
         kind == shm::BatchKind::kWindowWrite || kind == shm::BatchKind::kWindowWrite32;
}

[[nodiscard]] constexpr bool is_word(shm::BatchKind kind) noexcept {
  return kind == shm::BatchKind::kRead32 || kind == shm::BatchKind::kWrite32 || kind == shm::BatchKind::kWindowRead32 ||
         kind == shm::BatchKind::kWindowWrite32;
}

// kProtocol for a kind that there is not, or a word of another length than 4.
[[nodiscard]] Status check_operation(const shm::BatchOperation& operation);

// On the card's thread. A checked operation: `from` is what a write writes, `into` takes what a read reads; both have
// the operation's length.
[[nodiscard]] Status perform(const OperationScope& scope, const shm::BatchOperation& operation,
                             std::span<const std::byte> from, std::span<std::byte> into);

}  // namespace warden::daemon
