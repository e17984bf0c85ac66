// SPDX-License-Identifier: Apache-2.0
// The gate in front of a card: who may touch it before, while and after it is reset. The chip is a fake whose
// accesses block until the test lets them go.
#include <gtest/gtest.h>
#include <unistd.h>

#include <condition_variable>
#include <future>
#include <mutex>

#include "shm/ledger.h"
#include "tools/wardend/device_thread.h"

namespace warden::daemon {
namespace {

using std::chrono::milliseconds;

constexpr std::chrono::seconds kDeadline{30};

class FakeChip final : public chip::Chip {
 public:
  vfio::Device& device() noexcept override { std::terminate(); }  // nobody may ask
  chip::Identity identity() const override { return {"wormhole", "n150", 0, 0, {}}; }
  std::uint64_t epoch() const noexcept override { return epoch_; }
  chip::Handle handle() override { return {*this, epoch_}; }
  Result<chip::Telemetry> telemetry() override { return chip::Telemetry{}; }
  Result<chip::ArcReply> arc_message(std::uint8_t, std::uint16_t, std::uint16_t, milliseconds) override {
    return fail(Code::kUnsupported, "fake");
  }
  chip::ResetReport warm_reset(const chip::ResetOptions&) override {
    ++epoch_;
    return verdict;
  }
  chip::ResetReport verdict{true, "", {}, {}};

 protected:
  Status read(std::uint64_t, chip::Tile, chip::CardAddress, std::span<std::byte>) override { return {}; }
  Status write(std::uint64_t, chip::Tile, chip::CardAddress, std::span<const std::byte>) override { return {}; }
  Result<std::uint32_t> read32(std::uint64_t, chip::Tile, chip::CardAddress) override { return 0; }
  Status write32(std::uint64_t, chip::Tile, chip::CardAddress, std::uint32_t) override { return {}; }
  Status broadcast(std::uint64_t, chip::TileRectangle, chip::CardAddress, std::span<const std::byte>) override {
    return {};
  }
  Status hold_in_reset(std::uint64_t, chip::Tile, chip::Cores) override { return {}; }
  Result<chip::NocTraffic> outstanding(std::uint64_t, chip::Tile) override { return chip::NocTraffic{}; }

