// SPDX-License-Identifier: Apache-2.0
// See binding_checks.h.
#include "driver/pci/binding_checks.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "driver/pci/use.h"

namespace warden::pci {
namespace {

// "0000:01:00.1 (10de:10f0, driver snd_hda_intel)"
std::string described(const Function& function) {
  const std::string driver = function.driver.empty() ? "no driver" : "driver " + function.driver;
  return fmt::format("{} ({}, {})", function.address.text(), function.what(), driver);
}

Status check_kind(const Function& function, const BindingOptions& options) {
  if (function.is_bridge()) {
    return fail(
        Code::kInvalidArgument,
        fmt::format("{} is a bridge, and what is behind it needs it; name the card itself", function.address.text()));
  }
  if (function.is_tenstorrent() || options.any_device) return {};
  return fail(Code::kInvalidArgument, fmt::format("{} is {}, no Tenstorrent card; --any-device takes it all the same",
                                                  function.address.text(), function.what()));
}

}  // namespace

Result<Function> bindable_function(const Sysfs& sysfs, const Address& address, const BindingOptions& options) {
  auto function = read_function(sysfs, address);
  if (!function) return function;
  if (auto kind = check_kind(*function, options); !kind) return std::unexpected(std::move(kind).error());
  return function;
}

Result<std::vector<Function>> functions_to_move(const Sysfs& sysfs, const Function& function,
                                                const BindingOptions& options) {
  std::vector<Function> moved = {function};
  if (!options.group || !function.iommu_group) return moved;
  for (Function& member : functions_in_group(sysfs, *function.iommu_group)) {
    if (member.address == function.address || member.is_bridge()) continue;
    if (auto kind = check_kind(member, options); !kind) {
      return wrap(std::move(kind).error(), fmt::format("IOMMU group {}", *function.iommu_group));
    }
    moved.push_back(std::move(member));
  }
  return moved;
}

Status check_iommu(const Sysfs& sysfs, const Function& function) {
  if (function.iommu_group) return {};
  if (Sysfs::names_in(sysfs.sys() + "/class/iommu").empty()) {
    return fail(Code::kUnsupported,
                "the IOMMU is off: enable VT-d or AMD-Vi in the BIOS, boot with intel_iommu=on (Intel; AMD needs no "
                "parameter), and see 'warden doctor'");
  }
  return fail(Code::kUnsupported,
              fmt::format("{} is behind no IOMMU, although the host has one: put it in a slot of a root port that has "
                          "(ls {}/class/iommu/*/devices)",
                          function.address.text(), sysfs.sys()));
}

Status check_vfio_pci(const Sysfs& sysfs) {
  if (Sysfs::exists(sysfs.driver_path(kVfioDriver))) return {};
  return fail(Code::kUnsupported,
              "the kernel has no vfio-pci driver loaded: modprobe vfio-pci (its kernel needs CONFIG_VFIO_PCI)");
}

Status check_group(const Sysfs& sysfs, const Function& function, const std::vector<Function>& moved) {
  std::string others;
  for (const Function& member : functions_in_group(sysfs, function.iommu_group.value_or(0))) {
    const auto is_member = [&](const Function& other) { return other.address == member.address; };
    if (is_viable_in_group(member) || std::ranges::any_of(moved, is_member)) continue;
    others += (others.empty() ? "" : ", ") + described(member);
  }
  if (others.empty()) return {};
  return fail(Code::kBusy,
              fmt::format("{} shares IOMMU group {} with {}, and VFIO gives out a group as a whole: --group takes them "
                          "too, another slot may set it apart",
                          function.address.text(), *function.iommu_group, others));
}

Status check_rights(const Sysfs& sysfs, const Function& function, std::string_view command) {
  const std::string file = sysfs.function_path(function.address) + "/driver_override";
  if (!Sysfs::exists(file)) return fail(Code::kUnsupported, file + " is not there: the kernel is older than 3.16");
  if (::access(file.c_str(), W_OK) == 0) return {};
  return fail(Code::kPermission, fmt::format("{} can't be written by this user: needs root (sudo warden {} {})", file,
                                             command, function.address.text()));
}

Status check_unused(const Sysfs& sysfs, const std::vector<Function>& functions) {
  for (const Function& function : functions) {
    const std::vector<std::string> users = users_of(sysfs, function);
    if (users.empty()) continue;
    const bool wardend =
        std::ranges::any_of(users, [](const std::string& user) { return user.ends_with("(wardend)"); });
    return fail(Code::kBusy, fmt::format("{} is in use by {}: {}", function.address.text(), fmt::join(users, ", "),
                                         wardend ? "stop wardend first (systemctl stop wardend)" : "end that first"));
  }
  return {};
}

}  // namespace warden::pci
