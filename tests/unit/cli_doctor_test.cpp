// SPDX-License-Identifier: Apache-2.0
// The checks of `warden doctor`, over a host where everything is right and over hosts with one thing wrong each.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <map>

#include "tests/support/pci_tree.h"
#include "tools/warden/doctor.h"

namespace warden::cli {
namespace {

using test::PciTree;
using ::testing::HasSubstr;

constexpr const char* kCard = "0000:01:00.0";
constexpr const char* kPort = "0000:00:01.0";
const std::string kHome = std::string("/sys/bus/pci/devices/") + kCard;

// A host on which nothing is left to do.
void make_right(PciTree& tree) {
  tree.add({.address = kPort, .vendor = "0x8086", .class_code = "0x060400", .driver = "pcieport", .group = 1});
  tree.add({.address = kCard, .driver = "vfio-pci", .parent = kPort, .group = 2});
  tree.put("/sys/module/vfio_iommu_type1/parameters/dma_entry_limit", "65535\n");
  tree.put("/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "N\n");
  tree.put("/sys/kernel/btf/vmlinux", "BTF");
  tree.put("/sys/kernel/security/lockdown", "[none] integrity confidentiality\n");
  tree.put("/proc/cpuinfo", "vendor_id\t: GenuineIntel\n");
  tree.put("/proc/cmdline", "quiet\n");
}

Host host_of(const PciTree& tree) {
  const pci::Sysfs sysfs = tree.sysfs();
  return {.sysfs = sysfs,
          .cards = pci::functions_of(sysfs),
          .may_lock_memory = true,
          .lockable_bytes = 8 << 20,
          .may_load_bpf = true,
          .may_be_realtime = true,
          .own_version = "1.2.3",
          .wardend_status = R"({"version": "1.2.3"})"};
}

std::map<std::string, Finding> findings_of(const Host& host) {
  std::map<std::string, Finding> findings;
  for (const Check& check : checks()) findings[check.name] = check.look(host);
  return findings;
}

// Proves that a host where everything is right is found so, in every check.
TEST(Doctor, FindsNothingOnARightHost) {
  PciTree tree;
  make_right(tree);
  for (const auto& [name, finding] : findings_of(host_of(tree))) {
    EXPECT_EQ(finding.verdict, Verdict::kGood) << name << ": " << finding.what;
    EXPECT_NE(finding.what, "") << name;
    EXPECT_EQ(finding.cure, "") << name;
  }
}

struct Wrong {
  const char* name;
  std::function<void(PciTree&)> break_tree;
  std::function<void(Host&)> break_host;
  const char* check;
  Verdict verdict;
  const char* what;
  const char* cure;
};

void PrintTo(const Wrong& wrong, std::ostream* out) { *out << wrong.name; }

class DoctorFinds : public ::testing::TestWithParam<Wrong> {};

// Proves that each single thing that is wrong is found by the check for it, with its weight and its cure, in one line.
TEST_P(DoctorFinds, Wrong) {
  const Wrong& wrong = GetParam();
  PciTree tree;
  make_right(tree);
  if (wrong.break_tree) wrong.break_tree(tree);
  Host host = host_of(tree);
  if (wrong.break_host) wrong.break_host(host);
  const Finding finding = findings_of(host).at(wrong.check);
  EXPECT_EQ(finding.verdict, wrong.verdict) << finding.what;
  EXPECT_THAT(finding.what, HasSubstr(wrong.what));
  EXPECT_THAT(finding.cure, HasSubstr(wrong.cure));
  EXPECT_EQ(std::ranges::count(finding.what + finding.cure, '\n'), 0);
}

void put_neighbour(PciTree& tree, const char* driver) {
  tree.add({.address = "0000:01:00.1", .vendor = "0x10de", .driver = driver, .parent = kPort, .group = 2});
}

const std::string kPciehp = std::string("/sys/bus/pci_express/drivers/pciehp/") + kPort + ":pcie004";
const char* const kLimits = "/sys/module/vfio_iommu_type1/parameters/";

const Wrong kWrongs[] = {
    {"IommuOff",
     [](PciTree& tree) { tree.remove("/sys/class/iommu/dmar0"); },
     {},
     "IOMMU",
     Verdict::kMissing,
     "off",
     "VT-d in the BIOS; add intel_iommu=on"},
    {"IommuOffAmd",
     [](PciTree& tree) {
       tree.remove("/sys/class/iommu/dmar0");
       tree.put("/proc/cpuinfo", "vendor_id\t: AuthenticAMD\n");
     },
     {},
     "IOMMU",
     Verdict::kMissing,
     "off",
     "AMD-Vi"},
    {"IommuForbidden",
     [](PciTree& tree) {
       tree.remove("/sys/class/iommu/dmar0");
       tree.put("/proc/cmdline", "quiet intel_iommu=off\n");
     },
     {},
     "IOMMU",
     Verdict::kMissing,
     "off",
     "boot without 'intel_iommu=off'"},
    {"IommuOffInBios",
     [](PciTree& tree) {
       tree.remove("/sys/class/iommu/dmar0");
       tree.put("/proc/cmdline", "quiet intel_iommu=on\n");
     },
     {},
     "IOMMU",
     Verdict::kMissing,
     "off",
     "enable VT-d in the BIOS and boot again"},
    {"IommuWithoutGroups",
     [](PciTree& tree) { tree.remove("/sys/kernel/iommu_groups"); },
     {},
     "IOMMU",
     Verdict::kMissing,
     "nothing is behind it",
     "BIOS"},
    {"NoVfioPci",
     [](PciTree& tree) { tree.remove("/sys/bus/pci/drivers/vfio-pci"); },
     {},
     "vfio-pci",
     Verdict::kMissing,
     "not loaded",
     "modprobe vfio-pci"},
    {"NoVfioNode",
     [](PciTree& tree) { tree.remove("/dev/vfio/vfio"); },
     {},
     "VFIO",
     Verdict::kMissing,
     "/dev/vfio/vfio",
     "modprobe vfio_iommu_type1"},
    {"NoCard",
     [](PciTree& tree) { tree.remove(kHome); },
     {},
     "cards",
     Verdict::kMissing,
     "no Tenstorrent card",
     "lspci -d 1e52:"},
    {"SlowLink",
     [](PciTree& tree) { tree.put(kHome + "/current_link_width", "8\n"); },
     {},
     "links",
     Verdict::kAdvice,
     "0000:01:00.0 runs at 16 GT/s x8, and can 16 GT/s x16",
     "lspci -vv -s 0000:01:00.0"},
    {"OtherDriver",
     [](PciTree& tree) { tree.link(kHome + "/driver", tree.path_of("/sys/bus/pci/drivers/tenstorrent")); },
     {},
     "binding",
     Verdict::kMissing,
     "0000:01:00.0 belongs to tenstorrent",
     "warden bind 0000:01:00.0"},
    {"NoDriver",
     [](PciTree& tree) { tree.remove(kHome + "/driver"); },
     {},
     "binding",
     Verdict::kMissing,
     "belongs to no driver",
     "warden bind 0000:01:00.0"},
    {"OneOfTwoUnbound",
     [](PciTree& tree) { tree.add({.address = "0000:02:00.0", .driver = "tenstorrent", .group = 3}); },
     {},
     "binding",
     Verdict::kAdvice,
     "0000:02:00.0",
     "warden bind 0000:02:00.0"},
    {"ForeignInGroup",
     [](PciTree& tree) { put_neighbour(tree, "snd"); },
     {},
     "groups",
     Verdict::kMissing,
     "0000:01:00.0 shares group 2 with 0000:01:00.1, which belongs to snd",
     "--group"},
    {"SharedGroup",
     [](PciTree& tree) { put_neighbour(tree, "vfio-pci"); },
     {},
     "groups",
     Verdict::kAdvice,
     "shares group 2 with 0000:01:00.1",
     "ACS"},
    {"NoGroup",
     [](PciTree& tree) { tree.remove(kHome + "/iommu_group"); },
     {},
     "groups",
     Verdict::kMissing,
     "in no IOMMU group",
     "IOMMU"},
    {"NoNode",
     [](PciTree& tree) { tree.remove("/dev/vfio/2"); },
     {},
     "device nodes",
     Verdict::kMissing,
     "no node",
     "--device"},
    {"NoReset",
     [](PciTree& tree) { tree.put(kHome + "/reset_method", "\n"); },
     {},
     "resets",
     Verdict::kAdvice,
     "no way to reset 0000:01:00.0",
     "reset_method"},
    {"HotPlugSlot",
     [](PciTree& tree) { tree.put(kPciehp, ""); },
     {},
     "hot-plug",
     Verdict::kAdvice,
     "0000:01:00.0 is in a hot-plug slot",
     "echo 0000:00:01.0:pcie004 >/sys/bus/pci_express/drivers/pciehp/unbind"},
    {"HotPlugSlotOfGalaxy",
     [](PciTree& tree) {
       tree.put(kPciehp, "");
       tree.put(kHome + "/subsystem_device", "0x0035\n");
     },
     {},
     "hot-plug",
     Verdict::kMissing,
     "of a Galaxy",
     "pciehp/unbind"},
    {"LittleLockedMemory",
     {},
     [](Host& host) { host.may_lock_memory = false; },
     "locked memory",
     Verdict::kAdvice,
     "only 8.00 MB",
     "LimitMEMLOCK=infinity"},
    {"FewEntries",
     [](PciTree& tree) { tree.put(std::string(kLimits) + "dma_entry_limit", "512\n"); },
     {},
     "DMA entries",
     Verdict::kAdvice,
     "only 512",
     "echo 65535 >"},
    {"UnsafeInterrupts",
     [](PciTree& tree) { tree.put(std::string(kLimits) + "allow_unsafe_interrupts", "Y\n"); },
     {},
     "interrupts",
     Verdict::kAdvice,
     "unsafe",
     "x2APIC"},
    {"NoBtf",
     [](PciTree& tree) { tree.remove("/sys/kernel/btf"); },
     {},
     "BTF",
     Verdict::kAdvice,
     "without",
     "CONFIG_DEBUG_INFO_BTF"},
    {"NoBpfRight",
     {},
     [](Host& host) { host.may_load_bpf = false; },
     "BPF",
     Verdict::kAdvice,
     "may not be loaded",
     "CAP_BPF"},
    {"Lockdown",
     [](PciTree& tree) { tree.put("/sys/kernel/security/lockdown", "none integrity [confidentiality]\n"); },
     {},
     "BPF",
     Verdict::kAdvice,
     "lockdown",
     "lockdown=integrity"},
    {"NoRealTime",
     {},
     [](Host& host) { host.may_be_realtime = false; },
     "real time",
     Verdict::kAdvice,
     "not allowed",
     "LimitRTPRIO"},
    {"NoWardend",
     {},
     [](Host& host) { host.wardend_status = fail(Code::kNotFound, "nobody"); },
     "wardend",
     Verdict::kAdvice,
     "does not run: nobody",
     "systemctl start wardend"},
    {"OtherVersion",
     {},
     [](Host& host) { host.wardend_status = R"({"version": "1.2.2"})"; },
     "wardend",
     Verdict::kAdvice,
     "1.2.2 runs, and this is 1.2.3",
     "restart"},
    {"NoWords",
     {},
     [](Host& host) { host.wardend_status = "garbage"; },
     "wardend",
     Verdict::kAdvice,
     "runs, and this is 1.2.3",
     "restart"},
};

INSTANTIATE_TEST_SUITE_P(One, DoctorFinds, ::testing::ValuesIn(kWrongs),
                         [](const auto& instance) { return std::string(instance.param.name); });

// Proves that enough memory to lock is enough, without the right to go beyond.
TEST(Doctor, TakesALimitThatSuffices) {
  PciTree tree;
  make_right(tree);
  Host host = host_of(tree);
  host.may_lock_memory = false;
  host.lockable_bytes = std::uint64_t{1} << 30;
  EXPECT_EQ(doctor::locked_memory(host).verdict, Verdict::kGood);
}

// Proves that on a bare host no check claims what it can't see, and none stumbles.
TEST(Doctor, ClaimsNothingOnABareHost) {
  PciTree tree;
  for (const char* path : {"/sys", "/dev", "/proc"}) tree.remove(path);
  const auto findings = findings_of(host_of(tree));
  for (const char* name : {"IOMMU", "vfio-pci", "VFIO", "cards"}) {
    EXPECT_EQ(findings.at(name).verdict, Verdict::kMissing) << name;
  }
  for (const char* name : {"links", "binding", "groups", "device nodes", "resets", "hot-plug", "DMA entries"}) {
    EXPECT_EQ(findings.at(name).verdict, Verdict::kUnknown) << name;
    EXPECT_EQ(findings.at(name).cure, "") << name;
  }
}

// Proves that a node which this user may not open is found; root may open all.
TEST(Doctor, FindsANodeOfOthers) {
  PciTree tree;
  make_right(tree);
  ASSERT_EQ(::chmod(tree.path_of("/dev/vfio/2").c_str(), 0), 0);
  if (::geteuid() == 0) {
    ASSERT_EQ(::chmod(tree.root().c_str(), 0755), 0);
    ASSERT_EQ(::seteuid(65534), 0);
  }
  const Finding finding = doctor::device_nodes(host_of(tree));
  ASSERT_TRUE(::getuid() != 0 || ::seteuid(0) == 0);
  EXPECT_EQ(finding.verdict, Verdict::kMissing);
  EXPECT_THAT(finding.what, HasSubstr("may not be opened"));
  EXPECT_THAT(finding.cure, HasSubstr("MODE=\"0660\""));
}

// Proves that the tables are filled: a reason to every check, and names that are told apart.
TEST(Doctor, HasAReasonForEach) {
  std::map<std::string, int> names;
  for (const Check& check : checks()) {
    EXPECT_STRNE(check.why, "");
    ++names[check.name];
  }
  for (const auto& [name, count] : names) EXPECT_EQ(count, 1) << name;
}

}  // namespace
}  // namespace warden::cli
