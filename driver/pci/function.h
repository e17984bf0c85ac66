// SPDX-License-Identifier: Apache-2.0
// A PCI function as the kernel describes it: what it is, who drives it, which IOMMU group it is in.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <warden/result.h>

#include "driver/pci/address.h"
#include "driver/pci/sysfs.h"

namespace warden::pci {

inline constexpr std::uint16_t kTenstorrent = 0x1e52;
inline constexpr std::string_view kVfioDriver = "vfio-pci";

struct Link {
  double speed_gt_s = 0;    // 16 is PCIe 4.0; 0: the kernel does not say
  std::uint32_t lanes = 0;  // 0: the same
  auto operator<=>(const Link&) const = default;
};

struct Function {
  Address address;
  std::uint16_t vendor = 0;
  std::uint16_t device = 0;
  std::uint16_t subsystem_vendor = 0;
  std::uint16_t subsystem_device = 0;
  std::uint32_t class_code = 0;                   // base class, subclass, interface: 0x120000 is an accelerator
  std::optional<std::uint32_t> iommu_group = {};  // none: no IOMMU stands before it
  std::string driver;                             // that is bound to it; empty: none
  std::string driver_override;                    // the only driver that may be; empty: any
  Link link;
  Link best_link;
  std::optional<int> numa_node = {};       // none: not known, or there is only one
  std::vector<std::string> reset_methods;  // in the order in which the kernel tries them
  std::string group_node = {};             // /dev/vfio/12, when it is there
  std::string device_node = {};            // /dev/vfio/devices/vfio0, when it is there

  [[nodiscard]] bool is_tenstorrent() const noexcept { return vendor == kTenstorrent; }
  [[nodiscard]] bool is_bridge() const noexcept { return class_code >> 16 == 0x06; }
  // "wormhole", "blackhole"; of others their ids, "8086:11e8".
  [[nodiscard]] std::string what() const;
};

// kNotFound: there is no such function.
[[nodiscard]] Result<Function> read_function(const Sysfs& sysfs, const Address& address);

// All of this vendor, in the order of their addresses. None is no error.
[[nodiscard]] std::vector<Function> functions_of(const Sysfs& sysfs, std::uint16_t vendor = kTenstorrent);

// Who is in an IOMMU group, in the order of their addresses.
[[nodiscard]] std::vector<Function> functions_in_group(const Sysfs& sysfs, std::uint32_t group);

// Whether VFIO takes a group in which this function is: no driver of the kernel's own may do DMA there. Bridges,
// functions without a driver and those of vfio-pci do none.
[[nodiscard]] bool is_viable_in_group(const Function& function) noexcept;

}  // namespace warden::pci
