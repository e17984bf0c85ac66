// SPDX-License-Identifier: Apache-2.0
// What stands between a PCI address and VFIO on a host, each as one line with its cure. The host is a tree of files;
// nodes that are plain files get as far as the first request.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/vfio/capability.h"
#include "driver/vfio/kernel_device.h"
#include "driver/vfio/kernel_host.h"
#include "tests/support/pci_tree.h"

namespace warden::vfio {
namespace {

using test::PciTree;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kCard = "0000:01:00.0";

Error refusal(const PciTree& tree, const char* name = kCard, const OpenOptions& options = {}) {
  auto device = KernelDevice::open(name, options, tree.sysfs());
  if (device) throw std::runtime_error("it was opened");
  EXPECT_THAT(device.error().message, Not(HasSubstr("\n")));
  return device.error();
}

// Proves that an address that is none, or that nothing answers to, is told so before any node is opened.
TEST(VfioKernelOpen, NamesTheAddress) {
  PciTree tree;
  EXPECT_EQ(refusal(tree, "0000:01").code, Code::kInvalidArgument);
  const Error absent = refusal(tree);
  EXPECT_EQ(absent.code, Code::kNotFound);
  EXPECT_THAT(absent.message, HasSubstr(kCard));
}

// Proves that a card without an IOMMU group is traced back to the host's settings.
TEST(VfioKernelOpen, MissesTheIommu) {
  PciTree tree;
  tree.add({.driver = "vfio-pci", .group = -1});
  const Error error = refusal(tree);
  EXPECT_EQ(error.code, Code::kUnsupported);
  EXPECT_THAT(error.message, HasSubstr("intel_iommu=on"));
}

// Proves that the driver in the way is named with the command that removes it; and one that none has, too.
TEST(VfioKernelOpen, NamesTheOtherDriver) {
  PciTree tree;
  tree.add({.driver = "tenstorrent", .group = 7});
  tree.add({.address = "0000:02:00.0", .group = 8});
  const Error bound = refusal(tree);
  EXPECT_EQ(bound.code, Code::kBusy);
  EXPECT_THAT(bound.message, HasSubstr("tenstorrent"));
  EXPECT_THAT(bound.message, HasSubstr("warden bind 0000:01:00.0"));
  EXPECT_THAT(refusal(tree, "0000:02:00.0").message, HasSubstr("no driver"));
}

// Proves that a host without VFIO is told which module to load.
TEST(VfioKernelOpen, MissesVfio) {
  PciTree tree;
  tree.add({.driver = "vfio-pci", .group = 7});
  tree.remove("/dev/vfio/vfio");
  const Error error = refusal(tree);
  EXPECT_EQ(error.code, Code::kUnsupported);
  EXPECT_THAT(error.message, HasSubstr("modprobe vfio-pci"));
}

// Proves that a node that this user may not open is named, with whose it should be.
TEST(VfioKernelOpen, NamesTheNodeThatIsForbidden) {
  PciTree tree;
  tree.add({.driver = "vfio-pci", .group = 7});
  ::chmod(tree.root().c_str(), 0755);
  ::chmod(tree.path_of("/dev/vfio/7").c_str(), 0);
  ::chmod(tree.path_of("/dev/vfio/vfio").c_str(), 0666);
  const uid_t before = ::geteuid();
  constexpr uid_t kNobody = 65534;
  if (before == 0) {
    ASSERT_EQ(::seteuid(kNobody), 0);
  }
  const Error error = refusal(tree);
  ASSERT_EQ(::seteuid(before), 0);
  EXPECT_EQ(error.code, Code::kPermission);
  EXPECT_THAT(error.message, HasSubstr("/dev/vfio/7"));
  EXPECT_THAT(error.message, HasSubstr("udev rule"));
}

// Proves that a group's node that is not there is named, and which card it was for.
TEST(VfioKernelOpen, MissesTheGroupsNode) {
  PciTree tree;
  tree.add({.driver = "vfio-pci", .group = 7});
  tree.remove("/dev/vfio/7");
  const Error error = refusal(tree);
  EXPECT_EQ(error.code, Code::kNotFound);
  EXPECT_THAT(error.message, HasSubstr("/dev/vfio/7"));
  EXPECT_THAT(error.message, HasSubstr(kCard));
}

// Proves that a group that no IOMMU confines is refused, unless that is asked for by name.
TEST(VfioKernelOpen, RefusesNoIommuUnlessAskedFor) {
  PciTree tree;
  tree.add({.driver = "vfio-pci", .group = 7});
  tree.remove("/dev/vfio/7");
  tree.put("/dev/vfio/noiommu-7", "");
  const Error refused = refusal(tree);
  EXPECT_EQ(refused.code, Code::kUnsupported);
  EXPECT_THAT(refused.message, HasSubstr("all memory of the host"));
  const Error further = refusal(tree, kCard, {.allow_no_iommu = true});
  EXPECT_THAT(further.message, Not(HasSubstr("no IOMMU")));
  EXPECT_THAT(further.message, HasSubstr("Inappropriate ioctl"));
}

// Proves which of the kernel's interfaces is taken: the device's node when iommufd is there as well, the group else,
// and the one asked for in any case. The folder vfio-dev alone says nothing.
TEST(VfioKernelOpen, ChoosesTheInterface) {
  PciTree tree;
  tree.add({.driver = "vfio-pci", .group = 7});
  tree.put("/sys/bus/pci/devices/0000:01:00.0/vfio-dev/vfio0/dev", "511:0");
  tree.put("/dev/iommu", "");
  EXPECT_THAT(refusal(tree).message, HasSubstr("group's state"));
  EXPECT_THAT(refusal(tree, kCard, {.kernel_interface = KernelInterface::kCharacterDevice}).message,
              HasSubstr("CONFIG_VFIO_DEVICE_CDEV"));
  tree.put("/dev/vfio/devices/vfio0", "");
  EXPECT_THAT(refusal(tree).message, HasSubstr("address space"));
  EXPECT_THAT(refusal(tree, kCard, {.kernel_interface = KernelInterface::kGroup}).message, HasSubstr("group's state"));
  tree.remove("/dev/iommu");
  EXPECT_THAT(refusal(tree).message, HasSubstr("group's state"));
}

// Proves that those in a group's way are listed with their drivers, and no others: bridges and cards of vfio-pci do no
// harm.
TEST(VfioKernelOpen, NamesTheStrangersInAGroup) {
  PciTree tree;
  tree.add({.driver = "vfio-pci", .group = 7});
  tree.add({.address = "0000:01:00.1", .vendor = "0x8086", .driver = "snd_hda_intel", .group = 7});
  tree.add({.address = "0000:00:01.0", .class_code = "0x060400", .driver = "pcieport", .group = 7});
  tree.add({.address = "0000:01:00.2", .group = 7});
  EXPECT_EQ(strangers_in_group(tree.sysfs(), 7), "0000:01:00.1 (driver snd_hda_intel)");
}

// Proves that descriptors of the wrong number or kind are refused, whoever handed them over.
TEST(VfioKernelOpen, AdoptsOnlyWhatVfioGave) {
  PciTree tree;
  tree.add({.driver = "vfio-pci", .group = 7});
  const auto adopted = [&](std::size_t count) {
    std::vector<UniqueFd> fds;
    for (std::size_t i = 0; i < count; ++i) fds.emplace_back(::memfd_create("no-vfio", MFD_CLOEXEC));
    auto device = KernelDevice::adopt(kCard, std::move(fds), tree.sysfs());
    if (device) throw std::runtime_error("it was adopted");
    return device.error().message;
  };
  EXPECT_THAT(adopted(1), HasSubstr("two or three"));
  EXPECT_THAT(adopted(2), HasSubstr("no iommufd"));
  EXPECT_THAT(adopted(3), HasSubstr("no VFIO group"));
  EXPECT_FALSE(DmaSpaces::of_this_process().has(7));
}

// Proves that a chain of capabilities is followed to its end and no further, wherever it points.
TEST(VfioCapability, ChainsEnd) {
  std::vector<std::byte> bytes(64);
  const auto put = [&](std::size_t at, std::uint16_t id, std::uint32_t next) {
    const vfio_info_cap_header header{.id = id, .version = 1, .next = next};
    std::memcpy(bytes.data() + at, &header, sizeof(header));
  };
  const auto ids = [&] {
    std::vector<int> seen;
    each_capability(bytes, 32, [&](std::uint16_t id, auto) { seen.push_back(id); });
    return seen;
  };
  put(32, 1, 40);
  put(40, 2, 0);
  EXPECT_THAT(ids(), ::testing::ElementsAre(1, 2));
  put(40, 2, 32);  // a ring
  EXPECT_THAT(ids(), ::testing::ElementsAre(1, 2));
  put(40, 2, 60);  // half of it lies outside
  EXPECT_THAT(ids(), ::testing::ElementsAre(1, 2));
}

}  // namespace
}  // namespace warden::vfio
