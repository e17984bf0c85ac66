// SPDX-License-Identifier: Apache-2.0
// `warden bind` and `warden unbind` as people type them: what they print, and an exit status that tells the truth.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/support/pci_kernel.h"

namespace warden::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class Bind : public testing::Test {
 protected:
  void SetUp() override {
    tree_.add({.address = "0000:01:00.0", .driver = "tenstorrent", .group = 12});
    kernel_.emplace(tree_, PciKernel::Behaviour{});
  }
  Process warden(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), std::string(WARDEN_BIN_DIR) + "/warden");
    arguments.insert(arguments.end(), {"--root", tree_.root()});
    return Process(arguments);
  }
  PciTree tree_;
  std::optional<PciKernel> kernel_;
};

// A line that says from where to where, by which node; the way back the same.
TEST_F(Bind, SaysWhatBecameOfTheCard) {
  Process bind = warden({"bind", "01:00.0"});
  EXPECT_EQ(bind.wait(), 0) << bind.output();
  EXPECT_EQ(bind.out(), "OK 0000:01:00.0 (wormhole): tenstorrent -> vfio-pci, IOMMU group 12, " +
                            tree_.path_of("/dev/vfio/12") + "\n");
  Process again = warden({"bind", "0000:01:00.0"});
  EXPECT_EQ(again.wait(), 0);
  EXPECT_THAT(again.out(), HasSubstr("belongs to vfio-pci already"));
  Process unbind = warden({"unbind", "0000:01:00.0"});
  EXPECT_EQ(unbind.wait(), 0) << unbind.output();
  EXPECT_EQ(unbind.out(), "OK 0000:01:00.0 (wormhole): vfio-pci -> tenstorrent, IOMMU group 12\n");
}

// The same as JSON, and the steps of a dry run as commands.
TEST_F(Bind, AsJsonAndDry) {
  Process dry = warden({"bind", "0000:01:00.0", "--dry-run"});
  EXPECT_EQ(dry.wait(), 0);
  EXPECT_EQ(std::ranges::count(dry.out(), '\n'), 3) << dry.out();
  EXPECT_THAT(dry.out(), HasSubstr("echo 'vfio-pci' >"));
  Process bind = warden({"bind", "0000:01:00.0", "--json"});
  EXPECT_EQ(bind.wait(), 0);
  const json report = json::parse(bind.out());
  ASSERT_EQ(report["functions"].size(), 1U);
  EXPECT_EQ(report["functions"][0]["address"], "0000:01:00.0");
  EXPECT_EQ(report["functions"][0]["from"], "tenstorrent");
  EXPECT_EQ(report["functions"][0]["to"], "vfio-pci");
  EXPECT_EQ(report["functions"][0]["iommu_group"], 12);
  EXPECT_EQ(report["steps"].size(), 3U);
  Process dry_back = warden({"bind", "0000:01:00.0", "--dry-run"});
  EXPECT_EQ(dry_back.wait(), 0);
  EXPECT_EQ(dry_back.out(), "nothing to do\n");
}

// What can't be done is one line on stderr and status 1; what is no address status 2.
TEST_F(Bind, RefusesInOneLine) {
  for (const auto& [arguments, status, words] : std::vector<std::tuple<std::vector<std::string>, int, std::string>>{
           {{"bind", "0000:07:00.0"}, 1, "there is no PCI function 0000:07:00.0"},
           {{"unbind", "0000:01:00.0"}, 1, "nothing to undo"},
           {{"bind", "01:00"}, 2, "'01:00' is no PCI address"},
           {{"unbind", "card"}, 2, "'card' is no PCI address"},
           {{"bind"}, 2, "ADDRESS"},
           {{"unbind", "01:00.0", "--any-device"}, 2, "--any-device"}}) {
    Process warden_process = warden(arguments);
    EXPECT_EQ(warden_process.wait(), status) << json(arguments);
    EXPECT_EQ(warden_process.out(), "");
    EXPECT_EQ(std::ranges::count(warden_process.err(), '\n'), 1) << warden_process.err();
    EXPECT_THAT(warden_process.err(), HasSubstr(words));
  }
}

}  // namespace
}  // namespace warden::test
