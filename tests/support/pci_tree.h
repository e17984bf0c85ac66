// SPDX-License-Identifier: Apache-2.0
// The files in which a kernel would describe a host with PCI cards, in a directory of their own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "driver/pci/sysfs.h"
#include "tests/support/process.h"

namespace warden::test {

struct PciCard {
  std::string address = "0000:01:00.0";
  std::string vendor = "0x1e52";
  std::string device = "0x401e";
  std::string class_code = "0x120000";
  std::string subsystem_device = "0x0018";
  std::string driver = {};  // none
  std::string parent = {};  // the bridge above it; none: the root
  int group = 0;            // below 0: no IOMMU
  std::string reset_method = "flr bus";
};

class PciTree {
 public:
  // With an IOMMU, vfio-pci, and nothing that either has anything to do with.
  PciTree();

  void add(const PciCard& card);
  void put(const std::string& path, std::string_view text);       // "/sys/...", with the directories above
  void link(const std::string& path, const std::string& target);  // a symbolic link; over an old one too
  void remove(const std::string& path);                           // with all below
  [[nodiscard]] std::string path_of(const std::string& path) const { return directory_.path() + path; }
  [[nodiscard]] std::string text_of(const std::string& path) const;

  [[nodiscard]] const std::string& root() const noexcept { return directory_.path(); }
  [[nodiscard]] pci::Sysfs sysfs() const { return pci::Sysfs::below(root()); }

 private:
  TemporaryDirectory directory_;
};

}  // namespace warden::test
