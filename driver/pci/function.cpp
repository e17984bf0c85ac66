// SPDX-License-Identifier: Apache-2.0
// See function.h. The files are those of the kernel's Documentation/ABI/testing/sysfs-bus-pci.
#include "driver/pci/function.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <sstream>

namespace warden::pci {
namespace {

constexpr std::uint16_t kWormhole = 0x401e;
constexpr std::uint16_t kBlackhole = 0xb140;

// "0x1e52", as all ids are written; 0 for what is not.
template <typename Number>
Number id(const std::string& path) {
  const std::string text = Sysfs::read_or_empty(path);
  return static_cast<Number>(std::strtoul(text.c_str(), nullptr, 16));
}

template <typename Number>
std::optional<Number> decimal(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "16.0 GT/s PCIe" and "16"; a link that is not trained reads "Unknown" and 0 or 255 lanes.
Link link(const std::string& function, const std::string& which) {
  Link link;
  link.speed_gt_s = std::strtod(Sysfs::read_or_empty(function + "/" + which + "_link_speed").c_str(), nullptr);
  const auto lanes = decimal<std::uint32_t>(Sysfs::read_or_empty(function + "/" + which + "_link_width"));
  constexpr std::uint32_t kMostLanes = 32;
  if (lanes && *lanes <= kMostLanes) link.lanes = *lanes;
  return link;
}

std::vector<std::string> words(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> found;
  for (std::string word; stream >> word;) found.push_back(word);
  return found;
}

std::string override_of(const std::string& function) {
  const std::string text = Sysfs::read_or_empty(function + "/driver_override");
  return text == "(null)" ? "" : text;  // as the kernel writes none
}

// A group without an IOMMU behind it has a node of another name.
std::string group_node_of(const Sysfs& sysfs, std::uint32_t group) {
  for (const char* prefix : {"/vfio/", "/vfio/noiommu-"}) {
    std::string node = fmt::format("{}{}{}", sysfs.dev(), prefix, group);
    if (Sysfs::exists(node)) return node;
  }
  return "";
}

// The folder vfio-dev is there even when the kernel was built without the nodes.
std::string device_node_of(const Sysfs& sysfs, const std::string& function) {
  for (const std::string& name : Sysfs::names_in(function + "/vfio-dev")) {
    std::string node = sysfs.dev() + "/vfio/devices/" + name;
    if (Sysfs::exists(node)) return node;
  }
  return "";
}

std::vector<Function> functions_in(const Sysfs& sysfs, const std::string& directory) {
  std::vector<Function> functions;
  for (const std::string& name : Sysfs::names_in(directory)) {
    const auto address = Address::parse(name);
    if (!address) continue;
    // One that was unplugged meanwhile is none.
    if (auto function = read_function(sysfs, *address)) functions.push_back(std::move(*function));
  }
  return functions;
}

}  // namespace

std::string Function::what() const {
  if (is_tenstorrent() && device == kWormhole) return "wormhole";
  if (is_tenstorrent() && device == kBlackhole) return "blackhole";
  return fmt::format("{:04x}:{:04x}", vendor, device);
}

Result<Function> read_function(const Sysfs& sysfs, const Address& address) {
  const std::string path = sysfs.function_path(address);
  if (!Sysfs::exists(path)) {
    return fail(Code::kNotFound,
                fmt::format("there is no PCI function {}; lspci -D -d 1e52: lists Tenstorrent's", address.text()));
  }
  Function function{.address = address,
                    .vendor = id<std::uint16_t>(path + "/vendor"),
                    .device = id<std::uint16_t>(path + "/device"),
                    .subsystem_vendor = id<std::uint16_t>(path + "/subsystem_vendor"),
                    .subsystem_device = id<std::uint16_t>(path + "/subsystem_device"),
                    .class_code = id<std::uint32_t>(path + "/class"),
                    .driver = Sysfs::link_name(path + "/driver"),
                    .driver_override = override_of(path),
                    .link = link(path, "current"),
                    .best_link = link(path, "max"),
                    .reset_methods = words(Sysfs::read_or_empty(path + "/reset_method")),
                    .device_node = device_node_of(sysfs, path)};
  function.iommu_group = decimal<std::uint32_t>(Sysfs::link_name(path + "/iommu_group"));
  if (function.iommu_group) function.group_node = group_node_of(sysfs, *function.iommu_group);
  function.numa_node = decimal<int>(Sysfs::read_or_empty(path + "/numa_node"));
  if (function.numa_node && *function.numa_node < 0) function.numa_node.reset();
  return function;
}

std::vector<Function> functions_of(const Sysfs& sysfs, std::uint16_t vendor) {
  std::vector<Function> functions = functions_in(sysfs, sysfs.sys() + "/bus/pci/devices");
  std::erase_if(functions, [vendor](const Function& function) { return function.vendor != vendor; });
  return functions;
}

std::vector<Function> functions_in_group(const Sysfs& sysfs, std::uint32_t group) {
  return functions_in(sysfs, fmt::format("{}/kernel/iommu_groups/{}/devices", sysfs.sys(), group));
}

bool is_viable_in_group(const Function& function) noexcept {
  return function.driver.empty() || function.driver == kVfioDriver || function.driver == "pci-stub" ||
         function.is_bridge();
}

}  // namespace warden::pci
