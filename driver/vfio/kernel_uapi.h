// SPDX-License-Identifier: Apache-2.0
// What <linux/iommufd.h> and the newer part of <linux/vfio.h> declare and Debian 12's headers (Linux 6.1) lack: only
// what is used here, under names of our own, so that newer headers do no harm. Numbers and layouts are the kernel's
// (include/uapi/linux/iommufd.h since 6.2, include/uapi/linux/vfio.h since 6.6); its documentation is in both.
#pragma once

#include <linux/vfio.h>

#include <cstddef>
#include <cstdint>

namespace warden::vfio::uapi {

// The kernel's types are its own ABI: every field is naturally aligned, and the first is the size of the whole.

// Before this a device node answers every other request with EINVAL.
inline constexpr unsigned long kDeviceBindIommufd = _IO(VFIO_TYPE, VFIO_BASE + 18);
struct DeviceBindIommufd {
  std::uint32_t argument_bytes;
  std::uint32_t flags;
  std::int32_t iommufd;
  std::uint32_t out_device_id;
};
static_assert(sizeof(DeviceBindIommufd) == 16);

inline constexpr unsigned long kDeviceAttachIommufd = _IO(VFIO_TYPE, VFIO_BASE + 19);
struct DeviceAttachIommufd {
  std::uint32_t argument_bytes;
  std::uint32_t flags;
  std::uint32_t page_table_id;  // an IOAS will do
};
static_assert(sizeof(DeviceAttachIommufd) == 12);

// Flags of vfio_pci_hot_reset_info: its dependents carry ids of an iommufd in place of groups.
inline constexpr std::uint32_t kHotResetHasDeviceIds = 1U << 0;
// Such an id: a device of another owner, or of none.
inline constexpr std::uint32_t kHotResetNotOwned = ~0U;

inline constexpr unsigned kIommufdType = ';';

inline constexpr unsigned long kIoasAlloc = _IO(kIommufdType, 0x81);
struct IoasAlloc {
  std::uint32_t size_bytes;
  std::uint32_t flags;
  std::uint32_t out_ioas_id;
};
static_assert(sizeof(IoasAlloc) == 12);

struct IommuIovaRange {
  std::uint64_t first;
  std::uint64_t last;
};
static_assert(sizeof(IommuIovaRange) == 16);

// EMSGSIZE with the count that is needed, when there are more ranges than room.
inline constexpr unsigned long kIoasIovaRanges = _IO(kIommufdType, 0x84);
struct IoasIovaRanges {
  std::uint32_t size_bytes;
  std::uint32_t ioas_id;
  std::uint32_t range_count;
  std::uint32_t reserved;
  std::uint64_t ranges;  // address of IommuIovaRange[range_count]
  std::uint64_t out_alignment_bytes;
};
static_assert(sizeof(IoasIovaRanges) == 32 && offsetof(IoasIovaRanges, ranges) == 16);

inline constexpr std::uint32_t kMapFixedIova = 1U << 0;
inline constexpr std::uint32_t kMapWritable = 1U << 1;  // by the device
inline constexpr std::uint32_t kMapReadable = 1U << 2;

inline constexpr unsigned long kIoasMap = _IO(kIommufdType, 0x85);
struct IoasMap {
  std::uint32_t size_bytes;
  std::uint32_t flags;
  std::uint32_t ioas_id;
  std::uint32_t reserved;
  std::uint64_t user_address;
  std::uint64_t length_bytes;
  std::uint64_t iova;
};
static_assert(sizeof(IoasMap) == 40 && offsetof(IoasMap, user_address) == 16);

inline constexpr unsigned long kIoasUnmap = _IO(kIommufdType, 0x86);
struct IoasUnmap {
  std::uint32_t size_bytes;
  std::uint32_t ioas_id;
  std::uint64_t iova;
  std::uint64_t length_bytes;  // how much was unmapped, in the answer
};
static_assert(sizeof(IoasUnmap) == 24);

}  // namespace warden::vfio::uapi
