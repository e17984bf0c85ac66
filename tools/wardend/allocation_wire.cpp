// SPDX-License-Identifier: Apache-2.0
// Fields checked on the way in, placed on the way out.
#include "tools/wardend/allocation_wire.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace warden::daemon {
namespace {

static_assert(std::endian::native == std::endian::little, "the messages are little-endian structs");

struct [[gnu::packed]] DeviceFields {
  std::uint64_t total_dram_bytes;
  std::uint64_t total_l1_bytes;
  std::uint32_t arch;
  std::uint32_t dram_channels;
  std::uint32_t dram_per_channel_bytes;
  std::uint32_t l1_per_core_bytes;
  std::uint32_t is_available;
  std::uint32_t device_count;
};

struct [[gnu::packed]] ShortMessage {
  AllocationHead head;
  std::array<std::uint64_t, 4> words;
  DeviceFields device;
};
static_assert(sizeof(ShortMessage) == kShortMessageBytes);
static_assert(offsetof(ShortMessage, device.arch) == 88);

struct [[gnu::packed]] LongMessage {
  AllocationHead head;
  std::array<std::uint64_t, 4> words;
  std::uint64_t cb_bytes;
  std::uint64_t kernel_bytes;
  DeviceFields device;
  std::array<std::uint32_t, 4> ring_buffer;
};
static_assert(sizeof(LongMessage) == kLongMessageBytes);
static_assert(offsetof(LongMessage, device.arch) == 104 && offsetof(LongMessage, ring_buffer) == 128);

AllocationHead head_of(const AllocationAnswer& answer) {
  return {static_cast<std::uint8_t>(answer.type),
          {},
          answer.device,
          answer.size_bytes,
          answer.buffer_type,
          {},
          answer.process_id,
          answer.buffer_id,
          answer.timestamp};
}

DeviceFields device_fields_of(const AllocationAnswer& answer) {
  return {answer.total_dram_bytes,       answer.total_l1_bytes,    answer.arch,         answer.dram_channels,
          answer.dram_per_channel_bytes, answer.l1_per_core_bytes, answer.is_available, answer.device_count};
}

bool all_zero(std::span<const std::uint8_t> bytes) {
  return std::ranges::all_of(bytes, [](std::uint8_t byte) { return byte == 0; });
}

bool is_request(AllocationMessageType type) {
  switch (type) {
    case AllocationMessageType::kAlloc:
    case AllocationMessageType::kFree:
    case AllocationMessageType::kQuery:
    case AllocationMessageType::kDumpRemaining:
    case AllocationMessageType::kDeviceInfoQuery:
    case AllocationMessageType::kCbAlloc:
    case AllocationMessageType::kCbFree:
    case AllocationMessageType::kKernelLoad:
    case AllocationMessageType::kKernelUnload: return true;
    default: return false;
  }
}

std::unexpected<Error> bad(std::string_view field, long long value) {
  return fail(Code::kProtocol, fmt::format("{} is {}", field, value));
}

Status check_record(const AllocationHead& head) {
  if (head.device < 0 || head.device >= kMaxAllocationDevices) return bad("device_id", head.device);
  if (head.size_bytes > kMaxAllocationBytes) {
    return fail(Code::kProtocol, fmt::format("size is {}, more than any card has", std::uint64_t{head.size_bytes}));
  }
  if (head.process_id < 0) return bad("process_id", head.process_id);
  return {};
}

// What `buffer_type` means depends on the message.
Status set_kind(const AllocationHead& head, AllocationRequest& request) {
  switch (request.type) {
    case AllocationMessageType::kAlloc:
      if (head.buffer_type >= kAllocationKinds) return bad("buffer_type", head.buffer_type);
      request.kind = static_cast<AllocationKind>(head.buffer_type);
      return {};
    case AllocationMessageType::kKernelLoad:
    case AllocationMessageType::kKernelUnload:
      if (head.buffer_type > static_cast<std::uint8_t>(KernelKind::kDispatch)) {
        return bad("kernel type", head.buffer_type);
      }
      request.kind = AllocationKind::kKernel;
      request.kernel_type = static_cast<KernelKind>(head.buffer_type);
      return {};
    case AllocationMessageType::kCbAlloc:
    case AllocationMessageType::kCbFree: request.kind = AllocationKind::kCircularBuffer; return {};
    default: return {};
  }
}

}  // namespace

