// SPDX-License-Identifier: Apache-2.0
// PCI addresses as people type them, and functions as the kernel's files describe them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "driver/pci/function.h"
#include "tests/support/pci_tree.h"

namespace warden::pci {
namespace {

using test::PciTree;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Address address(std::string_view text) { return Address::parse(text).value(); }

// Proves that both ways to write an address mean the same, and that it is written as the kernel does.
TEST(PciAddress, IsReadAndWritten) {
  EXPECT_EQ(address("0000:01:00.0"), (Address{.bus = 1}));
  EXPECT_EQ(address("01:00.0"), (Address{.bus = 1}));
  EXPECT_EQ(address("00AB:Cd:1f.7").text(), "00ab:cd:1f.7");
  EXPECT_EQ(address("10000:e1:00.0").text(), "10000:e1:00.0");  // behind a host bridge that the kernel made up
  EXPECT_EQ(address("0000:ff:1f.7"), (Address{.bus = 0xff, .device = 31, .function = 7}));
}

// Proves that nothing else passes: too short, too long, out of range, with something around it.
TEST(PciAddress, RefusesWhatIsNone) {
  for (const char* text : {"",
                           "0",
                           "01:00",
                           "0000:01:00",
                           "1:00.0",
                           "000:01:00.0",
                           "0000:01:00.8",
                           "0000:01:20.0",
                           "0000:01:00.00",
                           "0000:001:00.0",
                           " 0000:01:00.0",
                           "0000:01:00.0 ",
                           "0000:01:00.0\n",
                           "0000:0x:00.0",
                           "-001:01:00.0",
                           "0000:01:+1.0",
                           "123456789:01:00.0",
                           "0000:01:00.",
                           "0000::01:00.0",
                           ":01:00.0",
                           "0000:01:0.0",
                           "0000.01:00.0",
                           "vfio-user:/tmp/x.0"}) {
    const auto parsed = Address::parse(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, Code::kInvalidArgument);
    EXPECT_THAT(parsed.error().message, HasSubstr("0000:01:00.0"));
  }
}

// Proves that everything the kernel says of a function is read from the file that says it.
TEST(PciFunction, IsAsTheKernelSays) {
  PciTree tree;
  tree.add({.address = "0000:01:00.0", .driver = "vfio-pci", .group = 12});
  const std::string home = "/sys/bus/pci/devices/0000:01:00.0/";
  tree.put(home + "current_link_speed", "8.0 GT/s PCIe\n");
  tree.put(home + "current_link_width", "4\n");
  tree.put(home + "numa_node", "1\n");
  tree.put(home + "driver_override", "vfio-pci\n");
  tree.put(home + "vfio-dev/vfio3/dev", "511:3\n");
  tree.put("/dev/vfio/devices/vfio3", "");
  const auto function = read_function(tree.sysfs(), address("01:00.0"));
  ASSERT_TRUE(function) << function.error().message;
  EXPECT_EQ(function->vendor, kTenstorrent);
  EXPECT_EQ(function->device, 0x401e);
  EXPECT_EQ(function->subsystem_device, 0x18);
  EXPECT_EQ(function->class_code, 0x120000U);
  EXPECT_EQ(function->what(), "wormhole");
  EXPECT_EQ(function->driver, "vfio-pci");
  EXPECT_EQ(function->driver_override, "vfio-pci");
  EXPECT_EQ(function->iommu_group, 12U);
  EXPECT_EQ(function->link, (Link{8, 4}));
  EXPECT_EQ(function->best_link, (Link{16, 16}));
  EXPECT_EQ(function->numa_node, 1);
  EXPECT_THAT(function->reset_methods, ElementsAre("flr", "bus"));
  EXPECT_EQ(function->group_node, tree.path_of("/dev/vfio/12"));
  EXPECT_EQ(function->device_node, tree.path_of("/dev/vfio/devices/vfio3"));
}

// Proves that what the kernel leaves open is left open: no driver, no IOMMU, no node, no trained link.
TEST(PciFunction, MayLackAlmostEverything) {
  PciTree tree;
  tree.add({.group = -1, .reset_method = ""});
  const std::string home = "/sys/bus/pci/devices/0000:01:00.0/";
  tree.put(home + "current_link_speed", "Unknown\n");
  tree.put(home + "current_link_width", "255\n");
  tree.put(home + "numa_node", "-1\n");
  tree.put(home + "vfio-dev/vfio0/dev", "511:0\n");  // the folder is there on kernels without the node
  const auto function = read_function(tree.sysfs(), address("01:00.0"));
  ASSERT_TRUE(function);
  EXPECT_EQ(function->driver, "");
  EXPECT_EQ(function->driver_override, "");
  EXPECT_FALSE(function->iommu_group);
  EXPECT_FALSE(function->numa_node);
  EXPECT_EQ(function->link, Link{});
  EXPECT_TRUE(function->reset_methods.empty());
  EXPECT_EQ(function->group_node, "");
  EXPECT_EQ(function->device_node, "");
}

// Proves that the vendor's cards are found among others, and who is in a group with them.
TEST(PciFunction, IsFoundAmongOthers) {
  PciTree tree;
  tree.add({.address = "0000:02:00.0", .device = "0xb140", .driver = "tenstorrent", .group = 2});
  tree.add({.address = "0000:01:00.0", .group = 1});
  tree.add({.address = "0000:00:01.0", .vendor = "0x8086", .class_code = "0x060400", .driver = "pcieport", .group = 2});
  tree.add({.address = "0000:02:00.1", .vendor = "0x8086", .device = "0x11e8", .driver = "snd", .group = 2});
  tree.put("/sys/bus/pci/devices/README", "");  // never seen, and no reason to stop
  const auto cards = functions_of(tree.sysfs());
  ASSERT_EQ(cards.size(), 2U);
  EXPECT_EQ(cards[0].address, address("01:00.0"));
  EXPECT_EQ(cards[1].what(), "blackhole");
  const auto members = functions_in_group(tree.sysfs(), 2);
  ASSERT_EQ(members.size(), 3U);
  EXPECT_TRUE(is_viable_in_group(members[0])) << "a bridge";
  EXPECT_FALSE(is_viable_in_group(members[1])) << "tenstorrent";
  EXPECT_FALSE(is_viable_in_group(members[2])) << "snd";
  EXPECT_EQ(members[2].what(), "8086:11e8");
  EXPECT_TRUE(is_viable_in_group(cards[0])) << "no driver";
  EXPECT_TRUE(functions_in_group(tree.sysfs(), 3).empty());
  EXPECT_TRUE(functions_of(Sysfs::below("/nonexistent")).empty());
}

// Proves that an absent function is told in one line, and how to find those that are there.
TEST(PciFunction, MayBeAbsent) {
  const PciTree tree;
  const auto function = read_function(tree.sysfs(), address("0000:07:00.0"));
  ASSERT_FALSE(function);
  EXPECT_EQ(function.error().code, Code::kNotFound);
  EXPECT_THAT(function.error().message, HasSubstr("no PCI function 0000:07:00.0; lspci"));
}

}  // namespace
}  // namespace warden::pci
