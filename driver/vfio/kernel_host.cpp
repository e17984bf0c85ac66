// SPDX-License-Identifier: Apache-2.0
// The preconditions in the order in which a host fulfils them: the card, the IOMMU, the driver, VFIO, the rights.
#include "driver/vfio/kernel_host.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

namespace warden::vfio {
namespace {

// vfio-pci itself, or one of its variants for special devices: they all have this folder.
bool is_of_vfio(const pci::Sysfs& sysfs, const pci::Function& function) {
  return function.driver == pci::kVfioDriver ||
         (!function.driver.empty() && pci::Sysfs::exists(sysfs.function_path(function.address) + "/vfio-dev"));
}

}  // namespace

Result<pci::Function> ready_function(const pci::Sysfs& sysfs, const pci::Address& address) {
  auto function = pci::read_function(sysfs, address);
  if (!function) return function;
  const std::string name = address.text();
  if (!function->iommu_group) {
    return fail(Code::kUnsupported,
                fmt::format("{} is behind no IOMMU; switch it on in the firmware (VT-d, AMD-Vi) and boot with "
                            "intel_iommu=on or amd_iommu=on",
                            name));
  }
  if (!is_of_vfio(sysfs, *function)) {
    const std::string whose = function->driver.empty() ? "no driver" : "the driver " + function->driver;
    return fail(Code::kBusy,
                fmt::format("{} is bound to {}, not to vfio-pci; bind it: warden bind {}", name, whose, name));
  }
  if (!pci::Sysfs::exists(sysfs.dev() + "/vfio/vfio") && function->device_node.empty()) {
    return fail(Code::kUnsupported, fmt::format("there is no {}/vfio/vfio; load VFIO (modprobe vfio-pci), or give "
                                                "the container /dev/vfio",
                                                sysfs.dev()));
  }
  return function;
}

Result<UniqueFd> open_node(const std::string& node, const std::string& what) {
  UniqueFd fd(::open(node.c_str(), O_RDWR | O_CLOEXEC));
  if (fd) return fd;
  switch (errno) {
    case EBUSY:
      return fail(Code::kBusy,
                  fmt::format("{} ({}) is open in another process; end that one (fuser -v {})", node, what, node));
    case EACCES:
    case EPERM:
      return fail(Code::kPermission,
                  fmt::format("{} ({}) may not be opened by user {}; give it to a group of that user (a udev rule, or "
                              "chgrp and chmod g+rw), or run as root",
                              node, what, ::geteuid()));
    case ENOENT:
      return fail(Code::kNotFound, fmt::format("there is no {} ({}); bind the card again (warden bind), or give the "
                                               "container /dev/vfio",
                                               node, what));
    default: return fail_errno("open " + node + " (" + what + ")");
  }
}

std::string strangers_in_group(const pci::Sysfs& sysfs, std::uint32_t group) {
  std::string list;
  for (const pci::Function& member : pci::functions_in_group(sysfs, group)) {
    if (pci::is_viable_in_group(member) || is_of_vfio(sysfs, member)) continue;
    list += fmt::format("{}{} (driver {})", list.empty() ? "" : ", ", member.address.text(), member.driver);
  }
  return list;
}

}  // namespace warden::vfio
