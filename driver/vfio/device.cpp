// SPDX-License-Identifier: Apache-2.0
// Which backend a device name means.
#include "driver/vfio/device.h"

#include <fmt/format.h>

#include <utility>

#include "driver/pci/address.h"
#include "driver/vfio/kernel_device.h"
#include "driver/vfio/vfio_user_client.h"

namespace warden::vfio {
namespace {

constexpr std::string_view kVfioUserPrefix = "vfio-user:";

bool is_pci_address(std::string_view name) { return pci::Address::parse(name).has_value(); }

}  // namespace

Status check_name(std::string_view name) {
  if (is_pci_address(name)) return {};
  if (name.starts_with(kVfioUserPrefix) && name.size() > kVfioUserPrefix.size()) return {};
  return fail(Code::kInvalidArgument,
              fmt::format("'{}' names no device; use vfio-user:PATH or a PCI address such as 0000:01:00.0", name));
}

Result<std::unique_ptr<Device>> open(std::string_view name, const OpenOptions& options) {
  if (auto named = check_name(name); !named) return std::unexpected(std::move(named).error());
  if (is_pci_address(name)) return KernelDevice::open(name, options);
  return VfioUserClient::connect(name, name.substr(kVfioUserPrefix.size()), options);
}

Result<std::unique_ptr<Device>> adopt(std::string_view name, std::vector<UniqueFd> descriptors,
                                      const OpenOptions& options) {
  if (auto named = check_name(name); !named) return std::unexpected(std::move(named).error());
  if (is_pci_address(name)) return KernelDevice::adopt(name, std::move(descriptors));
  if (descriptors.size() != 1) {
    return fail(Code::kInvalidArgument,
                fmt::format("adopt {}: a vfio-user device is one descriptor, not {}", name, descriptors.size()));
  }
  return VfioUserClient::adopt(name, std::move(descriptors.front()), options);
}

}  // namespace warden::vfio
