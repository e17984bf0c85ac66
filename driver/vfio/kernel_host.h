// SPDX-License-Identifier: Apache-2.0
// What the host says of a PCI function before VFIO is asked, and why a node of VFIO can't be opened.
#pragma once

#include <string>

#include <warden/result.h>
#include <warden/unique_fd.h>

#include "driver/pci/function.h"
#include "driver/pci/sysfs.h"

namespace warden::vfio {

// The function, of which VFIO can be asked; else the first thing that is missing on this host, and its cure.
[[nodiscard]] Result<pci::Function> ready_function(const pci::Sysfs& sysfs, const pci::Address& address);

// Opens a node of /dev/vfio for reading and writing. `what` is what it stands for, as in "group 12".
[[nodiscard]] Result<UniqueFd> open_node(const std::string& node, const std::string& what);

// The functions whose drivers keep a group from being used, each with its driver, as a list to print.
[[nodiscard]] std::string strangers_in_group(const pci::Sysfs& sysfs, std::uint32_t group);

}  // namespace warden::vfio
