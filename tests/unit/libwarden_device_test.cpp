// SPDX-License-Identifier: Apache-2.0
// Tile accesses as wardend sees them.
#include <warden/device.h>

#include <gtest/gtest.h>

#include <array>

#include "tests/unit/libwarden_fixture.h"

namespace warden {
namespace {

using test::ScriptedAnswer;

// A card of one tile, kept by the scripted wardend.
class LibwardenDevice : public test::LibwardenTest {
 protected:
  void SetUp() override {
    start_wardend([this](const shm::Packet& packet) { return answer(packet); });
  }
  ScriptedAnswer answer(const shm::Packet& packet) {
    const auto kind = static_cast<shm::MessageKind>(packet.header.kind);
    if (kind == shm::MessageKind::kOpenDevice) {
      opened_ = shm::body_of<shm::OpenDevice>(packet)->name;
      return {.code = 0, .tail = test::text_from(shm::DeviceOpened{.index = 1, .reserved = 0, .epoch = 77})};
    }
    if (code_ != 0) return {.code = code_, .tail = "scripted"};
    const auto access = *shm::body_of<shm::TileAccess>(packet);
    accesses_.push_back(access);
    if (kind == shm::MessageKind::kRead || kind == shm::MessageKind::kRead32) {
      return {.code = 0, .tail = memory_.substr(access.address, access.length_bytes - (short_answer_ ? 1 : 0))};
    }
    const auto* data = reinterpret_cast<const char*>(packet.body.data()) + sizeof(shm::TileAccess);
    memory_.replace(access.address, access.length_bytes, data, packet.body.size() - sizeof(shm::TileAccess));
    return {};
  }

  std::string memory_ = std::string(200'000, '\0');
  std::vector<shm::TileAccess> accesses_;
  std::string opened_;
  std::uint32_t code_ = 0;
  bool short_answer_ = false;
};

// Proves that a long write and read are cut into pieces that fit, in order, with epoch and tile on each of them.
TEST_F(LibwardenDevice, LongAccessesAreCut) {
  auto device = Device::open(attach(), "vfio-user:/b");
  ASSERT_TRUE(device) << device.error().message;
  EXPECT_EQ(opened_, "vfio-user:/b");
  EXPECT_EQ(device->index(), 1U);
  std::vector<std::byte> data(2 * shm::kMaxDataBytes + 5);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i % 251);
  ASSERT_TRUE(device->write({.x = 3, .y = 4}, {100}, data));
  ASSERT_EQ(accesses_.size(), 3U);
  EXPECT_EQ(accesses_[2].address, 100 + 2 * shm::kMaxDataBytes);
  EXPECT_EQ(accesses_[2].length_bytes, 5U);
  for (const auto& access : accesses_) {
    EXPECT_EQ(access.epoch, 77U);
    EXPECT_EQ(access.device_index, 1U);
    EXPECT_EQ(access.x, 3);
    EXPECT_EQ(access.y, 4);
  }
  std::vector<std::byte> back(data.size());
  ASSERT_TRUE(device->read({.x = 3, .y = 4}, {100}, back));
  EXPECT_EQ(back, data);
}

// Proves that registers and rectangles travel as they were asked for.
TEST_F(LibwardenDevice, RegistersAndBroadcast) {
  auto device = Device::open(attach(), "1");
  ASSERT_TRUE(device);
  ASSERT_TRUE(device->write32({.x = 1, .y = 2}, {16}, 0xdeadbeef));
  EXPECT_EQ(device->read32({.x = 1, .y = 2}, {16}).value_or(0), 0xdeadbeefU);
  const std::array<std::byte, 4> bytes{};
  ASSERT_TRUE(device->broadcast({.first = {1, 2}, .last = {8, 9}}, {0}, bytes));
  EXPECT_EQ(accesses_.back().last_x, 8);
  EXPECT_EQ(accesses_.back().last_y, 9);
}

// Proves that wardend's refusals reach the caller, and that an answer of the wrong length is no data.
TEST_F(LibwardenDevice, RefusalsAndShortAnswers) {
  auto device = Device::open(attach(), "1");
  ASSERT_TRUE(device);
  for (const Code code : {Code::kResetting, Code::kStale}) {
    code_ = static_cast<std::uint32_t>(code);
    EXPECT_EQ(device->read32({}, {0}).error().code, code);
  }
  code_ = 0;
  short_answer_ = true;
  EXPECT_EQ(device->read32({}, {0}).error().code, Code::kProtocol);
}

// Proves that a handle from before a restart of wardend is stale even where the new one would know its epoch, and
// that the request never reaches the card.
TEST_F(LibwardenDevice, HandleDoesNotSurviveARestart) {
  const auto session = attach();
  auto device = Device::open(session, "1");
  ASSERT_TRUE(device);
  SetUp();
  const auto read = device->read32({}, {0});
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Code::kStale) << read.error().message;
  EXPECT_TRUE(accesses_.empty());
  EXPECT_TRUE(Device::open(session, "1")->read32({}, {0}));
}

// Proves that a name that cannot be sent is refused here.
TEST_F(LibwardenDevice, ImpossibleNames) {
  const auto session = attach();
  EXPECT_EQ(Device::open(session, "").error().code, Code::kInvalidArgument);
  EXPECT_EQ(Device::open(session, std::string(240, 'x')).error().code, Code::kInvalidArgument);
}

}  // namespace
}  // namespace warden
