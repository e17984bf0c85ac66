// SPDX-License-Identifier: Apache-2.0
// Programs on the cores of a simulated card, loaded, started and heard by a client of wardend.
#include <gtest/gtest.h>

#include <initializer_list>
#include <optional>
#include <span>
#include <vector>

#include <warden/device.h>
#include <warden/session.h>

#include "tests/support/host.h"
#include "tests/support/rv32_assembler.h"

namespace warden::test {
namespace {

using namespace rv32;  // NOLINT(google-build-using-namespace): an assembler's mnemonics

constexpr CardAddress kSoftReset{0xFFB121B0};
constexpr std::uint32_t kAllHeld = 0x47800;
constexpr std::uint32_t kBriscRuns = 0x47000;

class CoresEndToEnd : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(host_.start()) << host_.why();
    auto session = Session::attach({.socket_path = host_.socket_path()});
    ASSERT_TRUE(session) << session.error().message;
    auto device = Device::open(*session, "0");
    ASSERT_TRUE(device) << device.error().message;
    device_.emplace(std::move(*device));
  }
  void start(Tile tile, std::initializer_list<Word> program) {
    std::vector<Word> words(program);
    ASSERT_TRUE(device_->write32(tile, kSoftReset, kAllHeld));
    ASSERT_TRUE(device_->write(tile, {0}, std::as_bytes(std::span(words))));
    ASSERT_TRUE(device_->write32(tile, kSoftReset, kBriscRuns));
  }
  std::uint32_t word(Tile tile, std::uint64_t address) { return device_->read32(tile, {address}).value_or(0xDEADBEEF); }

  Host host_;
  std::optional<Device> device_;
};

TEST_F(CoresEndToEnd, AnswerWhatAClientAsks) {
  constexpr Tile kTile{1, 1};
  // Waits for a word at 0x200, answers it plus one at 0x204, and waits for the next.
  start(kTile, {lw(5, 0, 0x200), beq(5, 0, -4), sw(0, 0, 0x200), addi(5, 5, 1), sw(5, 0, 0x204), jal(0, -20)});
  for (std::uint32_t question = 1; question < 200; ++question) {
    ASSERT_TRUE(device_->write32(kTile, {0x200}, question));
    ASSERT_TRUE(eventually([&] { return word(kTile, 0x204) == question + 1; })) << question;
  }
}

}  // namespace
}  // namespace warden::test
