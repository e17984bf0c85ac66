// SPDX-License-Identifier: Apache-2.0
// A card that is pulled out while wardend holds it, by QEMU's monitor: the kernel asks for it back, wardend lets go,
// and the slot can be filled again. Runs in the guest, on the simulated card that is there for it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <warden/device.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/host.h"
#include "tests/vm/guest_host.h"

namespace warden::test {
namespace {

using nlohmann::json;

constexpr Tile kTensix{.x = 1, .y = 1};
constexpr CardAddress kSomewhere{0x2'0000};

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

class VmRemoval : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(card_, "") << "no $WARDEN_VM_CARD; run it in the guest";
    ASSERT_TRUE(host_.start_daemon({"--device", card_, "--device", spare_})) << host_.why();
    auto session = Session::attach({.socket_path = host_.socket_path(), .name = "user"});
    ASSERT_TRUE(session) << session.error().message;
    session_ = *session;
  }

  [[nodiscard]] json device(std::size_t index) const {
    Process warden = host_.run("warden", {"devices", "--json"});
    EXPECT_EQ(warden.wait(), 0) << warden.output();
    return json::parse(warden.out()).at(index);
  }
  [[nodiscard]] std::filesystem::path folder() const { return "/sys/bus/pci/devices/" + spare_; }

  const std::string card_ = variable("WARDEN_VM_CARD");
  const std::string spare_ = variable("WARDEN_VM_SPARE");
  Host host_;
  std::shared_ptr<Session> session_;
};

// Proves that pulling out one of two cards in use ends well: wardend hears that the kernel wants it and lets go, so
// that the removal completes; handles to it say so, and the other card is not disturbed.
TEST_F(VmRemoval, OneOfTwoCardsInUse) {
  auto pulled = Device::open(session_, "1");
  auto other = Device::open(session_, "0");
  ASSERT_TRUE(pulled && other);
  ASSERT_TRUE(pulled->read32(kTensix, kSomewhere));

  ASSERT_TRUE(vm::ask_host({"qmp", "device_del", R"({"id":"spare"})"}));
  ASSERT_TRUE(host_.daemon().wait_for_line("is lost: the kernel wants it back")) << host_.daemon().output();
  const auto gone = vm::ask_host({"await", "DEVICE_DELETED", "spare"});
  ASSERT_TRUE(gone) << gone.error().message << "\n" << host_.daemon().output();
  ASSERT_TRUE(eventually([&] { return !std::filesystem::exists(folder()); })) << folder();

  EXPECT_FALSE(pulled->read32(kTensix, kSomewhere));
  EXPECT_FALSE(Device::open(session_, "1"));
  EXPECT_NE(device(1)["state"], "ready") << device(1);
  EXPECT_EQ(device(0)["state"], "ready") << device(0);
  const auto still = other->read32(kTensix, kSomewhere);
  EXPECT_TRUE(still) << still.error().message;
  Process reset = host_.run("warden", {"reset", "--device", "0"});
  EXPECT_EQ(reset.wait(), 0) << reset.output();
}

}  // namespace
}  // namespace warden::test
