// SPDX-License-Identifier: Apache-2.0
// Journal and stored reports: what a killed writer leaves is read back whole or not at all.
#include "tools/wardend/journal.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "tools/wardend/report_store.h"

namespace warden::daemon {
namespace {

const Incarnation kWriter{77, "boot"};

ResetRecord record_in(shm::ResetPhase phase, std::uint64_t id = 41) {
  ResetRecord record;
  record.id = id;
  record.token = 0xFFFF'FFFF'FFFF'FFFF;  // all 64 bits must survive the JSON
  record.devices = {{3, "vfio-user:/a", 9}};
  record.cause = "ünïcode \xff and \"quotes\"\n";
  record.on_timeout = shm::TimeoutPolicy::kKill;
  record.phase = phase;
  record.deadline_ns = 123456789012345;
  record.listeners = {{5, 50, "name", Outcome::kDied, 7, 8}};
  record.phases = {{shm::ResetPhase::kAnnounced, 83}};
  record.evidence = {{"vfio-user:/a", "marker", "1", "0", true}};
  record.fabric = FabricRecord{1, 2, 3, 4, true, "why"};
  return record;
}

class JournalTest : public testing::Test {
 protected:
  JournalTest() {
    std::array<char, 32> pattern{"/tmp/wardend-XXXXXX"};
    directory_ = ::mkdtemp(pattern.data());
  }
  ~JournalTest() override { std::filesystem::remove_all(directory_); }

