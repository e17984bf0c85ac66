// SPDX-License-Identifier: Apache-2.0
// `warden doctor` as people type it: a line or three for each check, JSON, and a status that says whether a card can be
// driven.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/support/pci_tree.h"

namespace warden::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

Process doctor(const PciTree& tree, std::vector<std::string> arguments = {}) {
  arguments.insert(arguments.begin(), {std::string(WARDEN_BIN_DIR) + "/warden", "doctor", "--root", tree.root()});
  Process::Options options;
  options.environment = {{"WARDEN_SOCKET", tree.root() + "/none.sock"}};
  return Process(arguments, options);
}

json check_of(const json& answer, const std::string& name) {
  for (const json& check : answer["checks"]) {
    if (check["name"] == name) return check;
  }
  return {};
}

// Proves that the status is 0 when a card can be driven although something is advised, and 1 as soon as it can't.
TEST(DoctorCommand, StatusTellsWhetherACardCanBeDriven) {
  PciTree tree;
  tree.add({.driver = "vfio-pci", .group = 2});
  Process good = doctor(tree);
  EXPECT_EQ(good.wait(), 0) << good.output();
  EXPECT_THAT(good.out(), HasSubstr("this host can drive its cards: 0 missing"));
  EXPECT_THAT(good.out(), HasSubstr("ADVICE   wardend"));
  EXPECT_EQ(good.out().find('\x1b'), std::string::npos) << "colour in a pipe";
  tree.remove("/sys/bus/pci/drivers/vfio-pci/bind");
  tree.remove("/sys/bus/pci/drivers/vfio-pci");
  Process bad = doctor(tree);
  EXPECT_EQ(bad.wait(), 1);
  EXPECT_THAT(bad.out(), HasSubstr("MISSING  vfio-pci       not loaded\n"));
  EXPECT_THAT(bad.out(), HasSubstr("cure: modprobe vfio-pci"));
  EXPECT_THAT(bad.out(), HasSubstr("this host can't drive its cards yet: 1 missing"));
}

// Proves that JSON says of each check what the text says.
TEST(DoctorCommand, AsJson) {
  PciTree tree;
  tree.add({.driver = "tenstorrent", .group = 2});
  Process process = doctor(tree, {"--json"});
  EXPECT_EQ(process.wait(), 1);
  const json answer = json::parse(process.out());
  EXPECT_EQ(answer["ok"], false);
  EXPECT_GE(answer["checks"].size(), 15U);
  for (const json& check : answer["checks"]) EXPECT_NE(check["why"], "") << check;
  EXPECT_EQ(check_of(answer, "IOMMU")["state"], "ok");
  EXPECT_EQ(check_of(answer, "groups")["state"], "unknown");
  EXPECT_EQ(check_of(answer, "binding")["state"], "missing");
  EXPECT_EQ(check_of(answer, "binding")["cure"], "warden bind 0000:01:00.0");
  EXPECT_EQ(check_of(answer, "wardend")["state"], "advice");
}

}  // namespace
}  // namespace warden::test
