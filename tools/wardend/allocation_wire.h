// SPDX-License-Identifier: Apache-2.0
// The messages of tt-metal's allocation tracking as clients have them on the wire: one packed little-endian struct a
// message over a stream socket, in two sizes. Clients switch it on with TT_ALLOC_TRACKING_ENABLED=1.
//
//   offset              0     4       8     16           20          24         32         40 ..
//   both sizes          type  device  size  buffer_type  process_id  buffer_id  timestamp  dram l1 l1_small trace
//   112 bytes: from 72  total_dram total_l1 | arch channels per_channel l1_per_core is_available num_devices
//   144 bytes: from 72  cb kernel total_dram total_l1 | the same six | ring buffer total used programs, padding
//
// HOW THE SIZE IS RECOGNISED. Nothing in a message says how long it is, and there is no hello. Two facts decide:
// everything a request says lies in its first 40 bytes, which are the same in both sizes; and a client clears the
// rest, so a request's byte 112 is 0 in the long form, while in the short form it is the type of the next message,
// which is never 0. So:
//   - The first 112 bytes of a connection are a whole request in either form. A record is taken at once.
//   - The byte behind them, whenever it comes, decides for the rest of the connection: 0 means that the long form goes
//     on (and 31 more bytes belong to the first message), anything else that a new short message begins.
//   - Only a question needs the size before it can be answered. One that comes first on its connection, 112 bytes and
//     then silence, is a short one after kSizePatience: a long one is sent by one call, which the kernel queues whole.
// Looking for what "keeps being valid" would be weaker: a zeroed tail is a prefix of nothing, but a record whose id
// is small looks much like a header moved by 32 bytes. No guess here is ever revised on the strength of contents.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <warden/allocation_kind.h>
#include <warden/result.h>

namespace warden::daemon {

inline constexpr const char* kAllocationSocketPath = "/tmp/tt_allocation_server.sock";

inline constexpr std::size_t kShortMessageBytes = 112;
inline constexpr std::size_t kLongMessageBytes = 144;
inline constexpr std::size_t kLongTailBytes = kLongMessageBytes - kShortMessageBytes;
inline constexpr std::chrono::milliseconds kSizePatience{20};

enum class AllocationMessageType : std::uint8_t {
  kAlloc = 1,
  kFree = 2,
  kQuery = 3,
  kResponse = 4,
  kDumpRemaining = 5,
  kDeviceInfoQuery = 6,
  kDeviceInfoResponse = 7,
  kCbAlloc = 8,
  kCbFree = 9,
  kKernelLoad = 10,
  kKernelUnload = 11,
};

// Kinds of allocations and of kernels have the same numbers on the wire as everywhere.
[[nodiscard]] std::string_view to_string(AllocationKind kind) noexcept;

// Numbers no card has: a message with more is garbage.
inline constexpr std::int32_t kMaxAllocationDevices = 256;
inline constexpr std::uint64_t kMaxAllocationBytes = 1ULL << 40;

// The front of every message.
struct [[gnu::packed]] AllocationHead {
  std::uint8_t type;
  std::array<std::uint8_t, 3> padding0;
  std::int32_t device;
  std::uint64_t size_bytes;
  std::uint8_t buffer_type;
  std::array<std::uint8_t, 3> padding1;
  std::int32_t process_id;
  std::uint64_t buffer_id;
  std::uint64_t timestamp;
};
static_assert(sizeof(AllocationHead) == 40);
static_assert(offsetof(AllocationHead, process_id) == 20 && offsetof(AllocationHead, timestamp) == 32);

// What follows it, with every field there is; fields that the short form lacks are not sent there.
struct AllocationAnswer {
  AllocationMessageType type = AllocationMessageType::kResponse;
  std::int32_t device = 0;
  std::uint64_t size_bytes = 0;
  std::uint8_t buffer_type = 0;
  std::int32_t process_id = 0;
  std::uint64_t buffer_id = 0;
  std::uint64_t timestamp = 0;
  std::array<std::uint64_t, 4> words{};  // dram, l1, l1_small, trace; see the dump's records for their other use
  std::uint64_t cb_bytes = 0;
  std::uint64_t kernel_bytes = 0;
  std::uint64_t total_dram_bytes = 0;
  std::uint64_t total_l1_bytes = 0;
  std::uint32_t arch = 0;
  std::uint32_t dram_channels = 0;
  std::uint32_t dram_per_channel_bytes = 0;
  std::uint32_t l1_per_core_bytes = 0;
  std::uint32_t is_available = 0;
  std::uint32_t device_count = 0;
};

// A request whose fields were all looked at.
struct AllocationRequest {
  AllocationMessageType type{};
  std::int32_t device = 0;
  std::uint64_t size_bytes = 0;
  AllocationKind kind{};
  KernelKind kernel_type{};
  std::int32_t process_id = 0;  // what the client calls itself; never trusted
  std::uint64_t buffer_id = 0;
  std::uint64_t timestamp = 0;

  // It wants an answer, and changes nothing.
  [[nodiscard]] bool is_question() const noexcept;
};

// kProtocol, with the field and its value, for anything that no client sends. Questions may name any device: one that
// is not there has no totals.
[[nodiscard]] Result<AllocationRequest> parse_allocation_request(
    std::span<const std::byte, kShortMessageBytes> message);

// `answer` in the form of `message_bytes` (short or long).
[[nodiscard]] std::array<std::byte, kLongMessageBytes> encode_allocation_answer(const AllocationAnswer& answer,
                                                                                std::size_t message_bytes);
// The reverse, for programs that ask: a message of the long form.
[[nodiscard]] AllocationAnswer decode_allocation_answer(std::span<const std::byte, kLongMessageBytes> message);

}  // namespace warden::daemon
