// SPDX-License-Identifier: Apache-2.0
// A card driven by a client itself: alone while it lasts, cut by a reset and by its holder's death, for operators only.
#include <grp.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <warden/device.h>
#include <warden/reset.h>
#include <warden/window.h>

#include <nlohmann/json.hpp>

#include "driver/chip/chip.h"
#include "tests/e2e/broker_host.h"
#include "tests/fault/reaping_victim.h"

namespace warden::test {
namespace {

constexpr Tile kTensix{.x = 1, .y = 2};
constexpr Tile kOther{.x = 2, .y = 2};

// The card, as its driver sees it.
Result<std::unique_ptr<chip::Chip>> drive(Device& device) {
  auto access = device.direct();
  if (!access) return std::unexpected(std::move(access).error());
  auto function = vfio::adopt(access->name, std::move(access->descriptors));
  if (!function) return std::unexpected(std::move(function).error());
  return chip::adopt(std::move(*function), device.epoch());
}

class DirectTest : public testing::Test {
 protected:
  [[nodiscard]] bool is_listed() {
    const auto devices = nlohmann::json::parse(*session_->devices_json());
    for (const auto& holder : devices.at(0).at("holders")) {
      if (holder.at("direct") == true) return true;
    }
    return false;
  }
  [[nodiscard]] bool others_work() { return other_device_.read32(kTensix, {0x40}).has_value(); }

  Stack stack_;
  std::shared_ptr<Session> session_ = stack_.attach();
  Device device_ = *Device::open(session_, "0");
  std::shared_ptr<Session> other_ = stack_.attach("other");
  Device other_device_ = *Device::open(other_, "0");
};

// Proves that the driver works over a grant, that everybody else is refused meanwhile and listed with whom they wait
// for, and that wardend's own view of the card is right afterwards though its windows were turned.
TEST_F(DirectTest, DrivesTheCardAlone) {
  ASSERT_TRUE(other_device_.write32(kTensix, {0x40}, 1));  // a window of wardend's looks there now
  ASSERT_TRUE(other_device_.write32(kOther, {0x40}, 2));
  {
    auto card = drive(device_);
    ASSERT_TRUE(card) << card.error().message;
    EXPECT_EQ((*card)->identity().board, "n150");
    const chip::Handle handle = (*card)->handle();
    for (std::uint8_t x = 1; x < 5; ++x) {
      for (std::uint8_t y = 1; y < 5; ++y) ASSERT_TRUE(handle.write32({x, y}, {0x40}, x * 100U + y));
    }
    EXPECT_EQ(handle.read32(kTensix, {0x40}).value_or(0), 102U);
    const auto refused = other_device_.read32(kTensix, {0x40});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::kBusy) << refused.error().message;
    EXPECT_EQ(device_.read32(kTensix, {0x40}).error().code, Code::kBusy);
    EXPECT_EQ(other_device_.direct().error().code, Code::kBusy);
    EXPECT_TRUE(is_listed());
    EXPECT_FALSE((*card)->device().reset()) << "resets stay wardend's";
    EXPECT_FALSE((*card)->device().dma_unmap({0x10'0000}, 4096)) << "so do DMA mappings";
  }
  EXPECT_TRUE(eventually([&] { return others_work(); }));
  EXPECT_EQ(other_device_.read32(kTensix, {0x40}).value_or(0), 102U);
  EXPECT_EQ(other_device_.read32(kOther, {0x40}).value_or(0), 202U);
  EXPECT_FALSE(is_listed());
  EXPECT_TRUE(drive(device_)) << "again";
}

// Proves that a reset does not wait for who drives the card: the connection is cut, the reset succeeds, and a new
// grant may be had.
TEST_F(DirectTest, AResetCutsIt) {
  auto card = drive(device_);
  ASSERT_TRUE(card) << card.error().message;
  const auto report = warm_reset(*other_);
  ASSERT_TRUE(report && report->result == ResetResult::kOk) << report->reason;
  EXPECT_EQ((*card)->handle().read32(kTensix, {0}).error().code, Code::kDisconnected);
  EXPECT_EQ(device_.direct().error().code, Code::kStale);
  auto again = Device::open(session_, "0");
  ASSERT_TRUE(again);
  auto next = drive(*again);
  ASSERT_TRUE(next) << next.error().message;
  EXPECT_TRUE((*next)->handle().read32(kTensix, {0}));
}

// Proves that the second grant of a session ends its first.
TEST_F(DirectTest, TheSecondGrantEndsTheFirst) {
  auto first = drive(device_);
  ASSERT_TRUE(first);
  auto second = drive(device_);
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ((*first)->handle().read32(kTensix, {0}).error().code, Code::kDisconnected);
  EXPECT_TRUE((*second)->handle().read32(kTensix, {0}));
}

// Proves that held windows keep a grant away: they would be turned under their holders.
TEST_F(DirectTest, NotWhileWindowsAreHeld) {
  {
    auto window = Window::reserve(other_device_, kTensix, {0});
    ASSERT_TRUE(window);
    EXPECT_EQ(device_.direct().error().code, Code::kBusy);
    EXPECT_TRUE(others_work());
  }
  EXPECT_TRUE(drive(device_));
}

// Proves that a holder killed at any moment gives the card back.
TEST_F(DirectTest, DeathGivesTheCardBack) {
  for (int round = 0; round < 20; ++round) {
    Victim victim([&] {
      auto session = Session::attach({.socket_path = stack_.socket_path(), .name = "victim"});
      auto device = session ? Device::open(*session, "0") : std::unexpected(session.error());
      if (!device) return false;
      static auto card = drive(*device);
      static auto kept = *session;
      return card.has_value();
    });
    ASSERT_TRUE(victim.is_ready());
    EXPECT_FALSE(others_work());
    victim.kill();
    ASSERT_TRUE(eventually([&] { return others_work(); }));
  }
}

// Proves that whoever may not reset a card may not drive it either.
TEST_F(DirectTest, OperatorsOnly) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to become somebody else";
  Victim stranger([&] {
    const gid_t nobody = 65534;
    if (::setgroups(0, nullptr) != 0 || ::setgid(nobody) != 0 || ::setuid(nobody) != 0) return false;
    auto session = Session::attach({.socket_path = stack_.socket_path(), .name = "stranger"});
    auto device = session ? Device::open(*session, "0") : std::unexpected(session.error());
    return device && !(*session)->is_operator() && device->direct().error().code == Code::kPermission;
  });
  EXPECT_TRUE(stranger.is_ready());
  EXPECT_TRUE(others_work());
}

}  // namespace
}  // namespace warden::test
