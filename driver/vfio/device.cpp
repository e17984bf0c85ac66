// SPDX-License-Identifier: Apache-2.0
// Which backend a device name means.
#include "driver/vfio/device.h"

#include <fmt/format.h>

#include <algorithm>

#include "driver/vfio/vfio_user_client.h"

namespace warden::vfio {
namespace {

constexpr std::string_view kVfioUserPrefix = "vfio-user:";
// d = hexadecimal digit, o = octal digit (a function number).
constexpr std::string_view kPciAddressShape = "dddd:dd:dd.o";

bool is_pci_address(std::string_view name) {
  const auto fits = [](char shape, char letter) {
    switch (shape) {
      case 'd':
        return (letter >= '0' && letter <= '9') || (letter >= 'a' && letter <= 'f') || (letter >= 'A' && letter <= 'F');
      case 'o': return letter >= '0' && letter <= '7';
      default: return letter == shape;
    }
  };
  return name.size() == kPciAddressShape.size() &&
         std::equal(name.begin(), name.end(), kPciAddressShape.begin(),
                    [&](char letter, char shape) { return fits(shape, letter); });
}

std::unexpected<Error> no_kernel_backend(std::string_view name) {
  return fail(Code::kUnsupported,
              fmt::format("device {}: this build has no kernel VFIO backend for PCI addresses; name a simulated card "
                          "as vfio-user:PATH",
                          name));
}

}  // namespace

Status check_name(std::string_view name) {
  if (is_pci_address(name)) return {};
  if (name.starts_with(kVfioUserPrefix) && name.size() > kVfioUserPrefix.size()) return {};
  return fail(Code::kInvalidArgument,
              fmt::format("'{}' names no device; use vfio-user:PATH or a PCI address such as 0000:01:00.0", name));
}

Result<std::unique_ptr<Device>> open(std::string_view name, const OpenOptions& options) {
  if (auto named = check_name(name); !named) return std::unexpected(std::move(named).error());
  if (is_pci_address(name)) return no_kernel_backend(name);
  return VfioUserClient::connect(name, name.substr(kVfioUserPrefix.size()), options);
}

Result<std::unique_ptr<Device>> adopt(std::string_view name, std::vector<UniqueFd> descriptors,
                                      const OpenOptions& options) {
  if (auto named = check_name(name); !named) return std::unexpected(std::move(named).error());
  if (is_pci_address(name)) return no_kernel_backend(name);
  if (descriptors.size() != 1) {
    return fail(Code::kInvalidArgument,
                fmt::format("adopt {}: a vfio-user device is one descriptor, not {}", name, descriptors.size()));
  }
  return VfioUserClient::adopt(name, std::move(descriptors.front()), options);
}

}  // namespace warden::vfio
