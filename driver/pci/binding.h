// SPDX-License-Identifier: Apache-2.0
// Gives PCI functions to vfio-pci and back to whoever had them, through driver_override. Killed at any point, the same
// call finishes what was begun, and the other one undoes it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "driver/pci/function.h"

namespace warden::pci {

struct BindingOptions {
  bool any_device = false;  // also functions that are not Tenstorrent's
  bool group = false;       // all functions of the IOMMU group, bridges excepted
  bool dry_run = false;     // change nothing, and say what would be
  // How long the kernel may take to let the former driver go.
  std::chrono::milliseconds timeout{10'000};
};

struct BindingChange {
  Address address;
  std::string what;  // Function::what()
  std::optional<std::uint32_t> iommu_group;
  std::string from;  // the driver; empty: none
  std::string to;    // the same. Equal to `from`: it was so already
  std::string node;  // to open it by, when it is vfio-pci's now
};

struct BindingReport {
  std::vector<BindingChange> changes;
  std::vector<std::string> steps;  // what was (or would be) written where, as a shell's commands
};

// Errors are one line with cause and cure. kNotFound: no such function. kInvalidArgument: not one to bind. kBusy:
// somebody uses it (named), or another call is at work. kPermission: needs root. kUnsupported: no IOMMU, no vfio-pci.
// kTimeout: the former driver does not let go; the kernel goes on waiting for that, and the same call again finishes.
// When one of several functions can't be bound, those bound before it are given back.
// Threads: none; makes short-lived processes, whose end nobody has to wait for.
[[nodiscard]] Result<BindingReport> bind(const Sysfs& sysfs, const Address& address, const BindingOptions& options);

// Restores driver and driver_override as they were before bind(). What was bound otherwise goes to the driver that the
// kernel chooses. Errors as above; kInvalidArgument: it is not vfio-pci's, and bind() never had it.
[[nodiscard]] Result<BindingReport> unbind(const Sysfs& sysfs, const Address& address, const BindingOptions& options);

}  // namespace warden::pci
