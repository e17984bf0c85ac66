// SPDX-License-Identifier: Apache-2.0
// Telemetry tables good and bad, in a BAR of plain memory.
#include <gtest/gtest.h>
#include <linux/vfio.h>

#include "driver/chip/telemetry.h"
#include "driver/chip/wormhole_layout.h"
#include "tests/conformance/fake_device.h"

namespace warden::chip {
namespace {

class TelemetryTest : public ::testing::Test {
 protected:
  void put(std::uint64_t offset, std::uint32_t value) { ASSERT_TRUE(bar0_.write32(offset, value)); }
  // A table at the beginning of CSM, values behind it.
  void publish(std::uint32_t version, std::uint32_t count) {
    put(wormhole::kTelemetryTable, 0x1000'0000);
    put(wormhole::kTelemetryValues, 0x1000'4000);
    put(wormhole::kCsm, version);
    put(wormhole::kCsm + 4, count);
  }
  void entry(std::uint32_t row, std::uint32_t tag, std::uint32_t index, std::uint32_t value) {
    put(wormhole::kCsm + 8 + 4 * row, tag | index << 16);
    put(wormhole::kCsm + 0x4000 + 4 * index, value);
  }
  Code refused() {
    auto table = read_telemetry(bar0_);
    return table ? Code{} : table.error().code;
  }

  std::unique_ptr<testing::FakeDevice> device_ = testing::FakeDevice::create({.mappable = false});
  Bar bar0_{*device_, VFIO_PCI_BAR0_REGION_INDEX, wormhole::kBar0Bytes};
};

// Proves that values are found by tag through their index, and decoded as signed 16.16.
TEST_F(TelemetryTest, FindsValuesByTag) {
  publish(0x0001'0000, 4);
  entry(0, 11, 3, 0x0028'8000);
  entry(1, 32, 0, 77);
  entry(2, 1, 2, 0x180);
  entry(3, 13, 1, 0xFFFF'8000);
  auto table = read_telemetry(bar0_);
  ASSERT_TRUE(table) << table.error().message;
  EXPECT_DOUBLE_EQ(table->decoded().asic_temperature_celsius, 40.5);
  EXPECT_DOUBLE_EQ(table->decoded().board_temperature_celsius, -0.5);
  EXPECT_EQ(table->decoded().heartbeat, 77U);
  EXPECT_EQ(board_name(table->board_id()), "n150");
  EXPECT_FALSE(table->find(TelemetryTag::kAiclk));
  EXPECT_EQ(board_name(0), "unknown");
}

// Proves that firmware that has published nothing yet is told from a broken table.
TEST_F(TelemetryTest, NothingPublished) { EXPECT_EQ(refused(), Code::kFailed); }

// Proves that no pointer, count or index leads outside of the ARC's memory, and no unknown version is guessed at.
TEST_F(TelemetryTest, RefusesWhatCannotBe) {
  for (const std::uint32_t pointer : {0x0FFF'FFFCU, 0x1000'0002U, 0x1007'FFFCU, 0x1008'0000U, 0xFFFF'FFFCU}) {
    publish(0, 1);
    put(wormhole::kTelemetryTable, pointer);
    EXPECT_EQ(refused(), Code::kProtocol) << pointer;
    publish(0, 1);
    entry(0, 1, 1, 0);
    put(wormhole::kTelemetryValues, pointer);
    EXPECT_EQ(refused(), Code::kProtocol) << pointer;
  }
  publish(0x0002'0000, 1);
  EXPECT_EQ(refused(), Code::kProtocol);
  publish(0, 0xFFFF'FFFF);
  EXPECT_EQ(refused(), Code::kProtocol);
  publish(0, 1);
  put(wormhole::kCsm + 8, 1 | 0xFFFFU << 16);
  EXPECT_EQ(refused(), Code{}) << "an index of 0xffff still lies in CSM";
  put(wormhole::kTelemetryValues, 0x1006'0000);
  EXPECT_EQ(refused(), Code::kProtocol);
}

}  // namespace
}  // namespace warden::chip
