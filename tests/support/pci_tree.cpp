// SPDX-License-Identifier: Apache-2.0
// See pci_tree.h.
#include "tests/support/pci_tree.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>

namespace warden::test {
namespace fs = std::filesystem;

PciTree::PciTree() {
  for (const char* directory : {"/sys/bus/pci/devices", "/sys/kernel/iommu_groups", "/sys/class/iommu/dmar0",
                                "/sys/bus/pci/drivers/vfio-pci", "/dev/vfio", "/proc", "/run"}) {
    fs::create_directories(path_of(directory));
  }
  put("/sys/bus/pci/drivers/vfio-pci/bind", "");
  put("/sys/bus/pci/drivers/vfio-pci/unbind", "");
  put("/sys/bus/pci/drivers_probe", "");
  put("/dev/vfio/vfio", "");
}

void PciTree::add(const PciCard& card) {
  const std::string bridge = card.parent.empty() ? "" : "/" + card.parent;
  const std::string home = "/sys/devices/pci0000:00" + bridge + "/" + card.address;
  const std::vector<std::pair<const char*, std::string>> files = {{"vendor", card.vendor},
                                                                  {"device", card.device},
                                                                  {"subsystem_vendor", card.vendor},
                                                                  {"subsystem_device", card.subsystem_device},
                                                                  {"class", card.class_code},
                                                                  {"driver_override", "(null)"},
                                                                  {"current_link_speed", "16.0 GT/s PCIe"},
                                                                  {"current_link_width", "16"},
                                                                  {"max_link_speed", "16.0 GT/s PCIe"},
                                                                  {"max_link_width", "16"},
                                                                  {"numa_node", "0"},
                                                                  {"reset_method", card.reset_method}};
  for (const auto& [name, text] : files) put(home + "/" + name, text + "\n");
  link("/sys/bus/pci/devices/" + card.address, "../../.." + home.substr(4));
  if (!card.driver.empty()) {
    const std::string driver = "/sys/bus/pci/drivers/" + card.driver;
    for (const char* name : {"/bind", "/unbind"}) {
      if (!fs::exists(path_of(driver + name))) put(driver + name, "");
    }
    link(home + "/driver", path_of(driver));
  }
  if (card.group < 0) return;
  const std::string group = fmt::format("/sys/kernel/iommu_groups/{}", card.group);
  link(home + "/iommu_group", path_of(group));
  link(group + "/devices/" + card.address, path_of(home));
  if (card.driver == "vfio-pci") put(fmt::format("/dev/vfio/{}", card.group), "");
}

void PciTree::put(const std::string& path, std::string_view text) {
  fs::create_directories(fs::path(path_of(path)).parent_path());
  std::ofstream(path_of(path)) << text;
}

void PciTree::link(const std::string& path, const std::string& target) {
  fs::create_directories(fs::path(path_of(path)).parent_path());
  fs::remove(path_of(path));
  fs::create_symlink(target, path_of(path));
}

void PciTree::remove(const std::string& path) { fs::remove_all(path_of(path)); }

std::string PciTree::text_of(const std::string& path) const { return pci::Sysfs::read_or_empty(path_of(path)); }

}  // namespace warden::test
