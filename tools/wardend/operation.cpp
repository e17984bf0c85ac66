// SPDX-License-Identifier: Apache-2.0
// What each kind of access says to the driver, once it may.
#include "tools/wardend/operation.h"

#include <fmt/format.h>

#include <cstring>

namespace warden::daemon {

namespace {

using shm::BatchKind;

bool is_through_window(BatchKind kind) { return kind >= BatchKind::kWindowRead; }

std::uint32_t word_in(std::span<const std::byte> bytes) {
  std::uint32_t word = 0;
  std::memcpy(&word, bytes.data(), sizeof(word));
  return word;
}

Status store(const Result<std::uint32_t>& value, std::span<std::byte> into) {
  if (!value) return std::unexpected(value.error());
  std::memcpy(into.data(), &*value, sizeof(*value));
  return {};
}

Status perform_through_window(const OperationScope& scope, const shm::BatchOperation& operation,
                              std::span<const std::byte> from, std::span<std::byte> into) {
  const auto held = scope.broker.window({scope.session_id, operation.window}, scope.device_index);
  if (!held) return std::unexpected(held.error());
  const chip::WindowRequest& aimed = held->request;
  // An offset that wraps here is outside of the window, which the chip says.
  const Status allowed =
      scope.broker.check_host_access(scope.chip, scope.session_id, scope.device_index, aimed.tiles.first,
                                     {aimed.base + operation.address}, operation.length_bytes);
  if (!allowed) return allowed;
  switch (static_cast<BatchKind>(operation.kind)) {
    case BatchKind::kWindowRead: return held->window->read(scope.chip, operation.address, into);
    case BatchKind::kWindowWrite: return held->window->write(scope.chip, operation.address, from);
    case BatchKind::kWindowRead32: return store(held->window->read32(scope.chip, operation.address), into);
    default: return held->window->write32(scope.chip, operation.address, word_in(from));
  }
}

}  // namespace

Status check_operation(const shm::BatchOperation& operation) {
  const auto kind = static_cast<BatchKind>(operation.kind);
  if (kind < BatchKind::kRead || kind > BatchKind::kWindowWrite32) {
    return fail(Code::kProtocol, fmt::format("an operation of kind {}", operation.kind));
  }
  if (is_word(kind) && operation.length_bytes != sizeof(std::uint32_t)) {
    return fail(Code::kProtocol, fmt::format("a word of {} bytes", operation.length_bytes));
  }
  return {};
}

Status perform(const OperationScope& scope, const shm::BatchOperation& operation, std::span<const std::byte> from,
               std::span<std::byte> into) {
  const auto kind = static_cast<BatchKind>(operation.kind);
  if (is_through_window(kind)) return perform_through_window(scope, operation, from, into);
  const chip::Handle handle(scope.chip, scope.epoch);
  const chip::Tile tile{operation.x, operation.y};
  const chip::CardAddress address{operation.address};
  if (kind == BatchKind::kBroadcast) {
    return handle.broadcast({tile, {operation.last_x, operation.last_y}}, address, from);
  }
  const Status allowed = scope.broker.check_host_access(scope.chip, scope.session_id, scope.device_index, tile, address,
                                                        operation.length_bytes);
  if (!allowed) return allowed;
  switch (kind) {
    case BatchKind::kRead: return handle.read(tile, address, into);
    case BatchKind::kWrite: return handle.write(tile, address, from);
    case BatchKind::kRead32: return store(handle.read32(tile, address), into);
    default: return handle.write32(tile, address, word_in(from));
  }
}

}  // namespace warden::daemon