  [[nodiscard]] std::string text() const {
    std::ifstream file(directory_ + "/journal");
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void set_text(const std::string& text) const { std::ofstream(directory_ + "/journal", std::ios::trunc) << text; }
  std::optional<JournalEntry> reopen() {
    auto journal = Journal::open(directory_, kWriter);
    EXPECT_TRUE(journal) << journal.error().message;
    return journal ? journal->last() : std::nullopt;
  }
  std::string directory_;
};

// The last step written is the one that is read, with every field.
TEST_F(JournalTest, LastStepComesBackWhole) {
  {
    auto journal = Journal::open(directory_, kWriter);
    ASSERT_TRUE(journal);
    EXPECT_FALSE(journal->last());
    ASSERT_TRUE(journal->write(record_in(shm::ResetPhase::kAnnounced)));
    ASSERT_TRUE(journal->write(record_in(shm::ResetPhase::kResetting)));
  }
  const auto last = reopen();
  ASSERT_TRUE(last);
  EXPECT_EQ(last->writer, kWriter);
  const ResetRecord& record = last->record;
  EXPECT_EQ(record.phase, shm::ResetPhase::kResetting);
  EXPECT_EQ(record.token, 0xFFFF'FFFF'FFFF'FFFF);
  EXPECT_EQ(record.devices.at(0).epoch, 9U);
  EXPECT_EQ(record.on_timeout, shm::TimeoutPolicy::kKill);
  EXPECT_EQ(record.deadline_ns, 123456789012345U);
  EXPECT_EQ(record.listeners.at(0).outcome, Outcome::kDied);
  EXPECT_EQ(record.phases.at(0).duration_us, 83U);
  EXPECT_TRUE(record.evidence.at(0).passed);
  ASSERT_TRUE(record.fabric);
  EXPECT_EQ(record.fabric->routers_paused, 1U);
  EXPECT_EQ(record.fabric->routes_held, 2U);
  EXPECT_EQ(record.fabric->packets_delayed, 3U);
  EXPECT_EQ(record.fabric->packets_lost, 4U);
  EXPECT_TRUE(record.fabric->restored);
  EXPECT_EQ(record.fabric->complaint, "why");
}

// Cut at every single byte of the last line, the step before it is found; never half of one.
TEST_F(JournalTest, TornAtEveryByte) {
  {
    auto journal = Journal::open(directory_, kWriter);
    ASSERT_TRUE(journal->write(record_in(shm::ResetPhase::kAnnounced)));
    ASSERT_TRUE(journal->write(record_in(shm::ResetPhase::kQuiesced)));
  }
  const std::string whole = text();
  const std::size_t second = whole.find('\n') + 1;
  for (std::size_t size = second; size < whole.size(); ++size) {
    const auto last = last_entry_of(whole.substr(0, size));
    ASSERT_TRUE(last) << size;
    EXPECT_EQ(last->record.phase, shm::ResetPhase::kAnnounced) << size;
  }
  for (std::size_t size = 0; size < second; ++size) EXPECT_FALSE(last_entry_of(whole.substr(0, size))) << size;
}

// A flipped bit anywhere in the last line is noticed.
TEST_F(JournalTest, FlippedBits) {
  {
    auto journal = Journal::open(directory_, kWriter);
    ASSERT_TRUE(journal->write(record_in(shm::ResetPhase::kAnnounced)));
  }
  const std::string whole = text();
  for (std::size_t at = 0; at + 1 < whole.size(); ++at) {
    std::string bad = whole;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    EXPECT_FALSE(last_entry_of(bad)) << at;
  }
}

// After a torn tail, the next step is not appended to the ruins.
TEST_F(JournalTest, TornTailIsCutOff) {
  {
    auto journal = Journal::open(directory_, kWriter);
    ASSERT_TRUE(journal->write(record_in(shm::ResetPhase::kAnnounced)));
  }
  set_text(text() + "deadbeef {\"half\":");
  {
    auto journal = Journal::open(directory_, kWriter);
    ASSERT_TRUE(journal->last());
    ASSERT_TRUE(journal->write(record_in(shm::ResetPhase::kVerified)));
  }
  EXPECT_EQ(reopen()->record.phase, shm::ResetPhase::kVerified);
}

// Garbage instead of a journal is an empty one, not a failure to start.
TEST_F(JournalTest, Garbage) {
  set_text(std::string("\0\n\xff\n\n\n garbage", 14));
  EXPECT_FALSE(reopen());
}

// It does not grow for ever.
TEST_F(JournalTest, StaysShort) {
  auto journal = Journal::open(directory_, kWriter);
  ASSERT_TRUE(journal);
  ResetRecord record = record_in(shm::ResetPhase::kAnnounced);
  record.cause = std::string(64 * 1024, 'x');
  for (int i = 0; i < 64; ++i) ASSERT_TRUE(journal->write(record));
  EXPECT_LT(std::filesystem::file_size(directory_ + "/journal"), 2U << 20);
}

// A directory that is not there is an error with the path in it.
TEST_F(JournalTest, MissingDirectory) {
  const auto journal = Journal::open(directory_ + "/missing", kWriter);
  ASSERT_FALSE(journal);
  EXPECT_NE(journal.error().message.find(directory_), std::string::npos);
}

// Reports come back by id and by token after a restart; only the newest are kept; foreign files do no harm.
TEST_F(JournalTest, ReportsOutliveTheProcess) {
  std::ofstream(directory_ + "/report-9.json") << "{ half";
  {
    ReportStore store(directory_);
    EXPECT_EQ(store.newest_id(), 0U);
    for (std::uint64_t id = 1; id <= kStoredReports + 5; ++id) {
      ResetRecord record = record_in(shm::ResetPhase::kVerified, id);
      record.token = 1000 + id;
      ASSERT_TRUE(store.store(record));
    }
  }
  const ReportStore again(directory_);
  EXPECT_EQ(again.newest_id(), kStoredReports + 5);
  EXPECT_EQ(again.id_of_token(1000 + kStoredReports), kStoredReports);
  EXPECT_FALSE(again.find(5));
  EXPECT_TRUE(again.find(6));
}

// The report that clients see has the promised names.
TEST(Report, Names) {
  ResetRecord record = record_in(shm::ResetPhase::kVerified);
  record.result = shm::ResetResult::kOk;
  const auto json = report_json(record);
  EXPECT_EQ(json["id"], 41);
  EXPECT_EQ(json["result"], "ok");
  EXPECT_EQ(json["reason"], "");
  EXPECT_EQ(json["devices"][0], "vfio-user:/a");
  EXPECT_EQ(json["phases"][0]["name"], "announced");
  EXPECT_EQ(json["phases"][0]["us"], 83);
  EXPECT_EQ(json["listeners"][0]["pid"], 50);
  EXPECT_EQ(json["listeners"][0]["outcome"], "died");
  EXPECT_EQ(json["listeners"][0]["extended"], 7);
  EXPECT_EQ(json["evidence"][0]["passed"], true);
}

}  // namespace
}  // namespace warden::daemon
