// SPDX-License-Identifier: Apache-2.0
// Giving functions to vfio-pci and back, before a kernel made of pipes: what is written, what is put back, what is
// refused and in which words.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>

#include "driver/pci/binding.h"
#include "tests/support/pci_kernel.h"

namespace warden::pci {
namespace {

using test::PciKernel;
using test::PciTree;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kCard = "0000:01:00.0";
constexpr const char* kOther = "0000:01:00.1";
const std::string kOverride = std::string("/sys/bus/pci/devices/") + kCard + "/driver_override";
const std::string kRecord = std::string("/run/warden-bindings/") + kCard;

Address address(std::string_view text) { return Address::parse(text).value(); }

class Binding : public ::testing::Test {
 protected:
  void add_card() { tree_.add({.address = kCard, .driver = "tenstorrent", .group = 12}); }
  // Another vendor's function in the card's group.
  void add_neighbour(const std::string& driver) {
    tree_.add({.address = kOther, .vendor = "0x10de", .device = "0x10f0", .driver = driver, .group = 12});
  }
  void start(PciKernel::Behaviour behaviour = {}) { kernel_.emplace(tree_, std::move(behaviour)); }
  Result<BindingReport> bind(const BindingOptions& options = {}) {
    return pci::bind(tree_.sysfs(), address(kCard), options);
  }
  Result<BindingReport> unbind(const BindingOptions& options = {}) {
    return pci::unbind(tree_.sysfs(), address(kCard), options);
  }
  // A process that has this file open.
  void add_process(const std::string& pid, const std::string& name, const std::string& file) {
    tree_.put("/proc/" + pid + "/comm", name + "\n");
    tree_.link("/proc/" + pid + "/fd/7", tree_.path_of(file));
  }
  void expect_as_before() {
    EXPECT_EQ(kernel_->driver_of(kCard), "tenstorrent");
    EXPECT_THAT(tree_.text_of(kOverride), ::testing::AnyOf("", "(null)"));
    EXPECT_FALSE(Sysfs::exists(tree_.path_of(kRecord)));
  }

