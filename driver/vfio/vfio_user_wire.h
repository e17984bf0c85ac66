// SPDX-License-Identifier: Apache-2.0
// The vfio-user protocol as it stands on the wire (vfio-user specification, version 0.9.x, as QEMU and libvfio-user
// speak it). Shared by the client backend and by the server half that simulated cards use. Little-endian, packed.
#pragma once

#include <cstdint>

namespace warden::vfio::wire {

inline constexpr std::uint16_t kMajorVersion = 0;
inline constexpr std::uint16_t kMinorVersion = 1;

// The largest payload of one region read or write we use. One message of this size fits one socket buffer of the
// kernel, so it is sent and received whole by one system call: a client killed between two calls leaves the stream
// at a message boundary, and its successor can go on with the same connection.
inline constexpr std::uint32_t kMaxTransferBytes = 32 * 1024;

// The largest message of any kind we accept; anything above it is a protocol error.
inline constexpr std::uint32_t kMaxMessageBytes = kMaxTransferBytes + 4096;

// The page size of the protocol, where no other was agreed on.
inline constexpr std::uint32_t kPageBytes = 4096;

// Descriptors one message may carry.
inline constexpr std::uint32_t kMaxMessageFds = 8;

enum class Command : std::uint16_t {
  kVersion = 1,
  kDmaMap = 2,
  kDmaUnmap = 3,
  kDeviceGetInfo = 4,
  kDeviceGetRegionInfo = 5,
  kDeviceGetRegionIoFds = 6,
  kDeviceGetIrqInfo = 7,
  kDeviceSetIrqs = 8,
  kRegionRead = 9,
  kRegionWrite = 10,
  kDmaRead = 11,
  kDmaWrite = 12,
  kDeviceReset = 13,
};

inline constexpr std::uint32_t kFlagTypeMask = 0xF;  // 0 command, 1 reply
inline constexpr std::uint32_t kFlagReply = 0x1;
inline constexpr std::uint32_t kFlagNoReply = 0x10;
inline constexpr std::uint32_t kFlagError = 0x20;

struct Header {
  std::uint16_t message_id;
  std::uint16_t command;
  std::uint32_t message_bytes;  // header included
  std::uint32_t flags;
  std::uint32_t error_number;  // errno of the server; valid with kFlagError
};
static_assert(sizeof(Header) == 16);

// Followed by a NUL-terminated JSON text: {"capabilities":{...}}. Unknown capabilities are ignored.
struct Version {
  std::uint16_t major;
  std::uint16_t minor;
};
static_assert(sizeof(Version) == 4);

inline constexpr std::uint32_t kDmaReadable = 1;
inline constexpr std::uint32_t kDmaWritable = 2;

struct DmaMap {
  std::uint32_t argument_bytes;
  std::uint32_t flags;
  std::uint64_t offset;  // into the descriptor that came along, if any
  std::uint64_t address;
  std::uint64_t size;
};
static_assert(sizeof(DmaMap) == 32);

inline constexpr std::uint32_t kDmaUnmapAll = 2;

struct DmaUnmap {
  std::uint32_t argument_bytes;
  std::uint32_t flags;
  std::uint64_t address;
  std::uint64_t size;
};
static_assert(sizeof(DmaUnmap) == 24);

// Flag values of device, region and irq information are those of <linux/vfio.h>.
struct DeviceInfo {
  std::uint32_t argument_bytes;
  std::uint32_t flags;
  std::uint32_t region_count;
  std::uint32_t irq_count;
};
static_assert(sizeof(DeviceInfo) == 16);

struct RegionInfo {
  std::uint32_t argument_bytes;
  std::uint32_t flags;
  std::uint32_t index;
  std::uint32_t capability_offset;
  std::uint64_t size;
  std::uint64_t offset;  // for mmap of the descriptor that came along
};
static_assert(sizeof(RegionInfo) == 32);

struct IrqInfo {
  std::uint32_t argument_bytes;
  std::uint32_t flags;
  std::uint32_t index;
  std::uint32_t count;
};
static_assert(sizeof(IrqInfo) == 16);

// Eventfds travel as descriptors of the message; without any, ACTION_TRIGGER with DATA_EVENTFD takes them away.
struct SetIrqs {
  std::uint32_t argument_bytes;
  std::uint32_t flags;
  std::uint32_t index;
  std::uint32_t start;
  std::uint32_t count;
};
static_assert(sizeof(SetIrqs) == 20);

// Request and reply of REGION_READ and REGION_WRITE; data follows where the direction has it.
struct RegionAccess {
  std::uint64_t offset;
  std::uint32_t region;
  std::uint32_t count;
};
static_assert(sizeof(RegionAccess) == 16);

// Request and reply of DMA_READ and DMA_WRITE (server to client); data follows where the direction has it.
struct DmaAccess {
  std::uint64_t address;
  std::uint64_t count;
};
static_assert(sizeof(DmaAccess) == 16);

}  // namespace warden::vfio::wire
