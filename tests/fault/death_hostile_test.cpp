// SPDX-License-Identifier: Apache-2.0
// Ledgers full of nonsense, and tiles that never come to rest: wardend serves on, and nobody else's card is touched.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <random>
#include <thread>

#include <warden/reset.h>

#include "tests/fault/death_victim.h"

namespace warden::test {
namespace {

// The ledger's death actions, to be written as a client can that has lost its mind.
class OwnTable {
 public:
  explicit OwnTable(const RawClient& client)
      : memory_(::mmap(nullptr, shm::kLedgerBytes, PROT_READ | PROT_WRITE, MAP_SHARED, client.ledger_fd(), 0)) {
    EXPECT_NE(memory_, MAP_FAILED);
  }
  OwnTable(const OwnTable&) = delete;
  OwnTable& operator=(const OwnTable&) = delete;
  ~OwnTable() { ::munmap(memory_, shm::kLedgerBytes); }
  [[nodiscard]] shm::LedgerHeader& header() const { return *static_cast<shm::LedgerHeader*>(memory_); }
  [[nodiscard]] shm::DeathActionRecord& record(std::uint32_t index) const {
    return *(
        reinterpret_cast<shm::DeathActionRecord*>(static_cast<std::byte*>(memory_) + shm::kDeathActionsOffsetBytes) +
        index);
  }

