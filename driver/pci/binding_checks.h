// SPDX-License-Identifier: Apache-2.0
// What must hold before a function changes its driver. Each check answers with one line of cause and cure.
#pragma once

#include <vector>

#include "driver/pci/binding.h"

namespace warden::pci {

// The function is there, and one that may be bound: Tenstorrent's or allowed by option, and no bridge.
[[nodiscard]] Result<Function> bindable_function(const Sysfs& sysfs, const Address& address,
                                                 const BindingOptions& options);

// It and, if all of its group are wanted, the others that can be bound.
[[nodiscard]] Result<std::vector<Function>> functions_to_move(const Sysfs& sysfs, const Function& function,
                                                              const BindingOptions& options);

[[nodiscard]] Status check_iommu(const Sysfs& sysfs, const Function& function);
[[nodiscard]] Status check_vfio_pci(const Sysfs& sysfs);
// After `moved` are bound, no driver of the kernel's own is left in the group.
[[nodiscard]] Status check_group(const Sysfs& sysfs, const Function& function, const std::vector<Function>& moved);
[[nodiscard]] Status check_rights(const Sysfs& sysfs, const Function& function, std::string_view command);
[[nodiscard]] Status check_unused(const Sysfs& sysfs, const std::vector<Function>& functions);

}  // namespace warden::pci