std::string_view to_string(AllocationKind kind) noexcept {
  switch (kind) {
    case AllocationKind::kDram: return "DRAM";
    case AllocationKind::kL1: return "L1";
    case AllocationKind::kSystemMemory: return "SYSTEM_MEMORY";
    case AllocationKind::kL1Small: return "L1_SMALL";
    case AllocationKind::kTrace: return "TRACE";
    case AllocationKind::kCircularBuffer: return "CB";
    case AllocationKind::kKernel: return "KERNEL";
  }
  return "unknown";
}

bool AllocationRequest::is_question() const noexcept {
  return type == AllocationMessageType::kQuery || type == AllocationMessageType::kDumpRemaining ||
         type == AllocationMessageType::kDeviceInfoQuery;
}

Result<AllocationRequest> parse_allocation_request(std::span<const std::byte, kShortMessageBytes> message) {
  AllocationHead head{};
  std::memcpy(&head, message.data(), sizeof(head));
  AllocationRequest request{
      .type = static_cast<AllocationMessageType>(head.type),
      .device = head.device,
      .size_bytes = head.size_bytes,
      .process_id = head.process_id,
      .buffer_id = head.buffer_id,
      .timestamp = head.timestamp,
  };
  if (!is_request(request.type)) return bad("message type", head.type);
  if (!all_zero(head.padding0) || !all_zero(head.padding1)) {
    return fail(Code::kProtocol, "padding is not zero");
  }
  if (request.is_question()) return request;
  if (Status checked = check_record(head); !checked) return std::unexpected(checked.error());
  if (Status set = set_kind(head, request); !set) return std::unexpected(set.error());
  return request;
}

std::array<std::byte, kLongMessageBytes> encode_allocation_answer(const AllocationAnswer& answer,
                                                                  std::size_t message_bytes) {
  std::array<std::byte, kLongMessageBytes> bytes{};
  if (message_bytes == kShortMessageBytes) {
    const ShortMessage message{head_of(answer), answer.words, device_fields_of(answer)};
    std::memcpy(bytes.data(), &message, sizeof(message));
  } else {
    const LongMessage message{
        head_of(answer), answer.words, answer.cb_bytes, answer.kernel_bytes, device_fields_of(answer), {}};
    std::memcpy(bytes.data(), &message, sizeof(message));
  }
  return bytes;
}

AllocationAnswer decode_allocation_answer(std::span<const std::byte, kLongMessageBytes> bytes) {
  LongMessage message{};
  std::memcpy(&message, bytes.data(), sizeof(message));
  return {.type = static_cast<AllocationMessageType>(message.head.type),
          .device = message.head.device,
          .size_bytes = message.head.size_bytes,
          .buffer_type = message.head.buffer_type,
          .process_id = message.head.process_id,
          .buffer_id = message.head.buffer_id,
          .timestamp = message.head.timestamp,
          .words = message.words,
          .cb_bytes = message.cb_bytes,
          .kernel_bytes = message.kernel_bytes,
          .total_dram_bytes = message.device.total_dram_bytes,
          .total_l1_bytes = message.device.total_l1_bytes,
          .arch = message.device.arch,
          .dram_channels = message.device.dram_channels,
          .dram_per_channel_bytes = message.device.dram_per_channel_bytes,
          .l1_per_core_bytes = message.device.l1_per_core_bytes,
          .is_available = message.device.is_available,
          .device_count = message.device.device_count};
}

}  // namespace warden::daemon
