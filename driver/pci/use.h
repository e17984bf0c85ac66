// SPDX-License-Identifier: Apache-2.0
// Who would lose something if a PCI function changed its driver now.
#pragma once

#include <string>
#include <vector>

#include "driver/pci/function.h"

namespace warden::pci {

// "pid 4711 (trainer)" for each process that has a node of the function open (that of its IOMMU group included),
// "the file system at /data", "the network interface eth0". Of processes that the caller may not look into (all but its
// own, unless it is root) nothing is known. A VFIO descriptor without its group's is not seen either.
[[nodiscard]] std::vector<std::string> users_of(const Sysfs& sysfs, const Function& function);

}  // namespace warden::pci
