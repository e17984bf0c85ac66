// SPDX-License-Identifier: Apache-2.0
// The kernel's two resets of a card: of the function alone, and of its whole bus or slot (hot reset).
#include <fmt/format.h>
#include <linux/pci.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "driver/pci/function.h"
#include "driver/vfio/capability.h"
#include "driver/vfio/kernel_device.h"
#include "driver/vfio/kernel_uapi.h"

namespace warden::vfio {
namespace {

// More functions than a bus has: 32 devices of 8 functions.
constexpr std::uint32_t kMostDependents = 256;

struct Dependents {
  std::uint32_t flags = 0;
  std::vector<vfio_pci_dependent_device> functions;
};

// 0, or the errno of the request.
int ask_dependents(int device, Dependents& into) {
  std::vector<std::byte> bytes(sizeof(vfio_pci_hot_reset_info) + kMostDependents * sizeof(vfio_pci_dependent_device));
  vfio_pci_hot_reset_info head{};
  head.argsz = static_cast<std::uint32_t>(bytes.size());
  std::memcpy(bytes.data(), &head, sizeof(head));
  if (::ioctl(device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, bytes.data()) != 0) return errno;
  head = load_from<vfio_pci_hot_reset_info>(bytes, 0);
  into.flags = head.flags;
  for (std::uint32_t i = 0; i < std::min(head.count, kMostDependents); ++i) {
    into.functions.push_back(
        load_from<vfio_pci_dependent_device>(bytes, sizeof(head) + i * sizeof(vfio_pci_dependent_device)));
  }
  return 0;
}

pci::Address address_of(const vfio_pci_dependent_device& function) {
  return {.domain = function.segment,
          .bus = function.bus,
          .device = static_cast<std::uint8_t>(PCI_SLOT(function.devfn)),
          .function = static_cast<std::uint8_t>(PCI_FUNC(function.devfn))};
}

}  // namespace

Status KernelDevice::reset() {
  if (!info_.can_reset) {
    return fail(Code::kUnsupported, name_ +
                                        ": function reset: the kernel knows no way to reset this function alone; "
                                        "use the hot reset");
  }
  revoke_mappings();
  if (::ioctl(device_.get(), VFIO_DEVICE_RESET) == 0) return {};
  if (errno == EAGAIN)
    return fail(Code::kBusy, name_ + ": function reset: the kernel is busy with this card; try again");
  return failed("function reset", errno);
}

Result<HotResetInfo> KernelDevice::hot_reset_info() {
  Dependents found;
  if (const int error = ask_dependents(device_.get(), found); error != 0) {
    if (error != ENODEV && error != ENOTTY && error != EINVAL) return failed("ask for a hot reset's dependents", error);
    return fail(Code::kUnsupported, name_ + ": no hot reset: it sits on the root bus, or its slot can't be reset");
  }
  const bool has_ids = (found.flags & uapi::kHotResetHasDeviceIds) != 0;
  HotResetInfo info;
  for (const vfio_pci_dependent_device& function : found.functions) {
    const pci::Address address = address_of(function);
    HotResetDependent dependent{.address = address.text(), .group = {}, .is_ours = false};
    if (has_ids) {
      const auto known = pci::read_function(sysfs_, address);
      if (known) dependent.group = known->iommu_group;
      dependent.is_ours = function.group_id != uapi::kHotResetNotOwned;
    } else {
      dependent.group = function.group_id;
      dependent.is_ours = DmaSpaces::of_this_process().has(function.group_id);
    }
    info.dependents.push_back(std::move(dependent));
  }
  return info;
}

// The kernel's own refusal names nobody.
Status KernelDevice::check_dependents(std::span<const int> proofs) {
  auto info = hot_reset_info();
  if (!info) return std::unexpected(std::move(info).error());
  std::string missing;
  for (const HotResetDependent& dependent : info->dependents) {
    if (dependent.is_ours) continue;
    missing += (missing.empty() ? "" : ", ") + dependent.address;
  }
  if (missing.empty()) return {};
  return fail(Code::kPermission,
              fmt::format("{}: hot reset: it would reset {} too, which {} not ours; open all of them in one process{}",
                          name_, missing, missing.contains(',') ? "are" : "is",
                          proofs.empty() ? ", by their groups where they are in several" : ""));
}

Status KernelDevice::hot_reset(std::span<Device* const> others) {
  std::vector<int> proofs;
  const auto prove = [&](const KernelDevice& device) {
    const int proof = device.space_->hot_reset_proof();
    if (proof >= 0 && std::ranges::find(proofs, proof) == proofs.end()) proofs.push_back(proof);
  };
  prove(*this);
  for (Device* other : others) {
    const auto* device = dynamic_cast<const KernelDevice*>(other);
    if (device == nullptr) return fail(Code::kInvalidArgument, other->name() + " is no card of the kernel's");
    prove(*device);
  }
  if (auto complete = check_dependents(proofs); !complete) return complete;
  vfio_pci_hot_reset head{};
  const std::size_t list_bytes = proofs.size() * sizeof(int);
  std::vector<std::byte> asked(sizeof(head) + list_bytes);
  head.argsz = static_cast<std::uint32_t>(asked.size());
  head.count = static_cast<std::uint32_t>(proofs.size());
  std::memcpy(asked.data(), &head, sizeof(head));
  if (!proofs.empty()) std::memcpy(asked.data() + sizeof(head), proofs.data(), list_bytes);
  revoke_mappings();
  for (Device* other : others) other->revoke_mappings();
  if (::ioctl(device_.get(), VFIO_DEVICE_PCI_HOT_RESET, asked.data()) == 0) return {};
  if (errno == EINVAL || errno == EPERM) {
    return fail(Code::kPermission, name_ +
                                       ": hot reset: the kernel lacks the proof that every function it takes along "
                                       "is ours; name their devices in the call");
  }
  return failed("hot reset", errno);
}

}  // namespace warden::vfio