 private:
  std::atomic<std::uint64_t> epoch_{1};
};

// A session whose ledger the test writes, as its client would.
struct Client {
  explicit Client(std::uint64_t id)
      : session(SessionIdentity{.id = id,
                                .slot = 0,
                                .pid = 0,
                                .user_id = 0,
                                .flags = 0,
                                .start_time_ns = 0,
                                .name = "fake",
                                .subject_pid = 0},
                *shm::LedgerReader::create(id)),
        ledger(*shm::LedgerWriter::open(UniqueFd(::dup(session.ledger.fd())), id)) {}
  Session session;
  shm::LedgerWriter ledger;
};

class DeviceGate : public testing::Test {
 protected:
  [[nodiscard]] Code code_of_access(const Client& client, std::uint64_t epoch) {
    const Status status = device_.submit(client.session, epoch, [](chip::Chip&) {});
    return status ? Code{} : status.error().code;
  }
  FakeChip* chip_ = new FakeChip;
  DeviceThread device_{"card", std::unique_ptr<chip::Chip>(chip_), 1};
  Client quick_{1};
  Client slow_{2};
};

// After the announcement those who have acknowledged this reset are refused, the others go on; nobody may open.
TEST_F(DeviceGate, AnnouncedRefusesWhoAcknowledged) {
  device_.announce(41);
  quick_.ledger.acknowledge(41);
  slow_.ledger.acknowledge(40);  // an answer to an older one means nothing
  EXPECT_EQ(code_of_access(quick_, 1), Code::kResetting);
  EXPECT_EQ(code_of_access(slow_, 1), Code{});
  ASSERT_FALSE(device_.open());
  EXPECT_EQ(device_.open().error().code, Code::kResetting);
}

// Quiescing waits for the access under way, and refuses everybody from its start.
TEST_F(DeviceGate, QuiesceDrains) {
  std::promise<void> entered;
  std::promise<void> let_go;
  ASSERT_TRUE(device_.submit(slow_.session, 1, [&](chip::Chip&) {
    entered.set_value();
    let_go.get_future().wait();
  }));
  entered.get_future().wait();
  const Status too_early = device_.quiesce(milliseconds(1));
  ASSERT_FALSE(too_early);
  EXPECT_EQ(too_early.error().code, Code::kTimeout);
  EXPECT_EQ(code_of_access(slow_, 1), Code::kResetting);
  let_go.set_value();
  EXPECT_TRUE(device_.quiesce(kDeadline));
}

// After a reset old handles are stale and new ones good.
TEST_F(DeviceGate, StaleAfterwards) {
  device_.announce(41);
  ASSERT_TRUE(device_.quiesce(kDeadline));
  EXPECT_TRUE(device_.start_reset({}).get().ok);
  EXPECT_FALSE(device_.release(true, ""));
  EXPECT_EQ(code_of_access(slow_, 1), Code::kStale);
  ASSERT_TRUE(device_.open());
  EXPECT_EQ(code_of_access(slow_, *device_.open()), Code{});
}

// A card whose reset failed is handed out to nobody, until a reset has succeeded.
TEST_F(DeviceGate, FailedUntilRevived) {
  ASSERT_TRUE(device_.quiesce(kDeadline));
  chip_->verdict.ok = false;
  chip_->verdict.reason = "marker stayed";
  (void)device_.start_reset({}).get();
  EXPECT_TRUE(device_.release(true, "card: marker stayed"));
  EXPECT_EQ(device_.view().state, shm::DeviceState::kFailed);
  EXPECT_EQ(device_.open().error().code, Code::kFailed);
  EXPECT_EQ(code_of_access(slow_, 2), Code::kFailed);
  EXPECT_TRUE(device_.release(true, ""));
  EXPECT_TRUE(device_.open());
}

// Of cards that are reset together each answers for itself: another one's failure does not put this one out of use. One
// whose own verdict is not known, since the worker that had it is dead, takes the common one.
TEST_F(DeviceGate, AnotherCardsFailureIsNotItsOwn) {
  ASSERT_TRUE(device_.quiesce(kDeadline));
  (void)device_.start_reset({}).get();
  EXPECT_FALSE(device_.release(true, "other card: marker stayed"));
  EXPECT_EQ(device_.view().state, shm::DeviceState::kReady);
  EXPECT_TRUE(device_.release(true, "other card: marker stayed"));
  EXPECT_EQ(device_.view().state, shm::DeviceState::kFailed);
}

// A card that can't be reached any more is lost, which is more than failed: no reset brings it back.
TEST_F(DeviceGate, UnreachableIsLost) {
  ASSERT_TRUE(device_.quiesce(kDeadline));
  chip_->verdict.ok = false;
  chip_->verdict.unreachable = true;
  (void)device_.start_reset({}).get();
  EXPECT_TRUE(device_.release(true, "peer closed"));
  EXPECT_EQ(device_.view().state, shm::DeviceState::kLost);
  EXPECT_EQ(device_.open().error().code, Code::kOffBus);
}

// An aborted reset leaves state and handles as they were.
TEST_F(DeviceGate, AbortedLeavesAllAsItWas) {
  device_.announce(41);
  EXPECT_FALSE(device_.release(false, "aborted"));
  EXPECT_EQ(code_of_access(slow_, 1), Code{});
  EXPECT_EQ(device_.view().state, shm::DeviceState::kReady);
}

// Cleaning takes turns with the accesses of others, however busy both are.
TEST_F(DeviceGate, CleaningTakesTurns) {
  using namespace std::chrono_literals;
  std::string order;  // of this card's thread alone
  std::promise<void> entered;
  std::promise<void> let_go;
  std::promise<void> cleaned;
  ASSERT_TRUE(device_.submit(slow_.session, 1, [&](chip::Chip&) {
    entered.set_value();
    let_go.get_future().wait();
  }));
  entered.get_future().wait();
  device_.clean([&](const CardNow&) -> std::optional<std::chrono::microseconds> {
    order += 'c';
    if (order.size() < 6) return 0us;
    cleaned.set_value();
    return std::nullopt;
  });
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(device_.submit(slow_.session, 1, [&](chip::Chip&) { order += 'j'; }));
  }
  let_go.set_value();
  ASSERT_EQ(cleaned.get_future().wait_for(kDeadline), std::future_status::ready);
  EXPECT_EQ(order.substr(0, 6), "cjcjcj");
}

// Not while a reset has the card; a card that is quiesced stays so. Afterwards it goes on, and sees the new epoch.
TEST_F(DeviceGate, NoCleaningWhileClosed) {
  std::promise<std::uint64_t> seen;
  ASSERT_TRUE(device_.quiesce(kDeadline));
  device_.clean([&](const CardNow& card) -> std::optional<std::chrono::microseconds> {
    seen.set_value(card.chip->epoch());
    return std::nullopt;
  });
  EXPECT_TRUE(device_.start_reset({}).get().ok);
  (void)device_.release(true, "");
  auto epoch = seen.get_future();
  ASSERT_EQ(epoch.wait_for(kDeadline), std::future_status::ready);
  EXPECT_EQ(epoch.get(), 2U);
}

// A device without a card answers everything with the reason, also a reset.
TEST(LostDevice, SaysWhy) {
  DeviceThread device("card", nullptr, 3, "socket gone");
  EXPECT_EQ(device.open().error().code, Code::kOffBus);
  const chip::ResetReport report = device.start_reset({}).get();
  EXPECT_FALSE(report.ok);
  EXPECT_NE(report.reason.find("socket gone"), std::string::npos);
  EXPECT_TRUE(device.quiesce(kDeadline));
}

}  // namespace
}  // namespace warden::daemon