  PciTree tree_;
  std::optional<PciKernel> kernel_;
};

void expect_refused(const Result<BindingReport>& answer, Code code, const std::vector<std::string>& words) {
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, code) << answer.error().message;
  for (const std::string& word : words) EXPECT_THAT(answer.error().message, HasSubstr(word));
  EXPECT_EQ(std::ranges::count(answer.error().message, '\n'), 0) << answer.error().message;
}

// Proves that a card goes to vfio-pci and comes back to the driver and the override it had.
TEST_F(Binding, GoesAndComesBack) {
  add_card();
  start();
  const auto bound = bind();
  ASSERT_TRUE(bound) << bound.error().message;
  ASSERT_EQ(bound->changes.size(), 1U);
  EXPECT_EQ(bound->changes[0].from, "tenstorrent");
  EXPECT_EQ(bound->changes[0].to, "vfio-pci");
  EXPECT_EQ(bound->changes[0].iommu_group, 12U);
  EXPECT_EQ(bound->changes[0].node, tree_.path_of("/dev/vfio/12"));
  EXPECT_EQ(bound->steps.size(), 3U);
  EXPECT_EQ(kernel_->driver_of(kCard), "vfio-pci");
  EXPECT_EQ(tree_.text_of(kOverride), "vfio-pci");
  struct stat status{};
  ASSERT_EQ(::stat(tree_.path_of(kRecord).c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0644U);
  const auto unbound = unbind();
  ASSERT_TRUE(unbound) << unbound.error().message;
  EXPECT_EQ(unbound->changes[0].from, "vfio-pci");
  EXPECT_EQ(unbound->changes[0].to, "tenstorrent");
  expect_as_before();
}

// Proves that what had no driver has none again, although the kernel would find one, and that an override comes back.
TEST_F(Binding, PutsBackNoDriverAndAnOverride) {
  tree_.add({.address = kCard, .group = 12});
  tree_.put(kOverride, "pci-stub\n");
  start({.natural = {{kCard, "tenstorrent"}}});
  ASSERT_TRUE(bind());
  ASSERT_EQ(kernel_->driver_of(kCard), "vfio-pci");
  ASSERT_TRUE(unbind());
  kernel_->settle();
  EXPECT_EQ(kernel_->driver_of(kCard), "");
  EXPECT_EQ(tree_.text_of(kOverride), "pci-stub");
}

// Proves that doing it twice is doing it once, and keeps what was remembered the first time.
TEST_F(Binding, Twice) {
  add_card();
  start();
  ASSERT_TRUE(bind());
  const auto again = bind();
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->changes[0].from, again->changes[0].to);
  EXPECT_THAT(again->steps, IsEmpty());
  ASSERT_TRUE(unbind());
  expect_as_before();
  expect_refused(unbind(), Code::kInvalidArgument, {"not bound to vfio-pci, but to tenstorrent"});
}

// Proves that a dry run changes nothing, and names the writes in the order in which they would be done.
TEST_F(Binding, DryRun) {
  add_card();
  start();
  const auto planned = bind({.dry_run = true});
  ASSERT_TRUE(planned) << planned.error().message;
  EXPECT_THAT(planned->steps, ElementsAre(HasSubstr("echo 'vfio-pci' >"), HasSubstr("drivers/tenstorrent/unbind"),
                                          AllOf(HasSubstr("echo '0000:01:00.0'"), HasSubstr("drivers_probe"))));
  EXPECT_EQ(planned->changes[0].to, "vfio-pci");
  EXPECT_FALSE(Sysfs::exists(tree_.path_of("/run/warden-bindings")));
  expect_as_before();
  ASSERT_TRUE(bind());
  const auto back = unbind({.dry_run = true});
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_THAT(back->steps, ElementsAre(HasSubstr("driver_override"), HasSubstr("drivers/vfio-pci/unbind"),
                                       HasSubstr("drivers/tenstorrent/bind")));
  EXPECT_EQ(back->changes[0].to, "tenstorrent");
  EXPECT_EQ(kernel_->driver_of(kCard), "vfio-pci");
}

// Proves that what others have bound goes to the driver of the kernel's choice.
TEST_F(Binding, GivesBackWhatOthersBound) {
  tree_.add({.address = kCard, .driver = "vfio-pci", .group = 12});
  tree_.put(kOverride, "vfio-pci\n");
  start({.natural = {{kCard, "tenstorrent"}}});
  tree_.put("/sys/bus/pci/drivers/tenstorrent/uevent", "");
  const auto unbound = unbind();
  ASSERT_TRUE(unbound) << unbound.error().message;
  kernel_->settle();
  EXPECT_EQ(kernel_->driver_of(kCard), "tenstorrent");
  EXPECT_EQ(tree_.text_of(kOverride), "");
}

// Proves each refusal before anything is touched: its kind, its cause and its cure in one line.
TEST_F(Binding, RefusesWhatIsAbsentOrForeign) {
  add_card();
  start();
  expect_refused(pci::bind(tree_.sysfs(), address("0000:07:00.0"), {}), Code::kNotFound, {"0000:07:00.0", "lspci"});
  tree_.put("/sys/bus/pci/devices/0000:01:00.0/vendor", "0x8086\n");
  tree_.put("/sys/bus/pci/devices/0000:01:00.0/device", "0x11e8\n");
  expect_refused(bind(), Code::kInvalidArgument, {"8086:11e8", "--any-device"});
  expect_as_before();
  EXPECT_TRUE(bind({.any_device = true}));
  ASSERT_TRUE(unbind());
  tree_.put("/sys/bus/pci/devices/0000:01:00.0/class", "0x060400\n");
  expect_refused(bind({.any_device = true}), Code::kInvalidArgument, {"is a bridge"});
}

TEST_F(Binding, RefusesWithoutAnIommu) {
  tree_.add({.address = kCard, .driver = "tenstorrent", .group = -1});
  start();
  expect_refused(bind(), Code::kUnsupported, {"behind no IOMMU"});
  tree_.remove("/sys/class/iommu");
  expect_refused(bind(), Code::kUnsupported, {"the IOMMU is off", "intel_iommu=on", "BIOS"});
  expect_as_before();
}

TEST_F(Binding, RefusesWithoutVfioPci) {
  add_card();
  start();
  tree_.remove("/sys/bus/pci/drivers/vfio-pci");
  expect_refused(bind(), Code::kUnsupported, {"modprobe vfio-pci"});
  expect_as_before();
}

// Proves that a group with a foreign driver in it is refused with that driver's name; a bridge is no reason.
TEST_F(Binding, RefusesASharedGroup) {
  add_card();
  add_neighbour("snd_hda_intel");
  tree_.add(
      {.address = "0000:00:01.0", .vendor = "0x8086", .class_code = "0x060400", .driver = "pcieport", .group = 12});
  start();
  expect_refused(bind(), Code::kBusy, {"IOMMU group 12", "0000:01:00.1 (10de:10f0, driver snd_hda_intel)", "--group"});
  expect_refused(bind({.group = true}), Code::kInvalidArgument, {"10de:10f0", "--any-device"});
  expect_as_before();
}

// Proves that a group goes as a whole when that is wanted, bridges excepted, and comes back as a whole.
TEST_F(Binding, TakesAGroup) {
  add_card();
  add_neighbour("snd_hda_intel");
  tree_.add(
      {.address = "0000:00:01.0", .vendor = "0x8086", .class_code = "0x060400", .driver = "pcieport", .group = 12});
  start();
  const auto bound = bind({.any_device = true, .group = true});
  ASSERT_TRUE(bound) << bound.error().message;
  EXPECT_EQ(bound->changes.size(), 2U);
  EXPECT_EQ(kernel_->driver_of(kCard), "vfio-pci");
  EXPECT_EQ(kernel_->driver_of(kOther), "vfio-pci");
  EXPECT_EQ(kernel_->driver_of("0000:00:01.0"), "pcieport");
  ASSERT_TRUE(unbind({.group = true}));
  expect_as_before();
  EXPECT_EQ(kernel_->driver_of(kOther), "snd_hda_intel");
}

// Proves that when the second of two can't be bound, the first is given back.
TEST_F(Binding, UndoesHalfAGroup) {
  add_card();
  tree_.add({.address = kOther, .driver = "stubborn", .group = 12});
  start({.holding = {"stubborn"}});
  expect_refused(bind({.group = true, .timeout = std::chrono::milliseconds(50)}), Code::kTimeout, {kOther, "stubborn"});
  expect_as_before();
  kernel_->let_go("stubborn");
}

// Proves that whoever uses the card is named: by the node of its group, by one that its driver made; wardend with the
// way to stop it; and mounted file systems and networks that are up.
TEST_F(Binding, RefusesWhatIsInUse) {
  add_card();
  tree_.put("/sys/bus/pci/devices/0000:01:00.0/tenstorrent/tenstorrent!0/uevent", "MAJOR=1\nDEVNAME=tenstorrent/0\n");
  tree_.put("/dev/tenstorrent/0", "");
  start();
  add_process("4711", "trainer", "/dev/tenstorrent/0");
  add_process("4712", "bystander", "/dev/vfio/vfio");
  expect_refused(bind(), Code::kBusy, {"in use by pid 4711 (trainer): end that first"});
  tree_.remove("/proc/4711");
  ASSERT_TRUE(bind());
  add_process("815", "wardend", "/dev/vfio/12");
  expect_refused(unbind(), Code::kBusy, {"pid 815 (wardend)", "systemctl stop wardend"});
  EXPECT_EQ(kernel_->driver_of(kCard), "vfio-pci");
  EXPECT_EQ(tree_.text_of(kOverride), "vfio-pci");
  tree_.remove("/proc/815");
  ASSERT_TRUE(unbind());
  tree_.put("/sys/bus/pci/devices/0000:01:00.0/nvme/nvme0/nvme0n1/nvme0n1p1/uevent", "DEVNAME=nvme0n1p1\n");
  tree_.put("/proc/self/mounts", "proc /proc proc rw 0 0\n/dev/nvme0n1p1 /data ext4 rw 0 0\n");
  expect_refused(bind(), Code::kBusy, {"the file system at /data"});
  tree_.remove("/proc/self");
  tree_.put("/sys/bus/pci/devices/0000:01:00.0/net/eth0/operstate", "up\n");
  expect_refused(bind(), Code::kBusy, {"the network interface eth0"});
  expect_as_before();
}

// Proves that a holder that nobody sees does not make the call hang, that the next one waits until the kernel is done
// with the first, and then finishes.
TEST_F(Binding, SaysWhenTheKernelWaits) {
  add_card();
  start({.holding = {"vfio-pci"}});
  ASSERT_TRUE(bind());
  expect_refused(unbind({.timeout = std::chrono::milliseconds(50)}), Code::kTimeout,
                 {"still held by vfio-pci", "same command again"});
  expect_refused(unbind({.timeout = std::chrono::milliseconds(50)}), Code::kBusy, {"fuser"});
  kernel_->let_go("vfio-pci");
  ASSERT_TRUE(test::eventually([&] {
    const auto unbound = unbind({.timeout = std::chrono::milliseconds(50)});
    return unbound.has_value();
  }));
  expect_as_before();
}

// Proves that a driver that will not have the card leaves everything as it was, with the place to look for the reason.
TEST_F(Binding, UndoesWhenVfioRefuses) {
  add_card();
  start({.unwilling = {"vfio-pci"}});
  expect_refused(bind(), Code::kFailed, {"vfio-pci did not take", "dmesg"});
  expect_as_before();
}

// Proves that a former driver that is gone meanwhile is not forgotten: loaded again, the same command finishes.
TEST_F(Binding, WaitsForAnUnloadedDriver) {
  add_card();
  start();
  ASSERT_TRUE(bind());
  const std::string driver = tree_.path_of("/sys/bus/pci/drivers/tenstorrent");
  ASSERT_EQ(::rename(driver.c_str(), (driver + ".gone").c_str()), 0);
  expect_refused(unbind(), Code::kNotFound, {"modprobe tenstorrent"});
  EXPECT_EQ(kernel_->driver_of(kCard), "");
  ASSERT_EQ(::rename((driver + ".gone").c_str(), driver.c_str()), 0);
  ASSERT_TRUE(unbind());
  expect_as_before();
}

// Proves that a record which others could have written, or which is none, is not believed.
TEST_F(Binding, BelievesOnlyItsOwnRecord) {
  add_card();
  start();
  ASSERT_TRUE(bind());
  const std::string record = tree_.path_of(kRecord);
  ASSERT_EQ(::chmod(record.c_str(), 0666), 0);
  expect_refused(unbind(), Code::kPermission, {"written by others", kRecord});
  ASSERT_EQ(::chmod(record.c_str(), 0644), 0);
  for (const char* text : {"", "something else\n", "warden binding 1\n../../evil\n\n", "warden binding 1\n\nx/y\n"}) {
    tree_.put(kRecord, text);
    expect_refused(unbind(), Code::kProtocol, {kRecord, "remove it"});
  }
  EXPECT_EQ(kernel_->driver_of(kCard), "vfio-pci");
  ASSERT_EQ(::chmod(tree_.path_of("/run/warden-bindings").c_str(), 0777), 0);
  expect_refused(unbind(), Code::kPermission, {"/run/warden-bindings"});
}

// Proves that somebody without the right is told so before anything is touched.
TEST_F(Binding, RefusesWithoutRights) {
  add_card();
  start();
  // Readable on the way, and writable by its owner alone.
  ASSERT_EQ(::chmod(tree_.root().c_str(), 0755), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const bool became_nobody =
        ::geteuid() != 0 || (::setresgid(65534, 65534, 65534) == 0 && ::setresuid(65534, 65534, 65534) == 0);
    if (::geteuid() == 65534) {
      const auto answer = bind();
      const bool told = !answer && answer.error().code == Code::kPermission &&
                        answer.error().message.find("sudo warden bind 0000:01:00.0") != std::string::npos;
      ::_exit(became_nobody && told ? 0 : 1);
    }
    ::_exit(became_nobody ? 77 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "only root can become another user";
  EXPECT_EQ(status, 0);
  expect_as_before();
}

}  // namespace
}  // namespace warden::pci