 private:
  void* memory_;
};

// Opens the first card as any client does.
std::optional<shm::DeviceOpened> open_first_card(RawClient& client) {
  shm::OpenDevice open{};
  open.name[0] = '0';
  if (!shm::send_packet(client.socket(), shm::request_header(shm::MessageKind::kOpenDevice, 1),
                        std::as_bytes(std::span(&open, 1)))) {
    return std::nullopt;
  }
  const auto reply = shm::receive_packet(client.socket(), kDeadline);
  if (!reply || reply->header.code != 0) return std::nullopt;
  const auto opened = shm::body_of<shm::DeviceOpened>(*reply);
  return opened ? std::optional(*opened) : std::nullopt;
}

std::uint64_t accesses_of_second_card(const Stack& stack) { return stack.card_stats(1)["bar_accesses"]; }

bool has_only_the_onlooker(Session& onlooker) {
  return eventually([&] { return status_of(onlooker)["sessions"] == 1; });
}

// Every word random; and every word random but for those that make an action plausible, so that many are tried.
TEST(DeathHostile, RandomLedgers) {
  Stack stack({.board = "mesh:1x2", .card_count = 2});
  const auto onlooker = stack.attach("onlooker");
  const std::uint64_t before = accesses_of_second_card(stack);
  std::mt19937_64 random(3);
  for (int round = 0; round < 30; ++round) {
    RawClient client(stack.socket_path());
    ASSERT_TRUE(client.greet());
    const auto opened = open_first_card(client);
    ASSERT_TRUE(opened);
    const OwnTable table(client);
    table.header().death_actions_begun.store(random());
    const bool plausible = round % 2 == 0;
    for (std::uint32_t i = 0; i < shm::kDeathActions; ++i) {
      shm::DeathActionRecord& record = table.record(i);
      record.state.store(random());
      record.what.store(random());
      record.epoch.store(random());
      record.address.store(random());
      for (auto& word : record.data) word.store(random());
      if (!plausible) continue;
      const auto kind = static_cast<shm::DeathActionKind>(random() % 3 + 1);
      const auto length = kind == shm::DeathActionKind::kWrite ? static_cast<std::uint32_t>(random() % 33) : 4U;
      record.what.store(shm::pack_death_action(kind, static_cast<std::uint32_t>(random() % 3),
                                               static_cast<std::uint8_t>(random() % 30),
                                               static_cast<std::uint8_t>(random() % 30), length));
      record.epoch.store(opened->epoch);
      // Anywhere in memory and registers, but for what the card would rightly do: its controller's mailbox.
      record.address.store(random() % 4 == 0 ? 0xFFB00000 + random() % 0x100000 : random() % 0x180000);
    }
    if (round % 3 == 0) ::shutdown(client.socket(), SHUT_RDWR);
  }
  EXPECT_TRUE(has_only_the_onlooker(*onlooker)) << *onlooker->sessions_json();
  EXPECT_NE(stack.daemon_log().find("death action(s) done"), std::string::npos) << "none was plausible";
  EXPECT_EQ(accesses_of_second_card(stack), before);
  EXPECT_EQ(status_of(*onlooker)["worker_starts"], 1);
  auto device = Device::open(onlooker, "0");
  ASSERT_TRUE(device);
  EXPECT_TRUE(device->write32(kWorkTile, {0x100}, 5));
  EXPECT_EQ(*device->read32(kWorkTile, {0x100}), 5U);
}

// Naming a device is not opening it.
TEST(DeathHostile, NothingOnADeviceThatWasNotOpened) {
  Stack stack({.board = "mesh:1x2", .card_count = 2});
  const auto onlooker = stack.attach("onlooker");
  const std::uint64_t before = accesses_of_second_card(stack);
  {
    RawClient client(stack.socket_path());
    ASSERT_TRUE(client.greet());
    const auto opened = open_first_card(client);
    ASSERT_TRUE(opened);
    shm::DeathActionWriter writer(client.ledger().start());
    for (const std::uint32_t device : {0U, 1U}) {
      shm::DeathAction action{.kind = shm::DeathActionKind::kWrite32,
                              .device = device,
                              .x = 1,
                              .y = 1,
                              .epoch = opened->epoch,
                              .address = 0x1000,
                              .length_bytes = 4};
      action.data[0] = std::byte{9};
      ASSERT_NE(writer.add(action), 0U);
    }
  }
  ASSERT_TRUE(has_only_the_onlooker(*onlooker));
  EXPECT_EQ(word_at(onlooker, 0x1000), 9U);
  EXPECT_EQ(accesses_of_second_card(stack), before);
}

// The host's memory is seen through a tile as well: what is no DMA buffer of the session's own is not written.
TEST(DeathHostile, NothingInTheHostsMemory) {
  Stack stack;
  const auto onlooker = stack.attach("onlooker");
  {
    RawClient client(stack.socket_path());
    ASSERT_TRUE(client.greet());
    const auto opened = open_first_card(client);
    ASSERT_TRUE(opened);
    shm::DeathActionWriter writer(client.ledger().start());
    ASSERT_NE(writer.add({.kind = shm::DeathActionKind::kWrite32,
                          .device = 0,
                          .x = 0,
                          .y = 3,
                          .epoch = opened->epoch,
                          .address = 0x8'0000'1000,
                          .length_bytes = 4}),
              0U);
  }
  ASSERT_TRUE(has_only_the_onlooker(*onlooker));
  EXPECT_NE(stack.daemon_log().find("1 death action(s) refused: 0x800001000+0x4 of tile (0,3) is host memory"),
            std::string::npos)
      << stack.daemon_log();
}

class DeathQuarantine : public ::testing::Test {
 protected:
  // A client that has let a core run and wants it stopped, dead and its process gone.
  void lose_a_client() {
    Victim victim([&] {
      Registrar& mine = registrar_of_process();
      return mine.open(stack_.socket_path()) && mine.device->write32(kWorkTile, kSoftResetRegister, kBriscRuns) &&
             mine.on_death(0x1000, 5) && mine.actions->reset_cores(*mine.device, kWorkTile, kTensixCores);
    });
    ASSERT_TRUE(victim.is_ready());
    pid_ = victim.pid();
    victim.kill();
  }
  Stack stack_;
  std::shared_ptr<Session> onlooker_ = stack_.attach("onlooker");
  pid_t pid_ = 0;
};

// The tile's request is never answered: writes and reset are done all the same, others use the card meanwhile, one line
// says what was awaited; the next reset ends it, and not a restart of wardend's worker.
TEST_F(DeathQuarantine, UntilTheNextReset) {
  stack_.set_fault("noc-stuck");
  ASSERT_NO_FATAL_FAILURE(lose_a_client());
  const auto cleaning = [&] { return status_of(*onlooker_)["cleaning"] == 1; };
  ASSERT_TRUE(eventually(cleaning));
  auto device = Device::open(onlooker_, "0");
  ASSERT_TRUE(device);
  int served = 0;
  while (cleaning()) served += device->read32({2, 2}, {0}).has_value() ? 1 : 0;
  EXPECT_GT(served, 0) << "the others wait";
  ASSERT_TRUE(has_only_the_onlooker(*onlooker_));
  EXPECT_EQ(word_at(onlooker_, 0x1000), 5U);
  EXPECT_EQ(word_at(onlooker_, kSoftResetRegister.value), kAllHeld);
  const nlohmann::json entry = status_of(*onlooker_)["quarantine"].at(0);
  EXPECT_EQ(entry["pid"], pid_);
  EXPECT_EQ(entry["device"], stack_.card_name());
  EXPECT_NE(entry["reason"].get<std::string>().find("NoC #0: 1 requests unanswered"), std::string::npos) << entry;
  EXPECT_NE(stack_.daemon_log().find("in quarantine until its next reset: awaited the end of the NoC traffic of tile "
                                     "(1,1) for 1000 ms; last seen: NoC #0: 1 requests unanswered"),
            std::string::npos)
      << stack_.daemon_log();

  const nlohmann::json before = status_of(*onlooker_);
  ASSERT_EQ(::kill(before["worker_pid"].get<pid_t>(), SIGKILL), 0);
  ASSERT_TRUE(eventually([&] { return status_of(*onlooker_)["worker_starts"] > before["worker_starts"]; }));
  EXPECT_EQ(status_of(*onlooker_)["quarantine"], before["quarantine"]);

  const auto report = warm_reset(*onlooker_, {}, {});
  ASSERT_TRUE(report && report->result == ResetResult::kOk);
  EXPECT_TRUE(eventually([&] { return status_of(*onlooker_)["quarantine"].empty(); }));
}

// A reset that fails proves nothing about what still runs.
TEST_F(DeathQuarantine, NotLiftedByAResetThatFails) {
  stack_.set_fault("noc-stuck");
  ASSERT_NO_FATAL_FAILURE(lose_a_client());
  ASSERT_TRUE(eventually([&] { return status_of(*onlooker_)["quarantine"].size() == 1; }));
  stack_.set_fault("reset-ignored");
  for (int i = 0; i < 2; ++i) {  // the second takes longer than wardend takes to look at what the first has done
    const auto failed = warm_reset(*onlooker_, {}, {});
    ASSERT_TRUE(failed && failed->result == ResetResult::kFailed);
  }
  EXPECT_EQ(status_of(*onlooker_)["quarantine"].size(), 1U);
  stack_.set_fault("none");
  const auto good = warm_reset(*onlooker_, {}, {});
  ASSERT_TRUE(good && good->result == ResetResult::kOk) << good->reason;
  EXPECT_TRUE(eventually([&] { return status_of(*onlooker_)["quarantine"].empty(); }));
}

// A card that does not answer can't be cleaned.
TEST_F(DeathQuarantine, OfACardThatDoesNotAnswer) {
  Victim victim([&] {
    Registrar& mine = registrar_of_process();
    return mine.open(stack_.socket_path()) && mine.actions->reset_cores(*mine.device, kWorkTile, kBrisc).has_value();
  });
  ASSERT_TRUE(victim.is_ready());
  stack_.set_fault("off-bus");
  victim.signal(SIGKILL);
  ASSERT_TRUE(has_only_the_onlooker(*onlooker_));
  const nlohmann::json quarantine = status_of(*onlooker_)["quarantine"];
  ASSERT_EQ(quarantine.size(), 1U) << quarantine;
  EXPECT_NE(quarantine[0]["reason"].get<std::string>().find("the card is off the bus"), std::string::npos)
      << quarantine;
}

// Nor a card that is gone; but there is something to be kept only where there was something.
TEST_F(DeathQuarantine, OfALostCard) {
  Victim idle([&] { return registrar_of_process().open(stack_.socket_path()); });
  Victim busy([&] {
    Registrar& mine = registrar_of_process();
    return mine.open(stack_.socket_path()) && mine.on_death(0x1000, 1);
  });
  ASSERT_TRUE(idle.is_ready() && busy.is_ready());
  auto device = Device::open(onlooker_, "0");
  ASSERT_TRUE(device);
  stack_.simulator_process().signal(SIGKILL);
  ASSERT_TRUE(eventually([&] {
    (void)device->read32(kWorkTile, {0});
    return nlohmann::json::parse(*onlooker_->devices_json())[0]["state"] == "lost";
  }));
  idle.signal(SIGKILL);
  busy.signal(SIGKILL);
  ASSERT_TRUE(has_only_the_onlooker(*onlooker_));
  const nlohmann::json quarantine = status_of(*onlooker_)["quarantine"];
  ASSERT_EQ(quarantine.size(), 1U) << quarantine;
  EXPECT_EQ(quarantine[0]["pid"], busy.pid());
  EXPECT_EQ(quarantine[0]["reason"], "the card is lost");
}

// Quiet in time after all: no quarantine.
TEST_F(DeathQuarantine, NotWhenTheTileComesToRest) {
  stack_.set_fault("noc-stuck");
  ASSERT_NO_FATAL_FAILURE(lose_a_client());
  ASSERT_TRUE(eventually([&] { return status_of(*onlooker_)["cleaning"] == 1; }));
  stack_.set_fault("none");
  ASSERT_TRUE(has_only_the_onlooker(*onlooker_));
  EXPECT_TRUE(status_of(*onlooker_)["quarantine"].empty());
  EXPECT_EQ(word_at(onlooker_, 0x1000), 5U);
}

// The dead owe nothing: a reset asked for while the card is being cleaned goes on at once, and wipes it.
TEST_F(DeathQuarantine, AResetMeanwhileWipesTheCard) {
  stack_.set_fault("noc-stuck");
  ASSERT_NO_FATAL_FAILURE(lose_a_client());
  ASSERT_TRUE(eventually([&] { return status_of(*onlooker_)["cleaning"] == 1; }));
  const auto report = warm_reset(*onlooker_, {}, {});
  ASSERT_TRUE(report && report->result == ResetResult::kOk);
  ASSERT_TRUE(has_only_the_onlooker(*onlooker_));
  EXPECT_TRUE(eventually([&] { return status_of(*onlooker_)["quarantine"].empty(); }));
  EXPECT_EQ(word_at(onlooker_, 0x1000), 0U);
}

}  // namespace
}  // namespace warden::test
